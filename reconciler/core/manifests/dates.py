"""Date ranges of `each`, such as `{from: 2026-01-01, to: today, step: 7d}`. Knows no clock: `today` is given.

The dimension's name decides how its dates are written as keys:

- `week`, in steps of whole weeks from a Monday: the ISO week, `2026-W02`;
- `month`, in steps of months: `2026-01`;
- anything else: the ISO date, `2026-01-05`.

The n-th date is counted from the first, never from the one before: 31 January, 28 February, 31 March.
A range that begins at `today` must step by one day: with a wider step it would name other dates each day.
"""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from reconciler.core.manifests.findings import Finding
from reconciler.core.wording import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.core.diagnostics import Place

MOMENT_PATTERN = r"^(?:[0-9]{4}-[0-9]{2}-[0-9]{2}|today(?:[+-](?:0|[1-9][0-9]{0,4})(?:d|w|mo|y))?)$"
"""An ISO date, `today`, or `today` moved by days, weeks, months or years."""

STEP_PATTERN = r"^[1-9][0-9]{0,4}(?:d|w|mo|y)$"
"""A number of days, weeks, months or years."""

DAYS_A_WEEK = 7
MONTHS_A_YEAR = 12
LAST_MONTH = date.max.year * MONTHS_A_YEAR + date.max.month - 1
FIRST_MONTH = date.min.year * MONTHS_A_YEAR


class Unit(StrEnum):
    """What a step counts, once weeks are days and years are months."""

    DAY = "d"
    MONTH = "mo"


class KeyForm(StrEnum):
    """How the dates of a dimension are written as keys."""

    DATE = "date"
    WEEK = "week"
    MONTH = "month"


KEY_LENGTH = {KeyForm.DATE: 10, KeyForm.WEEK: 8, KeyForm.MONTH: 7}
"""Characters of a date as a key."""


@dataclass(frozen=True, slots=True)
class Step:
    """A distance in days or in months; as an offset from `today` it may be negative or zero."""

    count: int
    unit: Unit

    def after(self, start: date, times: int = 1) -> date | None:
        """Return the date so many steps later; None beyond the calendar.

        Where a month is too short for the day, it is the last day of that month.
        """
        distance = self.count * times
        if self.unit is Unit.DAY:
            ordinal = start.toordinal() + distance
            return date.fromordinal(ordinal) if 1 <= ordinal <= date.max.toordinal() else None
        month = _months(start) + distance
        if not FIRST_MONTH <= month <= LAST_MONTH:
            return None
        year, index = divmod(month, MONTHS_A_YEAR)
        return date(year, index + 1, min(start.day, monthrange(year, index + 1)[1]))


ONE_DAY = Step(1, Unit.DAY)


@dataclass(frozen=True, slots=True)
class Moment:
    """One end of a range: a fixed date, or one that moves with `today`."""

    fixed: date | None
    offset: Step = Step(0, Unit.DAY)

    def on(self, today: date) -> date | None:
        """Return the date, if today is that day; None beyond the calendar."""
        return self.fixed or self.offset.after(today)


@dataclass(frozen=True, slots=True)
class Range:
    """A dimension that is a range of dates, both ends inclusive."""

    start: Moment
    end: Moment
    step: Step
    form: KeyForm = KeyForm.DATE

    def count(self, start: date, end: date) -> int:
        """Count the dates between two ends by arithmetic, without listing them."""
        if end < start:
            return 0
        if self.step.unit is Unit.DAY:
            return (end - start).days // self.step.count + 1
        steps = (_months(end) - _months(start)) // self.step.count
        last = self.step.after(start, steps)
        return steps + 1 if last is not None and last <= end else steps

    def keys(self, start: date, end: date) -> list[str]:
        """List the keys of all dates between two ends."""
        number = self.count(start, end)
        if self.step.unit is Unit.DAY:
            width = timedelta(self.step.count)
            dates = [start + width * index for index in range(number)]
        else:
            found = (self.step.after(start, index) for index in range(number))
            dates = [each for each in found if each is not None]
        return [_key(each, self.form) for each in dates]


Dimension = tuple[str, ...] | Range
"""The keys of a dimension, or the range of dates that its keys are made from."""


def longest_key(dimension: Dimension) -> int:
    """Count the characters of the longest key."""
    return KEY_LENGTH[dimension.form] if isinstance(dimension, Range) else max(map(len, dimension))


def read_moment(text: str) -> Moment | None:
    """Read one end of a range; None if the text is not a date or an offset from `today`."""
    if not re.fullmatch(MOMENT_PATTERN, text):
        return None
    if text.startswith("today"):
        return Moment(None, read_step(text.removeprefix("today") or "0d"))
    try:
        return Moment(date.fromisoformat(text))
    except ValueError:
        return None


def read_step(text: str) -> Step:
    """Read a text that fits `STEP_PATTERN`, or the signed offset behind `today`."""
    unit = text.lstrip("+-0123456789")
    count = int(text.removesuffix(unit))
    match unit:
        case "w":
            return Step(count * DAYS_A_WEEK, Unit.DAY)
        case "y":
            return Step(count * MONTHS_A_YEAR, Unit.MONTH)
        case _:
            return Step(count, Unit(unit))


def key_form(dimension: str, step: Step) -> KeyForm:
    """Choose how the keys of a dimension are written, by its name and step."""
    if dimension == "week":
        return KeyForm.WEEK
    if dimension == "month" and step.unit is Unit.MONTH:
        return KeyForm.MONTH
    return KeyForm.DATE


def backwards(start: date, end: date, place: Place) -> Finding:
    """Describe the mistake of a range that ends before it begins."""
    message = f"the range is empty: it begins on {start} and ends on {end}"
    hint = "swap `from` and `to`" if start > end else "widen the range"
    return Finding("empty-range", message, place, hint)


def check_range(name: str, dates: Range, place: Place) -> Iterator[Finding]:
    """Find what is wrong with the range of a dimension on any day."""
    start, end = dates.start.fixed, dates.end.fixed
    if start and end and end < start:
        yield backwards(start, end, place)
    is_weekly = dates.step.unit is Unit.DAY and dates.step.count % DAYS_A_WEEK == 0
    if dates.form is KeyForm.WEEK and not (is_weekly and (start is None or start.weekday() == 0)):
        hint = "begin on a Monday and step by whole weeks, such as `step: 7d`, or give the dimension another name"
        yield Finding("bad-week", f"{quoted(name)} does not name whole weeks", place, hint)
    elif start is None and dates.step != ONE_DAY:
        hint = "begin at a fixed date, or step by one day"
        message = "a range that begins at `today` names other dates each day unless it steps by one day"
        yield Finding("moving-range", message, place, hint)


def _months(day: date) -> int:
    return day.year * MONTHS_A_YEAR + day.month - 1


def _key(day: date, form: KeyForm) -> str:
    match form:
        case KeyForm.DATE:
            return day.isoformat()
        case KeyForm.MONTH:
            return day.isoformat()[:7]
        case KeyForm.WEEK:
            year, week, _ = day.isocalendar()
            return f"{year:04}-W{week:02}"
