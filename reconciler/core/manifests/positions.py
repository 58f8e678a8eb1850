"""Where things stand in a manifest: a symbolic `Place` becomes a `Span` only when a diagnostic needs it.

The data of a manifest carries no positions (they would cost more than the data); this second pass over the
events finds them again. It must never be called for what is not going to be shown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import yaml
from yaml import events

from reconciler.core.diagnostics import Span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.core.diagnostics import Place, Route

LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
"""What libyaml counts as the end of a line."""


class Mark(Protocol):
    """A position as libyaml gives it: both count from 0, columns in code points."""

    @property
    def line(self) -> int:
        """The line."""
        ...

    @property
    def column(self) -> int:
        """The column."""
        ...


@dataclass(frozen=True, slots=True)
class Lookup:
    """A place that is asked for: its value, or the key that the value stands under."""

    place: Place
    key: bool = False


def split_lines(text: str) -> list[str]:
    """Split a source into lines as libyaml counts them, without breaks and byte order mark."""
    return LINE_BREAK.split(text.removeprefix("\ufeff"))


def span_between(file: str, lines: Sequence[str], start: Mark, end: Mark) -> Span:
    """Span from one mark to another: on one line, and never empty."""
    text = lines[start.line] if start.line < len(lines) else ""
    stop = end.column if end.line == start.line else 0
    if stop <= start.column:
        stop = max(len(text.rstrip()), start.column + 1)
    return Span(file, start.line + 1, start.column + 1, stop + 1, text)


def locate(text: str, place: Place, *, key: bool = False) -> Span | None:
    """Find the span of a place, or of its nearest parent if it is not there; None without even that."""
    return locate_all(text, [Lookup(place, key)])[0]


def locate_all(text: str, lookups: Sequence[Lookup]) -> list[Span | None]:
    """Find the spans of many places of one file in one pass: as `locate`, in the order asked for."""
    roots: dict[int, _Spot] = {}
    for lookup in lookups:
        _plant(roots.setdefault(lookup.place.document, _Spot()), lookup.place.route)
    walk = _Walk(roots)
    try:
        parser = yaml.CSafeLoader(text.removeprefix("\ufeff"))
        while walk.is_looking and (event := parser.get_event()) is not None:
            walk.take(event)
    except (yaml.YAMLError, UnicodeEncodeError):
        pass  # what stands before the mistake has been found
    lines = split_lines(text)
    return [_resolve(roots[lookup.place.document], lookup, lines) for lookup in lookups]


@dataclass(slots=True)
class _Spot:
    """A step on the way to a place that is asked for, with the marks found so far."""

    children: dict[str | int, _Spot] = field(default_factory=dict)
    key: tuple[Mark, Mark] | None = None
    value: tuple[Mark, Mark] | None = None

    @property
    def best_value(self) -> tuple[Mark, Mark] | None:
        """The value's marks if they make one readable caret, else its key's."""
        if self.value and self.key:
            start, end = self.value
            return self.value if start.line == end.line and start.column < end.column else self.key
        return self.value or self.key


def _plant(root: _Spot, route: Route) -> None:
    for step in route:
        root = root.children.setdefault(step, _Spot())


def _resolve(root: _Spot, lookup: Lookup, lines: Sequence[str]) -> Span | None:
    spot, asks_key = root, lookup.key
    for step in lookup.place.route:
        child = spot.children[step]
        if child.best_value is None:
            asks_key = True  # of a parent, its key says more than all that it holds
            break
        spot = child
    marks = (spot.key if asks_key else None) or spot.best_value
    return span_between(lookup.place.file, lines, *marks) if marks else None


@dataclass(slots=True)
class _Frame:
    """A collection that the walk is inside of."""

    spot: _Spot | None
    """The step it is, if anything in it is asked for."""
    start: Mark | None
    is_mapping: bool
    is_flow: bool
    index: int = 0
    key: events.Event | None = None
    """The key whose value comes next."""
    child: _Spot | None = None
    """The step that comes next, if it is asked for."""


class _Walk:
    """Follows the events of a file and notes the marks of every spot on the way."""

    def __init__(self, roots: dict[int, _Spot]) -> None:
        self.roots = roots
        self.document = -1
        self.stack: list[_Frame] = []

    @property
    def is_looking(self) -> bool:
        """Whether a document that is asked for may still come."""
        return self.document <= max(self.roots, default=-1)

    def take(self, event: events.Event) -> None:
        """Follow one event."""
        match event:
            case events.DocumentStartEvent():
                self.document += 1
            case events.CollectionStartEvent():
                self.start(event)
            case events.CollectionEndEvent():
                self.end(event)
            case events.ScalarEvent() | events.AliasEvent():
                self.leaf(event)
            case _:
                pass

    def leaf(self, event: events.ScalarEvent | events.AliasEvent) -> None:
        """Pass a key, or a value of no parts (an alias is one: it stands where the user wrote it)."""
        frame = self.stack[-1] if self.stack else None
        if frame is not None and frame.is_mapping and frame.key is None:
            frame.key = event
            spot = None
            if frame.spot is not None and isinstance(event, events.ScalarEvent):
                spot = frame.spot.children.get(event.value)
            frame.child = spot if spot is not None and spot.key is None else None
            if frame.child is not None:
                frame.child.key = _marks(event)
            return
        spot = self.next_spot()
        if spot is not None and spot.value is None:
            spot.value = _marks(event)

    def next_spot(self) -> _Spot | None:
        """Return the spot of the value that comes now; the frame moves on to the one after."""
        if not self.stack:
            return self.roots.get(self.document)
        frame = self.stack[-1]
        if frame.is_mapping:
            spot, frame.key, frame.child = frame.child, None, None
            return spot
        frame.index += 1
        return frame.spot.children.get(frame.index - 1) if frame.spot is not None else None

    def start(self, event: events.CollectionStartEvent) -> None:
        """Enter a collection."""
        frame = self.stack[-1] if self.stack else None
        if frame is not None and frame.is_mapping and frame.key is None:
            frame.key, spot = event, None  # a collection as a key: `load` has refused it
        else:
            spot = self.next_spot()
        is_mapping = isinstance(event, events.MappingStartEvent)
        self.stack.append(_Frame(spot, event.start_mark, is_mapping, bool(event.flow_style)))
        if spot is not None and event.start_mark is not None:
            spot.value = (event.start_mark, event.start_mark)

    def end(self, event: events.CollectionEndEvent) -> None:
        """Leave a collection; one in braces or brackets can be pointed at as a whole."""
        frame = self.stack.pop()
        if frame.spot is not None and frame.is_flow and frame.start is not None and event.end_mark is not None:
            frame.spot.value = (frame.start, event.end_mark)


def _marks(event: events.Event) -> tuple[Mark, Mark] | None:
    return (event.start_mark, event.end_mark) if event.start_mark and event.end_mark else None
