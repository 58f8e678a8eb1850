"""`moved`, `imports` and `replaces`: what they name must be declared, stand once, and not go in a circle."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from reconciler.core.address import names_address, split
from reconciler.core.manifests.findings import Finding
from reconciler.core.wording import closest, quoted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from reconciler.core.batch import Desired
    from reconciler.core.diagnostics import Place
    from reconciler.core.manifests.project import Import, Move


def check_entries(moves: Sequence[Move], imports: Sequence[Import]) -> list[Finding]:
    """Find entries that contradict each other."""
    return [
        *_duplicates([(each.origin, each.place, "from") for each in moves], "duplicate-move", "is moved twice"),
        *_duplicates([(each.target, each.place, "to") for each in moves], "duplicate-move", "is moved to twice"),
        *_circular_moves(moves),
        *_duplicates([(each.target, each.place, "to") for each in imports], "duplicate-import", "is imported to twice"),
        *_duplicates([(each.id, each.place, "id") for each in imports], "duplicate-import", "is imported twice"),
    ]


def check_references(
    moves: Sequence[Move], imports: Sequence[Import], desired: Mapping[str, Desired]
) -> Iterator[Finding]:
    """Find entries that name what is not declared, or move what still is; `desired` is by address."""
    origins = {move.origin for move in moves}
    for move in moves:
        if move.origin in desired:
            message = f"{quoted(move.origin)} is moved away, and still declared"
            hint = "take the batch out under its old name, or the entry out of `moved`"
            yield Finding("move-of-declared", message, move.place.below("from"), hint)
        if move.target not in desired and move.target not in origins:
            yield _undeclared(move.target, move.place.below("to"), desired)
    for entry in imports:
        if entry.target not in desired:
            yield _undeclared(entry.target, entry.place.below("to"), desired)
    yield from _check_replaces(desired)


def _check_replaces(desired: Mapping[str, Desired]) -> Iterator[Finding]:
    graph: dict[str, list[str]] = {}
    for each in desired.values():
        for index, name in enumerate(each.spec.get("replaces", ())):
            if not names_address(name):
                continue
            place = each.place.below("replaces", index)
            if name not in desired:
                yield _undeclared(name, place, desired)
            graph.setdefault(each.address, []).append(name)
    for address in _cycle(graph)[:1]:
        message = f"{quoted(address)} replaces itself, by way of others or directly"
        hint = "a batch replaces earlier ones: take the entry out"
        yield Finding("circular-replaces", message, desired[address].place.below("replaces"), hint)


def _duplicates(entries: Iterable[tuple[str, Place, str]], code: str, what: str) -> Iterator[Finding]:
    seen: dict[str, Place] = {}
    for value, place, step in entries:
        at = place.below(step)
        first = seen.setdefault(value, at)
        if first is not at:
            yield Finding(code, f"{quoted(value)} {what}", at, "take one of the two entries out", first=first)


def _circular_moves(moves: Sequence[Move]) -> Iterator[Finding]:
    circle = _cycle({move.origin: [move.target] for move in moves})
    places = {move.origin: move.place for move in moves}
    if circle:
        start = min(circle)
        message = f"the moves go in a circle: {' → '.join(quoted(each) for each in _from(start, circle))}"
        yield Finding("circular-move", message, places[start].below("from"), "take one of the entries out")


def _cycle(graph: Mapping[str, Collection[str]]) -> list[str]:
    """Return the nodes of one circle in the order of its edges; empty if there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]
        return circle[:0:-1]
    return []


def _from(start: str, circle: Sequence[str]) -> list[str]:
    index = circle.index(start)
    return [*circle[index:], *circle[:index], start]


def _undeclared(address: str, place: Place, desired: Mapping[str, Desired]) -> Finding:
    near = closest(address, _candidates(address, desired))
    hint = "name an address that the manifests declare"
    message = f"{quoted(address)} is not declared"
    return Finding("undeclared-address", message, place, f"did you mean `{near}`?" if near else hint)


def _candidates(address: str, desired: Iterable[str]) -> list[str]:
    """Return a few addresses to compare with, out of a million."""
    dataset = split(address)[0] + "/"
    return [each for each in desired if each.startswith(dataset)][:1000]
