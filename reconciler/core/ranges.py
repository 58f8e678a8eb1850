"""Sorted addresses shown as ranges that a person can check: `loyalty/daily/2026-01-01 … 2026-03-31 (90)`.

A range holds dates or numbers with one even step and without a gap, so that a reader can count them. Where dimensions
were multiplied, the whole product is one range. Other names are listed one by one, as long as they are few.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from math import prod
from typing import TYPE_CHECKING

from reconciler.core.address import split

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MOST_RANGES = 100
"""Ranges for the keys below one batch name; if there are more, one range names the first, the last and the count."""

SHORTEST_RANGE = 3
"""Fewer addresses are listed one by one."""

GAPS = ", with gaps"
"""Says that a range names only its ends. No address holds a blank."""

_DATE_LENGTH = len("2026-01-01")
_NUMBERED = re.compile(r"(.*?)(\d{1,9})\Z")


@dataclass(frozen=True, slots=True)
class AddressRange:
    """One address, or a range of them."""

    text: str
    """As shown: the address itself if there is only one."""
    first: str
    """The first address."""
    count: int = 1
    """How many addresses."""


def address_ranges(addresses: Sequence[str]) -> list[AddressRange]:
    """The addresses as ranges, in their order. They must be sorted and unique."""
    keys_below: dict[tuple[str, int], list[str]] = {}
    for address in addresses:
        dataset, rest = split(address)
        batch, _, keys = rest.partition("/")
        if keys:
            keys_below.setdefault((f"{dataset}/{batch}", keys.count("/")), []).append(keys)
        else:
            keys_below.setdefault((dataset, -1), []).append(batch)
    found = [each for (prefix, _), keys in keys_below.items() for each in _at_most(prefix, keys)]
    return sorted(found, key=lambda each: each.first)


def _at_most(prefix: str, keys: list[str]) -> list[AddressRange]:
    """The ranges below one prefix, or a single one in place of too many."""
    found = []
    for each in _below(prefix, keys):
        found.append(each)
        if len(found) > MOST_RANGES:
            first = f"{prefix}/{keys[0]}"
            return [AddressRange(f"{first} … {keys[-1]} ({len(keys)}{GAPS})", first, len(keys))]
    return found


def _below(prefix: str, keys: list[str]) -> Iterator[AddressRange]:
    """The keys below one prefix: ranges of one dimension, or a product where dimensions were multiplied."""
    if len(keys) < SHORTEST_RANGE:
        yield from _listed(prefix, keys)
    elif "/" not in keys[0]:
        yield from _one_dimension(prefix, keys)
    elif (product := _product(keys)) is not None:
        yield AddressRange(f"{prefix}/{product} ({len(keys)})", f"{prefix}/{keys[0]}", len(keys))
    else:
        rests_by_key: dict[str, list[str]] = {}
        for key in keys:
            first, _, rest = key.partition("/")
            rests_by_key.setdefault(first, []).append(rest)
        for first, rests in rests_by_key.items():
            yield from _below(f"{prefix}/{first}", rests)


def _listed(prefix: str, keys: list[str]) -> Iterator[AddressRange]:
    for key in keys:
        address = f"{prefix}/{key}"
        yield AddressRange(address, address)


def _one_dimension(prefix: str, keys: list[str]) -> Iterator[AddressRange]:
    for run in runs(keys):
        if len(run) < SHORTEST_RANGE:
            yield from _listed(prefix, run)
        else:
            yield AddressRange(f"{prefix}/{run[0]} … {run[-1]} ({len(run)})", f"{prefix}/{run[0]}", len(run))


def _product(keys: list[str]) -> str | None:
    """The keys as dimensions, each with its ranges in braces; None if one of the combinations is missing."""
    dimensions = [sorted(set(column)) for column in zip(*(key.split("/") for key in keys), strict=True)]
    if prod(map(len, dimensions)) != len(keys):
        return None
    return "/".join(_dimension(values) for values in dimensions)


def _dimension(values: list[str]) -> str:
    if len(values) == 1:
        return values[0]
    shown: list[str] = []
    for run in runs(values):
        shown += run if len(run) < SHORTEST_RANGE else [f"{run[0]} … {run[-1]}"]
        if len(shown) > MOST_RANGES:
            return f"{{{values[0]} … {values[-1]}{GAPS}}}"
    return "{" + ", ".join(shown) + "}"


def runs(keys: Sequence[str]) -> Iterator[list[str]]:
    """The sorted keys, cut where their even step ends; a key that is neither date nor number is a run of its own."""
    for scale, group in groupby(keys, key=_scale):
        alike = list(group)
        positions = _positions(scale, alike)
        if positions is None:
            yield from ([key] for key in alike)
        else:
            yield from _even_runs(alike, positions)


def _scale(key: str) -> str | None:
    """What two keys must have in common to be comparable; None for a key that is just a name."""
    if len(key) == _DATE_LENGTH and key[4] == key[7] == "-":
        return "date"
    numbered = _NUMBERED.match(key)
    return f"{numbered[1]}#{len(numbered[2])}" if numbered else None


def _positions(scale: str | None, keys: list[str]) -> list[int] | None:
    """The keys as numbers: months for dates with one day of the month, days for other dates, or the keys' own numbers.

    None if the keys are just names.
    """
    if scale is None:
        return None
    if scale != "date":
        cut = len(keys[0]) - int(scale.rpartition("#")[2])
        return [int(key[cut:]) for key in keys]
    try:
        if len({key[8:] for key in keys}) == 1:
            return [12 * int(key[:4]) + int(key[5:7]) for key in keys]
        return [date.fromisoformat(key).toordinal() for key in keys]
    except ValueError:
        return None


def _even_runs(keys: list[str], positions: list[int]) -> Iterator[list[str]]:
    """Cut the keys where the step changes.

    Two keys always have an even step between them. Unless they are the last, the second may begin the next run: then
    only the first is cut off.
    """
    start = 0
    while start < len(keys):
        end = start + 1
        if end < len(keys):
            step = positions[end] - positions[start]
            while end < len(keys) and positions[end] - positions[end - 1] == step:
                end += 1
        if end - start == 2 and end < len(keys):  # noqa: PLR2004  (a pair is no run yet)
            end = start + 1
        yield keys[start:end]
        start = end
