"""Two runs at once: on one checkout the second is told who is first; with two checkouts nothing is guessed."""

from __future__ import annotations

import getpass
import re
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.crash.checkout import Checkout, addresses, end, manifest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.aep.server import Aep


def test_a_second_run_on_one_checkout_is_told_who_where_and_since_when(checkout: Checkout, aep: Aep) -> None:
    aep.answer_delay = 6.0
    checkout.declare(manifest(1))
    with checkout.started("apply", "--auto-approve") as first:
        aep.wait_for(1)
        for command in (["apply", "--auto-approve"], ["state", "rm", "loyalty/daily/k00000"]):
            second = checkout.run(*command)
            assert second.code == 5, second.text
            assert f"{getpass.getuser()}@{socket.gethostname()}" in second.err
            assert f"process {first.pid}" in second.err
            assert re.search(r"since \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ, running `apply`", second.err), second.err
        done = end(first)
    assert done.code == 0, done.text
    assert len(aep.creates) == 1


def test_a_second_run_that_may_wait_does_and_finds_nothing_to_do(checkout: Checkout, aep: Aep) -> None:
    aep.answer_delay = 1.0
    checkout.declare(manifest(2))
    with checkout.started("apply", "--auto-approve") as first:
        aep.wait_for(1)
        second = checkout.apply("--lock-timeout", "30")
        assert end(first).code == 0
    assert second.code == 0, second.text
    assert len(aep.creates) == 2
    checkout.check(addresses(2))


def test_a_lock_dies_with_its_process(checkout: Checkout, aep: Aep) -> None:
    aep.answer_delay = 5.0
    checkout.declare(manifest(1))
    with checkout.started("apply", "--auto-approve") as first:
        aep.wait_for(1)
        first.kill()
        first.wait()
    aep.answer_delay = 0.0
    assert checkout.apply().code == 0
    assert len(aep.batches) == 1


def race(tmp_path: Path, aep: Aep, count: int = 1) -> tuple[Checkout, Checkout]:
    """Two checkouts whose first creates arrive together: both have looked before either creates."""
    both = threading.Barrier(2)
    aep.before_create = lambda: wait_at(both)
    first, second = (Checkout(tmp_path / name, aep) for name in ("first", "second"))
    for checkout in (first, second):
        checkout.declare(manifest(count))
    with first.started("apply", "--auto-approve") as one, second.started("apply", "--auto-approve") as other:
        ends = (end(one), end(other))
    assert {each.code for each in ends} == {0}, ends
    aep.before_create = lambda: None
    return first, second


def wait_at(barrier: threading.Barrier) -> None:
    """Go on when both are there; a later request does not wait."""
    if not barrier.broken:
        try:
            barrier.wait(timeout=10)
            barrier.abort()
        except threading.BrokenBarrierError:
            return


@pytest.mark.parametrize("duplicates", [0, 409, 400])
def test_two_checkouts_that_race_end_with_one_batch(tmp_path: Path, aep: Aep, duplicates: int) -> None:
    """The service refuses the second create, or the later run gives way; both record the same batch."""
    aep.duplicates = duplicates
    first, second = race(tmp_path, aep, 6)
    assert first.recorded() == second.recorded()
    for checkout in (first, second):
        checkout.check_settled(addresses(6))


def test_a_pair_that_catalog_showed_too_late_is_reported_and_settled_by_a_person(tmp_path: Path, aep: Aep) -> None:
    aep.lag = 600.0
    first, second = race(tmp_path, aep)
    address = "loyalty/daily/k00000"
    pair = aep.ids()[address]
    assert len(pair) == 2
    aep.catch_up()
    for checkout in (first, second, Checkout(tmp_path / "third", aep)):
        checkout.declare(manifest(1))
        for command in (["plan"], ["apply", "--auto-approve"]):
            refused = checkout.run(*command)
            assert refused.code == 4, refused.text
            assert all(batch in refused.text for batch in pair), refused.text
            assert "import" in refused.text
    kept, left = pair
    settled = second.run("import", address, kept)
    assert settled.code == 0, settled.text
    assert second.recorded() == {address: kept}
    again = second.run("plan", "--detailed-exitcode")
    assert again.code == 0, again.text
    aep.become(left, status="aborted")
    for checkout in (first, second):
        checkout.state.write_bytes(second.state.read_bytes())  # as Git would
        again = checkout.run("plan", "--detailed-exitcode")
        assert again.code == 0, again.text
    assert len(aep.creates) == 2


def test_two_checkouts_that_race_for_many_make_pairs_that_are_all_named(tmp_path: Path, aep: Aep) -> None:
    aep.lag, aep.answer_delay = 0.5, 0.05
    first, second = (Checkout(tmp_path / name, aep) for name in ("first", "second"))
    for checkout in (first, second):
        checkout.declare(manifest(20))
    with first.started("apply", "--auto-approve") as one, second.started("apply", "--auto-approve") as other:
        codes = {end(one).code, end(other).code}
    assert codes <= {0, 3, 4}
    time.sleep(0.6)
    twice = {address: many for address, many in aep.ids().items() if len(many) > 1}
    planned = first.run("plan")
    assert planned.code == (4 if twice else 0), planned.text
    for address in twice:
        assert address in planned.out, planned.text
    assert sorted(aep.ids()) == addresses(20)
