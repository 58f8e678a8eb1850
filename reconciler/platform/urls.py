"""URLs of AEP: their paths, their filters, which ids they can hold and how many. No I/O."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import quote

from reconciler.core.errors import Rejected

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

IMPORT = "/data/foundation/import"
CATALOG = "/data/foundation/catalog"

LONGEST_URL = 1_990
"""Characters; from 2,000 on AEP answers 414 (aep-api.md §9)."""
MOST_NAMES = 50
"""Names in one URL."""

_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


def url(base: str, path: str, query: Mapping[str, str] | None = None) -> str:
    """Return a URL. Commas and colons in the query are not encoded: Adobe's own examples write filters so."""
    pairs = [f"{name}={quote(value, safe=',:')}" for name, value in (query or {}).items()]
    return f"{base}{path}?{'&'.join(pairs)}" if pairs else f"{base}{path}"


def catalog_url(base: str, path: str, query: Mapping[str, str] | None = None) -> str:
    """Return the URL of an object or a list in Catalog."""
    return url(base, f"{CATALOG}{path}", query)


def file_url(base: str, batch: str, dataset: str, name: str) -> str:
    """Return the URL of a file in a batch: its name is percent-encoded, except `/` (aep-api.md §6.1)."""
    return f"{base}{IMPORT}/batches/{batch}/datasets/{dataset}/files/{quote(name, safe='/')}"


def is_id(text: str) -> bool:
    """Whether a text can be an id of AEP. Such a text is safe in a URL, in a terminal and in Markdown."""
    return _ID.fullmatch(text) is not None


def checked_id(name: str, kind: str) -> str:
    """Return the id. Raises `Rejected` for a text that is none, so that it never becomes part of a URL."""
    if not is_id(name):
        raise Rejected(
            f"`{name}` is not the id of a {kind}",
            hint="an id has letters, digits, `-` and `_` only, at most 128 of them",
            status=HTTPStatus.NOT_FOUND,
        )
    return name


def chunks(names: Iterable[str], without: str) -> Iterator[list[str]]:
    """Split names into lists that fit into one URL. `without` is that URL without the names, which commas will join."""
    room = LONGEST_URL - len(without)
    part: list[str] = []
    used = 0
    for name in names:
        length = len(quote(name, safe=":")) + 1
        if part and (used + length > room or len(part) == MOST_NAMES):
            yield part
            part, used = [], 0
        part.append(name)
        used += length
    if part:
        yield part


def is_plain(value: str) -> bool:
    """Whether a filter takes the value literally: `,`, `*`, `~` and a leading `!` are operators (aep-api.md §8.3)."""
    return bool(value) and not value.startswith("!") and not set(value) & {",", "*", "~"} and value.isprintable()


def tag_filter(tags: Mapping[str, str]) -> str:
    """Return Catalog's filter for batches that carry all the tags; a tag that it cannot express is left out."""
    return ",".join(f"{name}:{value}" for name, value in tags.items() if _is_plain_tag(name) and _is_plain_tag(value))


def _is_plain_tag(text: str) -> bool:
    return is_plain(text) and ":" not in text
