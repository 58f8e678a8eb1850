"""Where things stand in a manifest: a symbolic `Place` becomes a `Span` only when a diagnostic needs it.

The data of a manifest has no positions, since they would take more memory than the data: this second pass over the
events finds them. It is only for what is shown.
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

LEGAL_MARK = re.compile("(\\A|^---[ \\t]*(?:#.*)?\r?\n|^(?=\ufeff---))\ufeff", re.MULTILINE)
"""A byte order mark that begins a document (YAML 1.2 §5.2): files that were joined into one have it."""


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


def unmarked(text: str) -> str:
    """The text without byte order marks where YAML allows them, before each document; libyaml only knows the first."""
    return LEGAL_MARK.sub(r"\1", text) if "\ufeff" in text else text


def split_lines(text: str) -> list[str]:
    """Split a source into lines as libyaml counts them, without breaks and byte order marks of documents."""
    return LINE_BREAK.split(unmarked(text))


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
    roots: dict[int, _Node] = {}
    for lookup in lookups:
        _insert(roots.setdefault(lookup.place.document, _Node()), lookup.place.route)
    walk = _Walk(roots)
    try:
        parser = yaml.CSafeLoader(unmarked(text))
        while walk.is_unfinished and (event := parser.get_event()) is not None:
            walk.handle(event)
    except (yaml.YAMLError, UnicodeEncodeError):
        pass  # what stands before the mistake has been found
    lines = split_lines(text)
    return [_span_of(roots[lookup.place.document], lookup, lines) for lookup in lookups]


@dataclass(slots=True)
class _Node:
    """A key or an index on the route to a place that is asked for, with the marks found so far."""

    children: dict[str | int, _Node] = field(default_factory=dict)
    key: tuple[Mark, Mark] | None = None
    value: tuple[Mark, Mark] | None = None

    @property
    def best_value(self) -> tuple[Mark, Mark] | None:
        """The value's marks if it stands on one line, else those of its key."""
        if self.value and self.key:
            start, end = self.value
            return self.value if start.line == end.line and start.column < end.column else self.key
        return self.value or self.key


def _insert(root: _Node, route: Route) -> None:
    for step in route:
        root = root.children.setdefault(step, _Node())


def _span_of(root: _Node, lookup: Lookup, lines: Sequence[str]) -> Span | None:
    node, asks_key = root, lookup.key
    for step in lookup.place.route:
        child = node.children[step]
        if child.best_value is None:
            asks_key = True  # for a parent, point at its key, not at all that it holds
            break
        node = child
    marks = (node.key if asks_key else None) or node.best_value
    return span_between(lookup.place.file, lines, *marks) if marks else None


@dataclass(slots=True)
class _Frame:
    """A collection that has begun and not ended."""

    node: _Node | None
    """Its own node, if anything in it is asked for."""
    start: Mark | None
    is_mapping: bool
    is_flow: bool
    index: int = 0
    key: events.Event | None = None
    """The key whose value comes next."""
    child: _Node | None = None
    """The node of the value that comes next, if it is asked for."""


class _Walk:
    """Follows the events of a file and keeps the marks of every node."""

    def __init__(self, roots: dict[int, _Node]) -> None:
        self.roots = roots
        self.document = -1
        self.stack: list[_Frame] = []

    @property
    def is_unfinished(self) -> bool:
        """Whether a document that is asked for may still come."""
        return self.document <= max(self.roots, default=-1)

    def handle(self, event: events.Event) -> None:
        """Handle one event."""
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
        """Handle a key, a scalar value or an alias, which stands where the user wrote it."""
        frame = self.stack[-1] if self.stack else None
        if frame is not None and frame.is_mapping and frame.key is None:
            frame.key = event
            node = None
            if frame.node is not None and isinstance(event, events.ScalarEvent):
                node = frame.node.children.get(event.value)
            frame.child = node if node is not None and node.key is None else None
            if frame.child is not None:
                frame.child.key = _marks(event)
            return
        node = self.next_node()
        if node is not None and node.value is None:
            node.value = _marks(event)

    def next_node(self) -> _Node | None:
        """Return the node of the value that comes now; the frame moves on to the one after."""
        if not self.stack:
            return self.roots.get(self.document)
        frame = self.stack[-1]
        if frame.is_mapping:
            node, frame.key, frame.child = frame.child, None, None
            return node
        frame.index += 1
        return frame.node.children.get(frame.index - 1) if frame.node is not None else None

    def start(self, event: events.CollectionStartEvent) -> None:
        """Enter a collection."""
        frame = self.stack[-1] if self.stack else None
        if frame is not None and frame.is_mapping and frame.key is None:
            frame.key, node = event, None  # a collection as a key: `load` has refused it
        else:
            node = self.next_node()
        is_mapping = isinstance(event, events.MappingStartEvent)
        self.stack.append(_Frame(node, event.start_mark, is_mapping, bool(event.flow_style)))
        if node is not None and event.start_mark is not None:
            node.value = (event.start_mark, event.start_mark)

    def end(self, event: events.CollectionEndEvent) -> None:
        """Leave a collection; one in braces or brackets can be pointed at as a whole."""
        frame = self.stack.pop()
        if frame.node is not None and frame.is_flow and frame.start is not None and event.end_mark is not None:
            frame.node.value = (frame.start, event.end_mark)


def _marks(event: events.Event) -> tuple[Mark, Mark] | None:
    return (event.start_mark, event.end_mark) if event.start_mark and event.end_mark else None
