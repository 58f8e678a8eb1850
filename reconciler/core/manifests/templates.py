"""`{dimension}` placeholders in `files`, `tags` and `external_id`: names are filled in, never an expression.

`{{` and `}}` stand for the braces themselves.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_PIECE = re.compile(r"(\{\{)|(\}\})|\{([^{}]*)\}|([{}])")


@dataclass(frozen=True, slots=True)
class Template:
    """A text with holes."""

    pieces: tuple[str | int, ...]
    """Literal text, and indices into `names`."""
    names: tuple[str, ...]
    """The placeholders in the order in which they stand, each once."""

    def bind(self, dimensions: Sequence[str]) -> Bound:
        """Tie the placeholders to a batch's dimensions. Raises `ValueError` for a name that is none of them."""
        indices = [dimensions.index(name) for name in self.names]
        return tuple(piece if isinstance(piece, str) else indices[piece] for piece in self.pieces)


Bound = tuple[str | int, ...]
"""Literal text, and indices into the keys of an address."""


def read_template(text: str) -> Template | None:
    """Read a text with placeholders; None if a brace stands alone."""
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
    return Template(tuple(piece for piece in pieces if piece != ""), tuple(names))


def has_braces(text: str) -> bool:
    """Whether a text needs to be read as a template at all."""
    return "{" in text or "}" in text


def fill(bound: Bound, keys: Sequence[str]) -> str:
    """Put the keys of an address into their places."""
    return "".join([piece if isinstance(piece, str) else keys[piece] for piece in bound])


def longest(bound: Bound, widths: Sequence[int]) -> int:
    """Count the characters of the longest text that can come out, given the longest key of each dimension."""
    return sum(len(piece) if isinstance(piece, str) else widths[piece] for piece in bound)


def sample(template: Template) -> str:
    """Show what the text may look like, each placeholder as `x`: a key begins with a letter or digit."""
    return "".join(piece if isinstance(piece, str) else "x" for piece in template.pieces)
