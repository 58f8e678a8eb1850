"""Interrupts and closed pipes: what flies lands, the state is whole, and a rerun finishes the job."""

from __future__ import annotations

import itertools
import json
import os
import pty
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest

from tests.aep.server import Faults
from tests.crash.checkout import addresses, end, manifest

if TYPE_CHECKING:
    from tests.aep.server import Aep
    from tests.crash.checkout import Checkout, Ended

COUNT = 24


def interrupted(checkout: Checkout, aep: Aep, *signals: signal.Signals) -> Ended:
    """An apply that gets its first signal when some creates are done, and the others right after it."""
    aep.answer_delay = 0.4
    checkout.declare(manifest(COUNT))
    with checkout.started("apply", "--auto-approve", "--rate", "100000", "--parallelism", "4") as process:
        aep.wait_for(6)
        for number in signals:
            process.send_signal(number)
            time.sleep(0.1)
        return end(process, 30)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_lets_what_flies_land_and_commits(
    checkout: Checkout, aep: Aep, number: signal.Signals
) -> None:
    done = interrupted(checkout, aep, number)
    assert done.code == 130, done.text
    assert "Apply interrupted." in done.out
    assert "starting nothing new" in done.err
    assert len(checkout.recorded()) == len(aep.batches) < COUNT
    assert not checkout.journal.exists()
    aep.answer_delay = 0.0
    assert checkout.apply().code == 0
    assert len(aep.creates) == COUNT
    checkout.check(addresses(COUNT))


def test_what_is_known_is_committed_at_the_first_signal_though_one_request_hangs(checkout: Checkout, aep: Aep) -> None:
    """A runner that cancels a job sends SIGINT, then SIGTERM, and then takes the machine away."""
    hangs, arrived = threading.Event(), itertools.count(1)

    def hang_once() -> None:
        if next(arrived) == COUNT:
            hangs.wait(60)

    aep.before_create = hang_once
    checkout.declare(manifest(COUNT))
    with checkout.started("apply", "--auto-approve", "--rate", "100000", "--format", "json") as process:
        until = time.monotonic() + 30
        while len(aep.batches) < COUNT - 1:
            assert time.monotonic() < until
            time.sleep(0.01)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        while len(checkout.recorded()) < COUNT - 1:
            assert time.monotonic() < until
            time.sleep(0.01)
        assert checkout.journal.exists()
        done = end(process, 30)
    hangs.set()
    assert done.code == 130, done.text
    assert len(checkout.recorded()) == COUNT - 1
    assert json.loads(done.out.splitlines()[-1])["type"] == "change_summary", done.text
    assert checkout.apply().code == 0
    checkout.check(addresses(COUNT))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_second_signal_leaves_at_once_and_a_rerun_adopts(
    checkout: Checkout, aep: Aep, number: signal.Signals
) -> None:
    aep.on_create = Faults()
    done = interrupted(checkout, aep, number, number)
    assert done.code == 130, done.text
    assert "leaving at once" in done.err
    assert checkout.journal.exists()
    aep.answer_delay = 0.0
    assert checkout.apply().code == 0
    assert len(aep.creates) == COUNT
    checkout.check_settled(addresses(COUNT))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_planning_ends_the_run_at_once(checkout: Checkout, aep: Aep, number: signal.Signals) -> None:
    aep.slowness = 5.0
    checkout.declare(manifest(2))
    with checkout.started("apply", "--auto-approve") as process:
        until = time.monotonic() + 10
        while len(aep.requests) < 2:
            assert time.monotonic() < until
            time.sleep(0.01)
        process.send_signal(number)
        done = end(process, 3)
    assert done.code == 130, done.text
    assert "Traceback" not in done.err
    assert not aep.creates


