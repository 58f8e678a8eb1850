"""YAML text as plain data: mappings, lists and raw scalars. Never resolves a type or a tag, never recurses.

Only the event stream of libyaml is used: PyYAML's composer crashes the process on deep nesting, silently
keeps the last of two equal keys, and turns `no`, `012` or `2026-01-01` into other types. Everything that a hostile
file can make large (depth, nodes, what aliases repeat, documents) has a limit, and reading stops at the first that is
exceeded. Positions are not kept: `positions` finds them again when a diagnostic needs them.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

import yaml
from yaml import events
from yaml.reader import ReaderError

from reconciler.core.diagnostics import Diagnostic, Place, Span
from reconciler.core.manifests.positions import LINE_BREAK, Lookup, locate_all, span_between, unmarked
from reconciler.core.manifests.source import Data, Document, Plain
from reconciler.core.wording import quoted, visible

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_DEPTH = 64
"""Collections within collections (design.md §4)."""

TOO_DEEP = f"collections are nested more than {MAX_DEPTH} deep"
TOO_DEEP_HINT = "a manifest needs no more than six levels"

LIBYAML_TOO_DEEP = "exceeded maximum nesting depth"
"""How libyaml, from 0.2.6 on, says that its own limit of 1,000 was passed."""

MAX_NODES = 4_000_000
"""Values in one file, those that aliases repeat included: about a gigabyte of memory."""

MAX_REPEATED = 10_000
"""Values in one file that aliases repeat: enough for shared settings, too few for a bomb."""

MAX_DOCUMENTS = 10_000
"""Documents in one file; one dataset each."""

MAX_FINDINGS = 1_000
"""Diagnostics of one file after which the rest of it is not read."""

MERGE_KEY = "<<"

BOM = "\ufeff"

UNREADABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
"""Characters that YAML forbids."""


class _Stop(Exception):
    """Ends the reading of a file; the reason is already among the diagnostics."""


def load(text: str, file: str, *, max_nodes: int = MAX_NODES) -> tuple[list[Document], list[Diagnostic]]:
    """Return every document of a file that could be read, and what is wrong with the file as YAML. Raises nothing.

    A document with a mistake is returned, too, where its structure is clear: its other mistakes can then be found.
    """
    text = unmarked(text)
    builder = _Builder(text, file, max_nodes)
    with suppress(_Stop):
        builder.read()
    builder.add_first_lines()
    return builder.documents, builder.diagnostics


@dataclass(slots=True)
class _List:
    """A list that is being filled."""

    data: list[Data]
    anchor: str | None
    nodes_before: int
    """How many nodes the file had when the list began: those since then are what an alias repeats."""


@dataclass(slots=True)
class _Mapping:
    """A mapping that is being filled."""

    data: dict[str, Data]
    anchor: str | None
    nodes_before: int
    key: str | None = None
    """The key whose value comes next; None when a key comes next."""
    is_dropping: bool = False
    """Whether the key was refused: its value is read and dropped."""


class _Builder:
    """Turns the events of one file into data, one at a time."""

    def __init__(self, text: str, file: str, max_nodes: int) -> None:
        self.text = text
        self.file = file
        self.max_nodes = max_nodes
        self.documents: list[Document] = []
        self.diagnostics: list[Diagnostic] = []
        self.stack: list[_List | _Mapping] = []
        self.anchors: dict[str, tuple[Data, int]] = {}
        self.plain_scalars: dict[str, Plain] = {}
        self.root: Data = Plain("")
        self.nodes = 0
        self.repeated = 0
        self.started = 0
        self.first_places: dict[int, Lookup] = {}

    def read(self) -> None:
        """Handle all events. Raises `_Stop` where reading must end."""
        handlers = self.handlers()
        if BOM in self.text:
            self.refuse_marks()
        try:
            next_event = yaml.CSafeLoader(self.text).get_event
            while (event := next_event()) is not None:
                handlers[type(event)](event)
        except (ReaderError, UnicodeEncodeError):
            self.refuse_character()
        except yaml.MarkedYAMLError as error:
            self.refuse_syntax(error)

    def handlers(self) -> Mapping[type[events.Event], Callable[[Any], None]]:
        """Map each kind of event to its handler: for a million events, a look-up is far cheaper than a `match`."""
        return {
            events.ScalarEvent: self.scalar,
            events.MappingStartEvent: self.start_mapping,
            events.MappingEndEvent: self.end,
            events.SequenceStartEvent: self.start_list,
            events.SequenceEndEvent: self.end,
            events.AliasEvent: self.alias,
            events.DocumentStartEvent: self.start_document,
            events.DocumentEndEvent: self.end_document,
            events.StreamStartEvent: self.ignore,
            events.StreamEndEvent: self.ignore,
        }

    def scalar(self, event: events.ScalarEvent) -> None:
        """Handle a key, or a scalar value."""
        if event.tag is not None:
            self.refuse_tag(event, event.tag)
        frame = self.stack[-1] if self.stack else None
        if isinstance(frame, _Mapping) and frame.key is None:
            self.key(frame, event)
            return
        value: Data = self.unquoted(event.value) if event.implicit[0] else event.value
        if event.anchor is not None:
            self.anchors[event.anchor] = (value, 1)
        self.add(value, event)

    def unquoted(self, text: str) -> Plain:
        """Make an unquoted scalar; equal ones are one object, since most files repeat a few scalars."""
        plain = self.plain_scalars.get(text)
        if plain is None:
            plain = self.plain_scalars[text] = Plain(text)
        return plain

    def key(self, frame: _Mapping, event: events.ScalarEvent) -> None:
        """Remember a key; one that stands twice or is a merge is refused."""
        key = frame.key = event.value
        if key == MERGE_KEY and event.implicit[0]:
            hint = "write the fields out, or put what batches share under `defaults`"
            self.report("merge-key", "`<<` merges are not supported", self.span(event), hint)
            frame.is_dropping = True
        elif key in frame.data:
            hint = "keep one of the two: YAML would silently take the last"
            self.first_places[len(self.diagnostics)] = Lookup(self.place(), key=True)
            self.report("duplicate-key", f"{quoted(key)} stands twice in one mapping", self.span(event), hint)
            frame.is_dropping = True

    def place(self) -> Place:
        """Return the place of the value that comes next."""
        steps = [frame.key or "" if isinstance(frame, _Mapping) else len(frame.data) for frame in self.stack]
        return Place(self.file, self.started - 1, tuple(steps))

    def add_first_lines(self) -> None:
        """Add to each duplicate key the line of the first one: that needs a second pass."""
        spans = locate_all(self.text, list(self.first_places.values())) if self.first_places else []
        for index, span in zip(self.first_places, spans, strict=True):
            found = self.diagnostics[index]
            if span is not None:
                message = f"{found.message}; the first is at `{visible(self.file)}:{span.line}`"
                self.diagnostics[index] = replace(found, message=message)

    def add(self, node: Data, event: events.Event) -> None:
        """Put a finished node where it belongs."""
        self.nodes += 1
        if self.nodes > self.max_nodes:
            hint = "split the file, or declare many batches with `each`"
            self.stop("too-large", f"the file holds more than {self.max_nodes:,} values", event, hint)
        frame = self.stack[-1] if self.stack else None
        if frame is None:
            self.root = node
        elif isinstance(frame, _List):
            frame.data.append(node)
        elif frame.key is None:
            self.report("bad-key", "a key must be a text", self.span(event), "write the key as one word")
            frame.key, frame.is_dropping = "", True
        else:
            if not frame.is_dropping:
                frame.data[frame.key] = node
            frame.key, frame.is_dropping = None, False

    def start_mapping(self, event: events.MappingStartEvent) -> None:
        """Begin a mapping."""
        self.check_start(event)
        self.stack.append(_Mapping({}, event.anchor, self.nodes))

    def start_list(self, event: events.SequenceStartEvent) -> None:
        """Begin a list."""
        self.check_start(event)
        self.stack.append(_List([], event.anchor, self.nodes))

    def check_start(self, event: events.CollectionStartEvent) -> None:
        """Refuse tags and too deep nesting."""
        if event.tag is not None:
            self.refuse_tag(event, event.tag)
        if len(self.stack) == MAX_DEPTH:
            self.stop("too-deep", TOO_DEEP, event, TOO_DEEP_HINT)
        if event.anchor is not None:
            self.anchors.pop(event.anchor, None)  # a collection must not contain itself

    def end(self, event: events.CollectionEndEvent) -> None:
        """Finish a mapping or a list."""
        frame = self.stack.pop()
        self.add(frame.data, event)
        if frame.anchor is not None:
            self.anchors[frame.anchor] = (frame.data, self.nodes - frame.nodes_before)

    def alias(self, event: events.AliasEvent) -> None:
        """Repeat an anchored node; it is shared, but counted as if it were copied."""
        name = event.anchor or ""
        node, size = self.anchors.get(name, (None, 0))
        if node is None:
            hint = f"write the value out, or put {quoted('&' + name)} before the value to repeat, further up"
            self.report("unknown-alias", f"{quoted('*' + name)} repeats nothing above it", self.span(event), hint)
            self.drop()
            return
        self.repeated += size
        self.nodes += size - 1
        if self.repeated > MAX_REPEATED:
            message = f"aliases repeat more than {MAX_REPEATED:,} values"
            self.stop(
                "too-large",
                message,
                event,
                "use `defaults` for what batches share, and `each` for many batches",
            )
        self.add(node, event)

    def drop(self) -> None:
        """Leave out the value that would come now."""
        frame = self.stack[-1] if self.stack else None
        if isinstance(frame, _Mapping):
            frame.is_dropping = frame.key is None
            frame.key = "" if frame.key is None else None

    def start_document(self, event: events.DocumentStartEvent) -> None:
        """Begin a document; it does not see the anchors of the one before."""
        if self.started == MAX_DOCUMENTS:
            self.stop("too-large", f"the file holds more than {MAX_DOCUMENTS:,} documents", event, "split the file")
        self.started += 1
        self.anchors.clear()
        self.root = Plain("")

    def end_document(self, _event: events.DocumentEndEvent) -> None:
        """Finish a document."""
        self.documents.append(Document(self.started - 1, self.root))

    def ignore(self, _event: events.Event) -> None:
        """Skip the start and the end of the stream."""

    def refuse_tag(self, event: events.ScalarEvent | events.CollectionStartEvent, tag: str) -> None:
        """Tags could name types and code; a manifest needs neither."""
        shown = tag.replace("tag:yaml.org,2002:", "!!", 1)
        self.report("tag", f"the tag {quoted(shown)} is not allowed", self.span(event), "take the tag out")

    def refuse_syntax(self, error: yaml.MarkedYAMLError) -> None:
        """Report what libyaml could not read, with its own message."""
        marks = [mark for mark in (error.problem_mark, error.context_mark) if mark is not None]
        # What was never closed says more than the end of the file.
        mark = next((mark for mark in marks if any(map(str.strip, self.lines[mark.line :]))), None)
        problem = " ".join(filter(None, (error.problem, error.context)))
        span = self.span_at(len(self.text.rstrip()) - 1)
        if mark is not None:
            span = replace(span_between(self.file, self.lines, mark, mark), end_column=mark.column + 2)
        if LIBYAML_TOO_DEEP in problem:  # the scanner is ahead of the events
            self.report("too-deep", TOO_DEEP, span, TOO_DEEP_HINT)
        else:
            self.report("not-yaml", f"this is not YAML: {visible(problem)}", span, _syntax_hint(problem, span))

    def refuse_marks(self) -> NoReturn:
        """Report every byte order mark inside the file: libyaml takes it for a letter of the key behind it."""
        hint = "take it out: editors hide it, and it comes from files that were joined into one"
        message = "an invisible byte order mark (U+FEFF) stands here; only a document may begin with one"
        for number, line in enumerate(self.lines, 1):
            for found in re.finditer(BOM, line):
                span = Span(self.file, number, found.start() + 1, found.end() + 1, line)
                self.report("byte-order-mark", message, span, hint)
        raise _Stop

    def refuse_character(self) -> None:
        """Report a character that YAML forbids: the first one, since the parser's position counts bytes."""
        found = UNREADABLE.search(self.text)
        start = found.start() if found else 0
        message = f"this is not YAML: the character {quoted(self.text[start])} is not allowed in it"
        hint = "take it out, or write it as an escape in double quotes"
        self.report("not-yaml", message, self.span_at(start), hint)

    def report(self, code: str, message: str, span: Span | None, hint: str) -> None:
        """Add a diagnostic. Raises `_Stop` when there are too many."""
        self.diagnostics.append(Diagnostic(code, message, span, hint))
        if len(self.diagnostics) == MAX_FINDINGS:
            raise _Stop

    def stop(self, code: str, message: str, event: events.Event, hint: str) -> NoReturn:
        """Add a diagnostic and end the reading."""
        self.report(code, message, self.span(event), hint)
        raise _Stop

    @cached_property
    def lines(self) -> list[str]:
        """The source lines; only a finding needs them."""
        return LINE_BREAK.split(self.text)

    def span(self, event: events.Event) -> Span | None:
        """Where an event stands."""
        start, end = event.start_mark, event.end_mark
        return span_between(self.file, self.lines, start, end) if start and end else None

    def span_at(self, index: int) -> Span:
        """Where one character stands."""
        before = LINE_BREAK.split(self.text[:index])
        line, column = len(before), len(before[-1]) + 1
        return Span(self.file, line, column, column + 1, self.lines[line - 1])


def _syntax_hint(problem: str, span: Span) -> str:
    """Suggest the usual cause of a syntax error, by the character at which libyaml stopped."""
    if "Unicode character escape" in problem:
        return "write the character itself: halves of one, as JSON escapes them (`\\ud83d\\ude00`), are no YAML"
    before, rest = span.text[: span.column - 1], span.text[span.column - 1 :]
    if rest.startswith("\t") or ("\t" in before and not before.strip()):
        return "indent with spaces, not with tabs"
    if rest.startswith(("@", "`", "%", "*", "&", "!", "|", ">")):
        return f"put a text that begins with `{rest[0]}` in quotes"
    if rest.startswith(":"):
        return "put a text that holds `: ` in quotes, and indent the fields of one mapping alike"
    return "check the indentation, the quotes and the brackets here and in the lines above"
