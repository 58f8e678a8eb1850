"""Diagnostics as text for people, as annotations for GitHub and as JSON for programs.

The text form shows the source line with a caret under what is meant:

    error[unknown-field]: `formt` is not a field of `initial-load`
      --> manifests/loyalty.yaml:5:5
      |
    5 |     formt: json
      |     ^^^^^
    hint: did you mean `format`? Fields: complete, csv, each, …

Text from a file is escaped for the place where it is shown: no control character reaches a terminal, and nothing in
a manifest becomes a workflow command.
"""

from __future__ import annotations

import unicodedata
from posixpath import normpath
from typing import TYPE_CHECKING

from reconciler.core.diagnostics import Severity
from reconciler.views.color import Palette
from reconciler.views.error_text import hint_lines
from reconciler.views.escape import cut, for_terminal, for_workflow, for_workflow_property

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from reconciler.core.batch import Json
    from reconciler.core.diagnostics import Diagnostic, Span

WIDEST_LINE = 120
"""Columns of a source line that are shown; a longer line is cut around the caret."""

MOST_LOOKED_AT = 4 * WIDEST_LINE
"""Characters before, under and behind the caret that are looked at: some take no column, and a line may be long."""

BEFORE_CARET = 40
"""Columns that a clipped line keeps before the caret."""

MOST_ANNOTATIONS = 10
"""GitHub shows ten annotations of one kind for a step and drops the others without a message."""

TAB = "    "


def render(diagnostics: Sequence[Diagnostic], *, color: bool = False) -> str:
    """All findings as text for people, with a blank line between them."""
    paint = Palette(color)
    return "\n\n".join("\n".join(_lines(each, paint)) for each in diagnostics)


def render_github(diagnostics: Sequence[Diagnostic], below: str = "") -> str:
    """The findings as GitHub's workflow commands: the first as annotations in a pull request, the rest as a count.

    `below` is the project's folder within the repository, such as `crm/`.
    """
    lines = [_annotation(each, below) for each in diagnostics[:MOST_ANNOTATIONS]]
    more = len(diagnostics) - len(lines)
    if more:
        lines.append(f"::notice title=reconciler::and {more} more: `reconciler validate` shows all of them")
    return "\n".join(lines)


def to_json(diagnostics: Sequence[Diagnostic]) -> list[Json]:
    """The findings as JSON. Lines and columns count from 1, `end_column` is exclusive; without a place all are null."""
    return [_json(each) for each in diagnostics]


def _json(diagnostic: Diagnostic) -> Json:
    span = diagnostic.span
    return {
        "code": diagnostic.code,
        "severity": diagnostic.severity.value,
        "message": diagnostic.message,
        "hint": diagnostic.hint,
        "file": span.file if span else None,
        "line": span.line if span else None,
        "column": span.column if span else None,
        "end_column": span.end_column if span else None,
    }


def _annotation(diagnostic: Diagnostic, below: str) -> str:
    span = diagnostic.span
    properties: dict[str, str | int] = {}
    if span is not None:
        properties = {
            "file": normpath(f"{below}{span.file}"),  # a folder named by `..` may stand in it
            "line": span.line,
            "col": span.column,
            "endColumn": span.end_column,
        }
    properties["title"] = f"{diagnostic.severity.value}[{diagnostic.code}]"
    text = ",".join(f"{name}={for_workflow_property(str(value))}" for name, value in properties.items())
    hint = "" if diagnostic.hint is None else f"\nhint: {cut(diagnostic.hint)}"
    message = cut(diagnostic.message) + hint
    return f"::{diagnostic.severity.value} {text}::{for_workflow(message)}"


def _lines(diagnostic: Diagnostic, paint: Palette) -> list[str]:
    emphasis = _emphasis(diagnostic.severity, paint)
    head = emphasis(f"{diagnostic.severity.value}[{diagnostic.code}]")
    lines = [f"{head}: {paint.bold(for_terminal(diagnostic.message))}"]
    if diagnostic.span is not None:
        lines += _excerpt(diagnostic.span, paint, emphasis)
    return lines + hint_lines(diagnostic.hint, paint)


def _emphasis(severity: Severity, paint: Palette) -> Callable[[str], str]:
    match severity:
        case Severity.ERROR:
            return paint.red
        case Severity.WARNING:
            return paint.yellow


def _excerpt(span: Span, paint: Palette, emphasis: Callable[[str], str]) -> list[str]:
    """The place, the source line and the caret."""
    number = str(span.line)
    margin = " " * len(number)
    line, indent, width = _clipped(span)
    bar = paint.dim("|")
    return [
        f"{margin} {paint.dim('-->')} {for_terminal(span.file)}:{span.line}:{span.column}",
        f"{margin} {bar}",
        f"{paint.dim(number)} {bar} {line}".rstrip(),
        f"{margin} {bar} {' ' * indent}{emphasis('^' * width)}",
    ]


def _clipped(span: Span) -> tuple[str, int, int]:
    """The source line as it is shown, how many columns stand before the caret, and how many the caret takes."""
    start, end = span.column - 1, span.end_column - 1
    pieces = (
        (max(start - MOST_LOOKED_AT, 0), start),
        (start, min(end, start + MOST_LOOKED_AT)),
        (end, end + MOST_LOOKED_AT),
    )
    before, meant, after = (_shown(span.text[first:stop]) for first, stop in pieces)
    if _width(before + meant + after) > WIDEST_LINE:
        before = _head(before[::-1], BEFORE_CARET)[::-1]
        meant = _head(meant, WIDEST_LINE - _width(before))
        after = _head(after, WIDEST_LINE - _width(before + meant))
    return before + meant + after, _width(before), max(_width(meant), 1)


def _shown(text: str) -> str:
    return for_terminal(text.replace("\t", TAB), most=None)  # `_clipped` cuts, around the caret


def _head(text: str, columns: int) -> str:
    """The text, cut to so many columns; the last one is then an ellipsis."""
    if columns < 1:
        return ""
    if _width(text) <= columns:
        return text
    used = 1
    for index, character in enumerate(text):
        used += _width(character)
        if used > columns:
            return f"{text[:index]}…"
    return text


def _width(text: str) -> int:
    """Columns that a terminal needs: a wide character takes two, a combining one takes none."""
    if text.isascii():
        return len(text)
    return sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    if unicodedata.category(character) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1
