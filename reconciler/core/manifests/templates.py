"""`{dimension}` placeholders in `files`, `tags` and `external_id`: read once, checked, filled in for each address.

A placeholder is a name, never an expression. `{{` and `}}` stand for the braces themselves.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.core.identity import CHARACTERS, LONGEST_OWN
from reconciler.core.manifests.findings import Finding
from reconciler.core.wording import guess, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.core.diagnostics import Place

_PIECE = re.compile(r"(\{\{)|(\}\})|\{([^{}]*)\}|([{}])")

Bound = tuple[str | int, ...]
"""A template for one batch: literal text, and indices into the keys of an address."""


@dataclass(frozen=True, slots=True)
class Template:
    """A text with placeholders."""

    text: str
    """As written."""
    pieces: tuple[str | int, ...]
    """Literal text, and indices into `names`."""
    names: tuple[str, ...]
    """The placeholders in their order, each once."""

    def bind(self, dimensions: Sequence[str]) -> Bound:
        """Replace each placeholder by the index of its dimension. Raises `ValueError` for a name that is none."""
        indices = [dimensions.index(name) for name in self.names]
        return tuple(piece if isinstance(piece, str) else indices[piece] for piece in self.pieces)


def read_template(text: str) -> Template | None:
    """Read a text with placeholders; None if it has a single brace that belongs to no placeholder."""
    pieces: list[str | int] = []
    names: dict[str, int] = {}
    end = 0
    for found in _PIECE.finditer(text):
        if found[4]:
            return None
        pieces.append(text[end : found.start()])
        end = found.end()
        if found[3] is None:
            pieces.append("{" if found[1] else "}")
        else:
            pieces.append(names.setdefault(found[3], len(names)))
    pieces.append(text[end:])
    return Template(text, tuple(piece for piece in pieces if piece != ""), tuple(names))


def has_braces(text: str) -> bool:
    """Whether a text must be read as a template."""
    return "{" in text or "}" in text


def fill(bound: Bound, keys: Sequence[str]) -> str:
    """Put the keys of an address in place of the placeholders."""
    return "".join([piece if isinstance(piece, str) else keys[piece] for piece in bound])


def longest(bound: Bound, widths: Sequence[int]) -> int:
    """Count the characters of the longest possible text, given the length of each dimension's longest key."""
    return sum(len(piece) if isinstance(piece, str) else widths[piece] for piece in bound)


def sample(template: Template) -> str:
    """Show what the text may look like, each placeholder as `x`: a key begins with a letter or digit."""
    return "".join(piece if isinstance(piece, str) else "x" for piece in template.pieces)


# -- mistakes


def stray_brace(text: str, place: Place) -> Finding:
    """Describe the mistake of a brace that belongs to no placeholder."""
    hint = "write `{{` and `}}` for braces that are meant as such"
    return Finding("bad-placeholder", f"a brace stands alone in {quoted(text)}", place, hint)


def check_names(template: Template, dimensions: Sequence[str], place: Place) -> Iterator[Finding]:
    """Find placeholders that are no dimension of the batch."""
    for name in template.names:
        if name not in dimensions:
            message = f"{quoted('{' + name + '}')} is not a dimension of this batch"
            hint = guess(name, dimensions, "Dimensions") if dimensions else "the batch has no `each` to take it from"
            yield Finding("unknown-placeholder", message, place, hint)


def check_inherited(template: Template, batch: str, dimensions: Sequence[str], place: Place) -> Iterator[Finding]:
    """Find placeholders in `defaults` that are no dimension of a batch; `place` is that of the batch."""
    for name in template.names:
        if name not in dimensions:
            message = f"{quoted('{' + name + '}')} in `defaults` is not a dimension of {quoted(batch)}"
            hint = "give the batch a text of its own, or take the placeholder out of `defaults`"
            yield Finding("unknown-placeholder", message, place, hint)


def check_external_id(
    template: Template, dimensions: Sequence[str], widths: Sequence[int], place: Place
) -> Iterator[Finding]:
    """Find characters that an external id cannot have, too many of them, and addresses that would share one.

    `widths` are the lengths of the longest key of each dimension.
    """
    if not set(template.names) <= set(dimensions):
        return
    if not re.fullmatch(f"{CHARACTERS}+", sample(template)):
        hint = "external ids are made of `A-Z`, `a-z`, `0-9`, `_`, `.` and `-`"
        yield Finding("bad-external-id", f"{quoted(template.text)} is not an external id", place, hint)
    if longest(template.bind(dimensions), widths) > LONGEST_OWN:
        message = f"the external id {quoted(template.text)} may be longer than {LONGEST_OWN} characters"
        yield Finding("bad-external-id", message, place, "choose a shorter one")
    missing = [f"{{{name}}}" for name in dimensions if name not in template.names]
    if missing:
        message = f"{quoted(template.text)} would be the external id of several batches"
        yield Finding("shared-external-id", message, place, f"add {', '.join(map(quoted, missing))}")
