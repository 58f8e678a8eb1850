"""Date ranges: what is read, how many dates there are, and how they are written as keys."""

from __future__ import annotations

import re
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.manifests.dates import (
    STEP_PATTERN,
    KeyForm,
    Moment,
    Range,
    Step,
    Unit,
    key_form,
    read_moment,
    read_step,
)
from reconciler.core.manifests.models import DateRange

TODAY = date(2026, 3, 31)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-31", date(2026, 1, 31)),
        ("today", TODAY),
        ("today-30d", date(2026, 3, 1)),
        ("today+7d", date(2026, 4, 7)),
        ("today-2w", date(2026, 3, 17)),
        ("today-1mo", date(2026, 2, 28)),
        ("today+1y", date(2027, 3, 31)),
        ("today-0d", TODAY),
        ("today+99999y", None),
        ("today-99999d", date(1752, 6, 16)),
        ("today-9999y", None),
    ],
)
def test_moments(text: str, expected: date | None) -> None:
    moment = read_moment(text)
    assert moment is not None
    assert moment.on(TODAY) == expected


@pytest.mark.parametrize(
    "text",
    ["", "now", "2026-02-30", "2026-1-1", "20260101", "2026-W01-1", "today -1d", "today-1", "today-01d", "today-1h"],
)
def test_what_is_no_moment(text: str) -> None:
    assert read_moment(text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1d", Step(1, Unit.DAY)),
        ("7d", Step(7, Unit.DAY)),
        ("2w", Step(14, Unit.DAY)),
        ("1mo", Step(1, Unit.MONTH)),
        ("1y", Step(12, Unit.MONTH)),
    ],
)
def test_steps(text: str, expected: Step) -> None:
    assert re.match(STEP_PATTERN, text)
    assert read_step(text) == expected


@pytest.mark.parametrize("text", ["", "0d", "-1d", "+1d", "1", "d", "1m", "1 d", "999999d"])
def test_what_is_no_step(text: str) -> None:
    assert not re.match(STEP_PATTERN, text)


def test_a_range_is_values_once_its_fields_are_read() -> None:
    fields = DateRange.model_validate({"from": "2026-01-31", "to": "today-1w", "step": "2w"})
    assert fields.start == Moment(date(2026, 1, 31))
    assert fields.end == Moment(None, Step(-7, Unit.DAY))
    assert fields.step == Step(14, Unit.DAY)


def dates(start: date, end: date, step: str, name: str = "day") -> list[str]:
    read = read_step(step)
    made = Range(Moment(start), Moment(end), read, key_form(name, read))
    keys = made.keys(start, end)
    assert len(keys) == made.count(start, end)
    return keys


def test_both_ends_are_inclusive() -> None:
    assert dates(date(2026, 1, 30), date(2026, 2, 1), "1d") == ["2026-01-30", "2026-01-31", "2026-02-01"]
    assert dates(TODAY, TODAY, "1d") == ["2026-03-31"]


def test_a_step_that_misses_the_end_stops_before_it() -> None:
    assert dates(date(2026, 1, 1), date(2026, 1, 10), "4d") == ["2026-01-01", "2026-01-05", "2026-01-09"]


def test_months_are_counted_from_the_first_and_end_at_their_last_day() -> None:
    assert dates(date(2026, 1, 31), date(2026, 4, 29), "1mo") == ["2026-01-31", "2026-02-28", "2026-03-31"]
    assert dates(date(2026, 1, 31), date(2026, 4, 30), "1mo")[-1] == "2026-04-30"
    assert dates(date(2024, 2, 29), date(2028, 12, 31), "1y")[1:] == [
        "2025-02-28",
        "2026-02-28",
        "2027-02-28",
        "2028-02-29",
    ]


def test_keys_take_the_form_that_the_name_promises() -> None:
    assert dates(date(2024, 12, 30), date(2025, 1, 6), "7d", "week") == ["2025-W01", "2025-W02"]
    assert dates(date(2025, 12, 15), date(2026, 1, 31), "1mo", "month") == ["2025-12", "2026-01"]
    assert dates(date(2026, 1, 5), date(2026, 1, 5), "7d", "start") == ["2026-01-05"]
    assert key_form("month", Step(1, Unit.DAY)) is KeyForm.DATE


def test_a_range_backwards_has_no_dates() -> None:
    made = Range(Moment(None), Moment(None), Step(1, Unit.DAY))
    assert made.count(date(2026, 1, 2), date(2026, 1, 1)) == 0


def test_the_whole_calendar_is_counted_without_making_it() -> None:
    made = Range(Moment(None), Moment(None), Step(1, Unit.MONTH))
    assert made.count(date.min, date.max) == 9999 * 12


ANY_STEP = st.builds(Step, st.integers(1, 400), st.sampled_from(Unit))


@given(st.dates(date(1990, 1, 1), date(2030, 1, 1)), st.integers(0, 4000), ANY_STEP)
def test_the_count_is_the_number_of_different_keys(start: date, days: int, step: Step) -> None:
    end = date.fromordinal(start.toordinal() + days)
    made = Range(Moment(start), Moment(end), step)
    keys = made.keys(start, end)
    assert len(set(keys)) == len(keys) == made.count(start, end)
    assert keys == sorted(keys)
    assert keys[0] == start.isoformat()
    assert keys[-1] <= end.isoformat()
