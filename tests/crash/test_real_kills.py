"""SIGKILL at random moments of real processes, against another reading of AEP, until a run ends by itself.

`RECONCILER_CRASH_SCALE=10` makes it 200 batches and 100 kills.
"""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest

from tests.aep.server import Faults
from tests.crash.checkout import addresses, manifest, scaled

if TYPE_CHECKING:
    from tests.aep.server import Aep
    from tests.crash.checkout import Checkout

SECONDS_TO_START = 0.3
"""About when a process sends its first create; kills at the very start are drawn as well, but fewer."""


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("duplicates", [0, 409])
def test_kills_at_random_leave_one_batch_an_address(checkout: Checkout, aep: Aep, duplicates: int) -> None:
    count, kills, dice = scaled(20), scaled(10) if duplicates == 0 else scaled(2), random.Random(duplicates)
    aep.duplicates, aep.lag = duplicates, 0.3
    aep.slowness = 0.02
    aep.answer_delay = 0.1
    checkout.declare(manifest(count))
    struck = 0
    for attempt in range(kills * 3):
        if struck == kills:
            break
        if checkout.killed(SECONDS_TO_START + dice.random() * 0.8, "--parallelism", "1"):
            struck += 1
        elif attempt:
            checkout.declare(manifest(count := count + 5))  # finished early: more work for the kills that are left
    done = checkout.apply()
    assert done.code == 0, done.text
    print(f"{struck} kills, {count} batches, {len(aep.creates)} creates sent")
    checkout.check_settled(addresses(count))


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_kills_amid_faults_leave_one_batch_an_address(checkout: Checkout, aep: Aep) -> None:
    count, kills, dice = scaled(20), scaled(4), random.Random(7)
    aep.lag = 0.3
    aep.on_create = Faults({"cut_after": 0.2, "error_after": 0.1, "html_after": 0.05, "throttled": 0.1})
    aep.on_read = Faults({"error_before": 0.05, "cut_before": 0.05})
    checkout.declare(manifest(count))
    struck = sum(checkout.killed(SECONDS_TO_START + dice.random()) for _ in range(kills))
    aep.heal()
    done = checkout.apply()
    assert done.code == 0, done.text
    print(f"{struck} kills, {count} batches, {len(aep.creates)} creates sent")
    checkout.check_settled(addresses(count))


@pytest.mark.slow
@pytest.mark.parametrize("had_state", [False, True])
def test_a_kill_while_catalog_lags_creates_nothing_twice(checkout: Checkout, aep: Aep, had_state: bool) -> None:
    """What the journal calls done and Catalog does not show yet is lagging, not missing; also beside an old state."""
    if had_state:
        checkout.declare(manifest(3))
        assert checkout.apply().code == 0
        os.utime(checkout.state, (0, 0))
    aep.lag, checkout.settle = 1.2, 2.0
    checkout.declare(manifest(20))
    checkout.half_finish(after=10)
    done = checkout.apply()
    assert done.code == 0, done.text
    checkout.check_settled(addresses(20))
