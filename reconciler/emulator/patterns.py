"""Patterns of Catalog's filters (aep-api.md §8.3): `*` wildcards and regular expressions. Pure."""

from __future__ import annotations

import re
from typing import Final

GLOB_SPECIALS: Final = str.maketrans({"[": "[[]", "?": "[?]"})


def glob(pattern: str) -> str:
    """Return the SQLite GLOB for a text in which only `*` is special."""
    return pattern.translate(GLOB_SPECIALS)


def matches_pattern(pattern: str, value: object) -> bool:
    """Tell whether the regular expression is found in the value; never where there is no value."""
    return value is not None and re.search(pattern, str(value)) is not None
