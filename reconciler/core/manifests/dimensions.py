"""`each` as values: lists of keys and ranges of dates, as far as they can be judged without knowing the day."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.core.diagnostics import Place
from reconciler.core.manifests.dates import DAYS_A_WEEK, ONE_DAY, KeyForm, Range, Unit, key_form, read_moment, read_step
from reconciler.core.manifests.findings import Finding
from reconciler.core.manifests.models import DateRange
from reconciler.core.wording import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import date

Dimension = tuple[str, ...] | Range

LONGEST_KEY = {KeyForm.DATE: 10, KeyForm.WEEK: 8, KeyForm.MONTH: 7}
"""Characters of a date as a key."""


def read_each(
    each: Mapping[str, Sequence[str] | DateRange], place: Place
) -> tuple[tuple[tuple[str, Dimension], ...], list[Finding]]:
    """Read the dimensions of a batch, and what is wrong with them; `place` is that of `each`."""
    dimensions: list[tuple[str, Dimension]] = []
    findings: list[Finding] = []
    for name, value in each.items():
        at = Place(place.file, place.document, (*place.route, name))
        if isinstance(value, DateRange):
            dates = _range(name, value)
            findings += _range_mistakes(name, dates, at)
            dimensions.append((name, dates))
        else:
            findings += _repeated(value, at)
            dimensions.append((name, tuple(value)))
    return tuple(dimensions), findings


def longest_key(dimension: Dimension) -> int:
    """Count the characters of the longest key."""
    return LONGEST_KEY[dimension.form] if isinstance(dimension, Range) else max(map(len, dimension))


def backwards(start: date, end: date, place: Place) -> Finding:
    """Word the mistake of a range that ends before it begins."""
    message = f"the range is empty: it begins on {start} and ends on {end}"
    hint = "swap `from` and `to`" if start > end else "widen the range"
    return Finding("empty-range", message, place, hint)


def _range(name: str, fields: DateRange) -> Range:
    start, end, step = read_moment(fields.start), read_moment(fields.end), read_step(fields.step)
    assert start is not None
    assert end is not None
    assert step is not None
    return Range(start, end, step, key_form(name, step))


def _repeated(keys: Sequence[str], at: Place) -> Iterator[Finding]:
    seen: dict[str, int] = {}
    for index, key in enumerate(keys):
        first = seen.setdefault(key, index)
        if first != index:
            place = Place(at.file, at.document, (*at.route, index))
            yield Finding("repeated-key", f"the key {quoted(key)} stands twice", place, "take one of the two out")


def _range_mistakes(name: str, dates: Range, at: Place) -> Iterator[Finding]:
    """Find what is wrong with a range whatever the day is."""
    start, end = dates.start.fixed, dates.end.fixed
    if start and end and end < start:
        yield backwards(start, end, at)
    is_weekly = dates.step.unit is Unit.DAY and dates.step.count % DAYS_A_WEEK == 0
    if dates.form is KeyForm.WEEK and not (is_weekly and (start is None or start.weekday() == 0)):
        hint = "begin on a Monday and step by whole weeks, such as `step: 7d`, or give the dimension another name"
        yield Finding("bad-week", f"{quoted(name)} does not name whole weeks", at, hint)
    elif start is None and dates.step != ONE_DAY:
        hint = "begin at a fixed date, or step by one day"
        message = "a range that begins at `today` names other dates each day unless it steps by one day"
        yield Finding("moving-range", message, at, hint)
