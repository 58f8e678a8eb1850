"""A service in trouble: cut connections, 500s after the effect, web pages, torn bodies, lag, throttling, old tokens.

`RECONCILER_CRASH_SCALE=10` makes the big run 1,000 batches.
"""

from __future__ import annotations

import time
from email.utils import formatdate
from typing import TYPE_CHECKING

import pytest

from tests.aep.server import FAULTS, Faults
from tests.crash.checkout import addresses, manifest, scaled

if TYPE_CHECKING:
    from tests.aep.server import Aep
    from tests.crash.checkout import Checkout

ALL_AT_ONCE = {
    "cut_after": 0.2,
    "error_after": 0.1,
    "html_before": 0.025,
    "html_after": 0.025,
    "truncated": 0.05,
    "throttled": 0.1,
}
"""The mixture of issue 3."""


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("duplicates", [0, 409])
def test_every_trouble_at_once_costs_no_batch(checkout: Checkout, aep: Aep, duplicates: int) -> None:
    count = scaled(100) if duplicates == 0 else scaled(20)
    aep.duplicates, aep.lag = duplicates, 0.5
    aep.on_create = Faults(ALL_AT_ONCE)
    aep.on_read = Faults({"throttled": 0.1})
    checkout.declare(manifest(count))
    began = time.monotonic()
    done, runs = checkout.apply(), 1
    if done.code:
        done, runs = checkout.apply(), 2
    print(f"{count} batches, {len(aep.creates)} creates sent, {runs} run(s), {time.monotonic() - began:.1f} s")
    aep.heal()
    assert done.code == 0, done.text
    checkout.check_settled(addresses(count))


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_each_trouble_alone_costs_no_batch(checkout: Checkout, aep: Aep, fault: str) -> None:
    aep.duplicates, aep.lag = (0, 409, 400)[FAULTS.index(fault) % 3], 0.2
    aep.on_create = Faults({fault: 0.4})
    checkout.settle = 0.6
    checkout.declare(manifest(12))
    runs = [checkout.apply()]
    while runs[-1].code == 3 and len(runs) < 5:
        runs.append(checkout.apply())
    assert runs[-1].code == 0, runs[-1].text
    checkout.check(addresses(12))


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["cut_before", "cut_after", "error_before", "throttled"])
def test_a_trouble_that_lasts_ends_in_an_account_and_a_rerun_mends_it(checkout: Checkout, aep: Aep, fault: str) -> None:
    aep.on_create = Faults({fault: 1.0}, retry_after="1000")
    checkout.settle = 3.0
    checkout.declare(manifest(2))
    with checkout.started("apply", "--auto-approve") as process:
        aep.wait_for(1)
        time.sleep(1.0)
        process.terminate()
        out, err = process.communicate(timeout=20)
    if fault == "cut_after":
        assert process.returncode in {0, 130}, out + err  # found by looking
    else:
        assert process.returncode in {3, 130}, out + err
        assert "run `reconciler apply` again" in out, out
    aep.heal()
    checkout.settle = 0.5
    done = checkout.apply()
    assert done.code == 0, done.text
    checkout.check_settled(addresses(2))


@pytest.mark.parametrize("is_date", [False, True])
def test_retry_after_is_honoured_as_seconds_and_as_a_date(checkout: Checkout, aep: Aep, is_date: bool) -> None:
    asked: list[float] = []

    def throttle_the_first() -> None:
        asked.append(time.time())
        first = len(asked) == 1
        wait = formatdate(int(time.time()) + 3, usegmt=True) if is_date else "2"
        aep.on_create = Faults({"throttled": 1.0}, wait) if first else Faults()

    aep.before_create = throttle_the_first
    checkout.declare(manifest(1))
    done = checkout.apply()
    assert done.code == 0, done.text
    assert 1.9 <= asked[1] - asked[0] <= 6.0
    checkout.check(addresses(1))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("told", [None, 86_399])
def test_a_token_that_ends_every_two_seconds_fails_no_address(checkout: Checkout, aep: Aep, told: int | None) -> None:
    """Also where the end was not announced: a revoked token, or a clock that is wrong."""
    count = scaled(30)
    aep.token_life, aep.told_life, aep.slowness = 2.0, told, 0.1
    checkout.declare(manifest(count))
    done = checkout.apply("--parallelism", "1")
    assert done.code == 0, done.text
    assert "failed" not in done.out, done.text
    print(f"{len(aep.tokens)} tokens")
    assert len(aep.tokens) >= 2
    aep.slowness = 0.0
    checkout.check(addresses(count))


def test_slow_answers_are_waited_for(checkout: Checkout, aep: Aep) -> None:
    aep.answer_delay = 1.0
    checkout.declare(manifest(4))
    done = checkout.apply()
    assert done.code == 0, done.text
    assert len(aep.creates) == 4
    checkout.check(addresses(4))


def test_a_refused_credential_ends_the_run_and_creates_nothing(checkout: Checkout, aep: Aep) -> None:
    checkout.env = {"AEP_CLIENT_SECRET": "not-the-right-one"}
    checkout.declare(manifest(3))
    done = checkout.apply()
    assert done.code == 1, done.text
    assert "AEP_CLIENT_SECRET" in done.err
    assert not aep.creates


def test_no_service_at_all_is_an_error_not_a_hang(checkout: Checkout, aep: Aep) -> None:
    checkout.declare(manifest(1))
    checkout.env = {"AEP_API_URL": "http://127.0.0.1:9", "AEP_IMS_URL": aep.url}
    with checkout.started("apply", "--auto-approve") as process:
        time.sleep(1.5)
        process.terminate()
        process.communicate(timeout=10)
    assert process.returncode == 130
    assert checkout.recorded() == {}
