"""How messages quote what a user typed, without control characters, and guess what was meant."""

from __future__ import annotations

from difflib import get_close_matches
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST_QUOTE = 80
"""Characters of the user's text that a message repeats; the source line shows the rest."""

MOST_NAMES = 20
"""Names that a hint lists."""


def visible(text: str) -> str:
    """Replace what is not printable (control characters, line breaks, bidi marks) by escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def quoted(text: str) -> str:
    """Put the text in backticks, printable and not too long."""
    shown = visible(text[: LONGEST_QUOTE + 1])
    return f"`{shown[:LONGEST_QUOTE]}…`" if len(shown) > LONGEST_QUOTE else f"`{shown}`"


def listed(names: Iterable[str]) -> str:
    """Names as a message lists them: each in backticks, as it is."""
    return ", ".join(f"`{name}`" for name in names)


def closest(word: str, options: Iterable[str]) -> str | None:
    """Find the option that was probably meant, if any is near."""
    return _closest(word, tuple(sorted(options))) if len(word) <= LONGEST_QUOTE else None


@lru_cache(maxsize=64)  # one mistake is often repeated ten thousand times
def _closest(word: str, options: tuple[str, ...]) -> str | None:
    by_lower_case = {option.casefold(): option for option in reversed(options)}
    near = get_close_matches(word.casefold(), by_lower_case, n=1)
    return by_lower_case[near[0]] if near else None


def guess(word: str, options: Iterable[str], what: str) -> str:
    """Write a hint that names the nearest option and lists them all: ``did you mean `a`? Fields: a, b``."""
    names = sorted(options)
    near = closest(word, names)
    listed = ", ".join(names[:MOST_NAMES])
    if len(names) > MOST_NAMES:
        listed += f", and {len(names) - MOST_NAMES} more"
    some = f"{what}: {listed}" if names else f"there are no {what.lower()} yet"
    return f"did you mean `{near}`? {some}" if near else some
