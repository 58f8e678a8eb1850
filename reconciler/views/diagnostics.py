"""Diagnostics as text for people, for GitHub and for programs. One value, three renderings; none of them decides.

The text form shows the source line with a caret under what is meant:

    error[unknown-field]: `formt` is not a field of `initial-load`
      --> manifests/loyalty.yaml:5:5
      |
    5 |     formt: json
      |     ^^^^^
    hint: did you mean `format`? Fields: complete, csv, each, …

Everything that comes from a file is escaped for where it lands: no control character reaches a terminal, and
nothing that a manifest says becomes a workflow command.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from reconciler.core.diagnostics import Severity
from reconciler.views.color import Palette
from reconciler.views.escape import for_terminal, for_workflow, for_workflow_property

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from reconciler.core.batch import Json
    from reconciler.core.diagnostics import Diagnostic, Span

WIDEST_LINE = 120
"""Columns of a source line that are shown; of a longer one, those around the caret."""

BEFORE_CARET = 40
"""Columns that a clipped line keeps before the caret."""

MOST_ANNOTATIONS = 10
"""GitHub shows ten of a kind for a step and drops the others without a word."""

TAB = "    "


def render(diagnostics: Sequence[Diagnostic], *, color: bool = False) -> str:
    """All findings as text for people, a blank line between two; colour adds emphasis and nothing else."""
    paint = Palette(color)
    return "\n\n".join("\n".join(_lines(each, paint)) for each in diagnostics)


def render_github(diagnostics: Sequence[Diagnostic]) -> str:
    """The findings as GitHub's workflow commands: annotations at the lines of a pull request, and how many more."""
    lines = [_annotation(each) for each in diagnostics[:MOST_ANNOTATIONS]]
    more = len(diagnostics) - len(lines)
    if more:
        lines.append(f"::notice title=reconciler::and {more} more: `reconciler validate` shows all of them")
    return "\n".join(lines)


def to_json(diagnostics: Sequence[Diagnostic]) -> list[Json]:
    """The findings as JSON. Lines and columns count from 1, `end_column` is exclusive; all are null without a place."""
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


def _annotation(diagnostic: Diagnostic) -> str:
    span = diagnostic.span
    properties = {"title": f"{diagnostic.severity.value}[{diagnostic.code}]"}
    if span is not None:
        place = {"file": span.file, "line": span.line, "col": span.column, "endColumn": span.end_column}
        properties = {**{name: str(value) for name, value in place.items()}, **properties}
    text = ",".join(f"{name}={for_workflow_property(value)}" for name, value in properties.items())
    message = diagnostic.message if diagnostic.hint is None else f"{diagnostic.message}\nhint: {diagnostic.hint}"
    return f"::{diagnostic.severity.value} {text}::{for_workflow(message)}"


def _lines(diagnostic: Diagnostic, paint: Palette) -> list[str]:
    emphasis = _emphasis(diagnostic.severity, paint)
    head = emphasis(f"{diagnostic.severity.value}[{diagnostic.code}]")
    lines = [f"{head}: {paint.bold(for_terminal(diagnostic.message))}"]
    if diagnostic.span is not None:
        lines += _excerpt(diagnostic.span, paint, emphasis)
    if diagnostic.hint is not None:
        lines.append(f"{paint.cyan('hint:')} {for_terminal(diagnostic.hint)}")
    return lines


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
    """The source line as it is shown, the columns before the caret, and the columns of the caret."""
    start, end = span.column - 1, span.end_column - 1
    before, meant, after = (_shown(part) for part in (span.text[:start], span.text[start:end], span.text[end:]))
    if _width(before + meant + after) > WIDEST_LINE:
        before = _head(before[::-1], BEFORE_CARET)[::-1]
        meant = _head(meant, WIDEST_LINE - _width(before))
        after = _head(after, WIDEST_LINE - _width(before + meant))
    return before + meant + after, _width(before), max(_width(meant), 1)


def _shown(text: str) -> str:
    return for_terminal(text.replace("\t", TAB))


def _head(text: str, columns: int) -> str:
    """The beginning of a text, with an ellipsis for the rest if it needs more columns."""
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
    """Columns that a terminal needs: wide characters take two, those that sit on the one before take none."""
    if text.isascii():
        return len(text)
    return sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    if unicodedata.category(character) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1
