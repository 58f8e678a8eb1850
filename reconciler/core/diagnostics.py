"""What is wrong with a user's input, as values: all mistakes at once, each with its place."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad a finding is: only an error stops a command."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A piece of one source line; lines and columns count from 1, columns in code points, the end is exclusive."""

    file: str
    """Path as shown to people: relative to the repository, with `/`."""
    line: int
    column: int
    end_column: int
    text: str
    """The whole source line, without its line break: what the caret stands under."""


Route = tuple[str | int, ...]
"""Keys and indices, from a document's root or from a value in it; the empty route is that root or value."""


@dataclass(frozen=True, slots=True)
class Place:
    """A symbolic place in a manifest: resolved to a `Span` only when a diagnostic needs it."""

    file: str
    document: int
    """Zero-based number of the YAML document within the file."""
    route: Route
    """From the document's root."""

    def below(self, *steps: str | int) -> Place:
        """Return a place inside the value that stands at this one."""
        return Place(self.file, self.document, (*self.route, *steps))


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding: a stable code, what is wrong, where, and what to do next."""

    code: str
    """Kebab-case and stable, such as `unknown-field`: tools may match on it."""
    message: str
    span: Span | None = None
    """Where; None when a whole file (or none) is meant: then the message names it."""
    hint: str | None = None
    severity: Severity = Severity.ERROR


def has_errors(diagnostics: tuple[Diagnostic, ...] | list[Diagnostic]) -> bool:
    """Whether any of them is more than a warning."""
    return any(each.severity is Severity.ERROR for each in diagnostics)


def in_order(diagnostics: tuple[Diagnostic, ...] | list[Diagnostic]) -> tuple[Diagnostic, ...]:
    """The diagnostics sorted by place, code and message, each once: the same input gives the same bytes."""

    def key(each: Diagnostic) -> tuple[str, int, int, str, str]:
        span = each.span
        return (
            (span.file, span.line, span.column, each.code, each.message)
            if span
            else ("", 0, 0, each.code, each.message)
        )

    return tuple(sorted(dict.fromkeys(diagnostics), key=key))
