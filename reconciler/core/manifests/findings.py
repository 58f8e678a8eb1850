"""What is wrong, while it is still symbolic: a `Finding` names a place, a `Diagnostic` has a span.

All findings of a file are placed in one pass over its text, once it is known that they are shown.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.core.diagnostics import Diagnostic, Place, Severity, Span
from reconciler.core.manifests.positions import Lookup, locate_all

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from reconciler.core.manifests.source import Source


@dataclass(frozen=True, slots=True)
class Finding:
    """A mistake at a symbolic place."""

    code: str
    message: str
    place: Place
    hint: str
    key: bool = False
    """Whether the key is meant that stands at the place, rather than its value."""
    first: Place | None = None
    """Where the same name or id stands first; that file and line are added to the message."""
    severity: Severity = Severity.ERROR


def resolve(findings: Iterable[Finding], sources: Sequence[Source]) -> list[Diagnostic]:
    """Turn findings into diagnostics with lines and columns."""
    wanted = list(findings)
    lookups: dict[str, dict[Lookup, None]] = defaultdict(dict)
    for each in wanted:
        for lookup in _lookups(each):
            lookups[lookup.place.file][lookup] = None
    spans: dict[Lookup, Span | None] = {}
    for source in sources:
        asked = list(lookups.get(source.file, ()))
        if asked:
            spans.update(zip(asked, locate_all(source.text, asked), strict=True))
    return [_diagnostic(each, spans) for each in wanted]


def _lookups(finding: Finding) -> list[Lookup]:
    own = Lookup(finding.place, finding.key)
    return [own] if finding.first is None else [own, Lookup(finding.first, finding.key)]


def _diagnostic(finding: Finding, spans: dict[Lookup, Span | None]) -> Diagnostic:
    own, *firsts = _lookups(finding)
    message = finding.message
    for first in firsts:
        span = spans.get(first)
        where = f"{first.place.file}:{span.line}" if span else first.place.file
        message = f"{message}; the first is at `{where}`"
    return Diagnostic(finding.code, message, spans.get(own), finding.hint, finding.severity)
