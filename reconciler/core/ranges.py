"""Long runs of addresses folded into ranges that a person can check: `loyalty/daily/2026-01-01 … 2026-03-31 (90)`.

A range says only what can be counted: dates or numbers in one even step, without a gap. Dimensions that were
multiplied are folded as a product. Names that nobody could guess are never folded away while they are few.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from math import prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MOST_RANGES = 100
"""Lines for one set of addresses; beyond it one line names the first, the last and the count."""

SHORTEST_RANGE = 3
"""Fewer addresses are listed."""

_DATE_LENGTH = len("2026-01-01")
_NUMBERED = re.compile(r"(.*?)(\d{1,9})\Z")


@dataclass(frozen=True, slots=True)
class AddressRange:
    """One address, or a range of them."""

    text: str
    """As shown: the address itself when there is one."""
    first: str
    """The first address."""
    count: int = 1


def address_ranges(addresses: Sequence[str]) -> list[AddressRange]:
    """The addresses as ranges, in their order. They are sorted, and each stands once."""
    groups: dict[tuple[str, int], list[str]] = {}
    for address in addresses:
        dataset, _, rest = address.partition("/")
        batch, _, keys = rest.partition("/")
        if keys:
            groups.setdefault((f"{dataset}/{batch}", keys.count("/")), []).append(keys)
        else:
            groups.setdefault((dataset, -1), []).append(batch)
    pieces = [piece for (head, _), keys in groups.items() for piece in _few(head, keys)]
    return sorted(pieces, key=lambda piece: piece.first)


def _few(head: str, keys: list[str]) -> list[AddressRange]:
    pieces = []
    for piece in _pieces(head, keys):
        pieces.append(piece)
        if len(pieces) > MOST_RANGES:
            first = f"{head}/{keys[0]}"
            return [AddressRange(f"{first} … {keys[-1]} ({len(keys)}, with gaps)", first, len(keys))]
    return pieces


def _pieces(head: str, keys: list[str]) -> Iterator[AddressRange]:
    """The keys below one head: ranges of one dimension, or a product where dimensions were multiplied."""
    if len(keys) < SHORTEST_RANGE:
        yield from (AddressRange(address, address) for address in (f"{head}/{key}" for key in keys))
    elif "/" not in keys[0]:
        yield from _ranges(head, keys)
    elif (product := _product(keys)) is not None:
        yield AddressRange(f"{head}/{product} ({len(keys)})", f"{head}/{keys[0]}", len(keys))
    else:
        below: dict[str, list[str]] = {}
        for key in keys:
            first, _, rest = key.partition("/")
            below.setdefault(first, []).append(rest)
        for first, rests in below.items():
            yield from _pieces(f"{head}/{first}", rests)


def _ranges(head: str, keys: list[str]) -> Iterator[AddressRange]:
    for run in runs(keys):
        if len(run) < SHORTEST_RANGE:
            yield from (AddressRange(address, address) for address in (f"{head}/{key}" for key in run))
        else:
            yield AddressRange(f"{head}/{run[0]} … {run[-1]} ({len(run)})", f"{head}/{run[0]}", len(run))


def _product(keys: list[str]) -> str | None:
    """The keys as dimensions, each with its ranges in braces; None when some of the combinations are not there."""
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
            return f"{{{values[0]} … {values[-1]}, with gaps}}"
    return "{" + ", ".join(shown) + "}"


def runs(keys: Sequence[str]) -> Iterator[list[str]]:
    """The sorted keys, cut where their even step ends; a key that is neither date nor number is a run of its own."""
    for scale, group in groupby(keys, key=_scale):
        alike = list(group)
        places = _places(scale, alike)
        if places is None:
            yield from ([key] for key in alike)
        else:
            yield from _even(alike, places)


def _scale(key: str) -> str | None:
    """What two keys must have in common to be comparable; None when a key is just a name."""
    if len(key) == _DATE_LENGTH and key[4] == key[7] == "-":
        return "date"
    numbered = _NUMBERED.match(key)
    return f"{numbered[1]}#{len(numbered[2])}" if numbered else None


def _places(scale: str | None, keys: list[str]) -> list[int] | None:
    """Where the keys stand on their scale: months if all are of one day of the month, else days; or plain numbers."""
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


def _even(keys: list[str], places: list[int]) -> Iterator[list[str]]:
    """Cut where the step changes. A cut may leave two keys that only happen to be neighbours: they are listed."""
    start = 0
    while start < len(keys):
        end = start + 1
        if end < len(keys):
            step = places[end] - places[start]
            while end < len(keys) and places[end] - places[end - 1] == step:
                end += 1
        if end - start == 2 and end < len(keys):  # noqa: PLR2004  (the second may begin the next run)
            end = start + 1
        yield keys[start:end]
        start = end
