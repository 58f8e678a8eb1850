"""When an attempt is repeated, after which wait, and when it is given up."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from reconciler.core.errors import Throttled
from reconciler.platform import Retries
from reconciler.platform.outcome import WITHOUT_EFFECT, Outcome
from reconciler.platform.problems import Failure
from reconciler.platform.retry import FIRST_WAIT, LONGEST_WAIT
from tests.platform.virtual import TIMING, clock, run

BUSY = Failure(Outcome.THROTTLED, Throttled("busy"))


def attempts(
    failure: Failure, *, deadline: float = 300.0, extra_seconds: float = 0.0, success_at: int = 0
) -> list[float]:
    """The seconds at which attempts were made, each a failure but number `success_at`."""
    made: list[float] = []

    async def attempt() -> str | Failure:
        made.append(clock() - 1_000)
        return "done" if len(made) == success_at else failure

    async def main() -> str:
        return await Retries(deadline, TIMING).run(attempt, WITHOUT_EFFECT, extra_seconds=extra_seconds)

    if success_at:
        assert run(main()) == "done"
    else:
        with pytest.raises(type(failure.error), match=failure.error.summary):
            run(main())
    return made


def test_a_success_is_not_repeated() -> None:
    assert attempts(BUSY, success_at=1) == [0.0]
    assert len(attempts(BUSY, success_at=4)) == 4


def test_an_outcome_that_may_have_had_its_effect_is_not_repeated() -> None:
    assert attempts(replace(BUSY, outcome=Outcome.UNKNOWN)) == [0.0]


@pytest.mark.parametrize("deadline", [0.0, 0.1, 45.0, 600.0])
def test_waits_double_at_most_and_the_last_attempt_is_at_the_deadline(deadline: float) -> None:
    times = attempts(BUSY, deadline=deadline)
    assert times[-1] == pytest.approx(deadline)
    for number, (earlier, later) in enumerate(pairwise(times)):
        assert later - earlier <= min(FIRST_WAIT * 2**number, LONGEST_WAIT) + 1e-6


def test_sending_a_long_body_has_its_own_time() -> None:
    assert attempts(BUSY, deadline=10.0, extra_seconds=90.0)[-1] == pytest.approx(100.0)


def test_a_failure_says_after_how_many_tries_it_is_final() -> None:
    assert len(attempts(replace(BUSY, most_tries=6))) == 6
    assert len(attempts(replace(BUSY, most_tries=1))) == 1


def test_the_service_says_how_long_to_wait_at_least_and_its_wait_is_never_cut_short() -> None:
    assert attempts(replace(BUSY, retry_after=70.0), deadline=100.0) == pytest.approx([0.0, 70.0])
    assert attempts(replace(BUSY, retry_after=50.0), deadline=100.0) == pytest.approx([0.0, 50.0, 100.0])