@pytest.mark.parametrize(("number", "reads"), [(signal.SIGINT, False), (signal.SIGTERM, True)])
def test_a_signal_while_waiting_for_a_next_try_does_not_wait_for_it(
    checkout: Checkout, aep: Aep, number: signal.Signals, reads: bool
) -> None:
    """What waits to be sent again does not fly."""
    checkout.declare(manifest(3))
    if reads:
        aep.on_create = Faults({"cut_after": 1.0})
        aep.before_create = lambda: setattr(aep, "on_read", Faults({"throttled": 1.0}, "60"))
    else:
        aep.on_create = Faults({"throttled": 1.0}, "60")
    with checkout.started("apply", "--auto-approve") as process:
        aep.wait_for(1)
        time.sleep(0.5)
        process.send_signal(number)
        done = end(process, 10)
    assert done.code == 130, done.text
    aep.before_create = lambda: None
    aep.heal()
    assert checkout.apply().code == 0
    checkout.check(addresses(3))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_waiting_for_the_lock_ends_the_wait(
    checkout: Checkout, aep: Aep, number: signal.Signals
) -> None:
    aep.answer_delay = 8.0
    checkout.declare(manifest(1))
    with checkout.started("apply", "--auto-approve") as holder:
        aep.wait_for(1)
        with checkout.started("apply", "--auto-approve", "--lock-timeout", "60") as waiting:
            time.sleep(1.0)
            began = time.monotonic()
            waiting.send_signal(number)
            done = end(waiting, 15)
            took = time.monotonic() - began
        holder.kill()
        holder.communicate()
    assert took < 3.0, done.text
    assert done.code == 130, done.text


def test_a_closed_terminal_is_ignored_under_nohup(checkout: Checkout, aep: Aep) -> None:
    aep.answer_delay = 0.4
    checkout.declare(manifest(4))
    ignored = {"preexec_fn": lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)}
    with checkout.started("apply", "--auto-approve", popen=ignored) as process:
        aep.wait_for(1)
        process.send_signal(signal.SIGHUP)
        done = end(process, 30)
    assert done.code == 0, done.text
    checkout.check(addresses(4))


def test_an_interrupt_at_the_question_means_no(checkout: Checkout, aep: Aep) -> None:
    """At a terminal, Ctrl-C answers the prompt at once."""
    checkout.declare(manifest(2))
    leader, follower = pty.openpty()
    with checkout.started("apply", popen=dict.fromkeys(("stdin", "stdout", "stderr"), follower)) as process:
        os.close(follower)
        seen = b""
        while b"Apply this plan" not in seen:
            seen += os.read(leader, 4096)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        try:
            code = process.wait(timeout=3)
        finally:
            process.kill()
            os.close(leader)
    assert code == 130
    assert not aep.creates


@pytest.mark.parametrize(("form", "both"), [("text", False), ("json", False), ("text", True)])
def test_a_reader_that_leaves_does_not_stop_an_apply(checkout: Checkout, form: str, both: bool) -> None:
    checkout.declare(manifest(12))
    err = subprocess.STDOUT if both else subprocess.PIPE
    with checkout.started("-v", "apply", "--auto-approve", "--format", form, popen={"stderr": err}) as process:
        first_line_only(process.stdout)
        code = process.wait(timeout=30)
    assert code in {0, 141}
    checkout.check(addresses(12))


def first_line_only(stream: IO[str] | None) -> None:
    """What `| head -1` does."""
    assert stream is not None
    stream.readline()
    stream.close()


@pytest.mark.parametrize(("form", "stream"), [("text", "stdout"), ("json", "stdout"), ("text", "stderr")])
def test_an_output_on_a_full_disk_does_not_stop_an_apply(checkout: Checkout, form: str, stream: str) -> None:
    """The log's disk is full: that is no reason to leave batches half recorded."""
    checkout.declare(manifest(6))
    with (
        Path("/dev/full").open("w", encoding="utf-8") as full,
        checkout.started("-v", "apply", "--auto-approve", "--format", form, popen={stream: full}) as process,
    ):
        done = end(process)
    assert "internal error" not in done.err, done.text
    checkout.check(addresses(6))


@pytest.mark.parametrize("descriptor", [1, 2])
def test_an_output_that_is_closed_does_not_stop_an_apply(checkout: Checkout, descriptor: int) -> None:
    checkout.declare(manifest(6))
    with checkout.started("apply", "--auto-approve", popen={"preexec_fn": lambda: os.close(descriptor)}) as process:
        done = end(process)
    assert done.code == 0, done.text
    checkout.check(addresses(6))
