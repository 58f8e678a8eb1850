"""The name of one declared batch: `dataset/batch` or `dataset/batch/key…`. Pure text; never a file path or a URL."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import translate
from functools import cached_property

NAME = r"[a-z0-9][a-z0-9._-]*"
"""Names of datasets and batches; they end in URLs, Markdown and terminals, so nothing else is let in."""

KEY = r"[A-Za-z0-9][A-Za-z0-9._-]*"
"""Keys of `each`."""

ADDRESS = rf"{NAME}/{NAME}(?:/{KEY})*"

MAX_LENGTH = 512
"""Longest address in characters; an address is a tag value and a word in every listing."""

_ADDRESS = re.compile(ADDRESS)
_NAME = re.compile(NAME)


def is_address(text: str) -> bool:
    """Whether the text has the form of an address."""
    return len(text) <= MAX_LENGTH and _ADDRESS.fullmatch(text) is not None


def is_name(text: str) -> bool:
    """Whether the text can be the name of a dataset or a batch."""
    return _NAME.fullmatch(text) is not None


def names_address(name: str) -> bool:
    """Whether an entry of `replaces` names an address; else it is the id of a batch, which has no `/`."""
    return "/" in name


def split(address: str) -> tuple[str, str]:
    """The dataset of an address, and the rest: the batch with its keys."""
    dataset, _, rest = address.partition("/")
    return dataset, rest


def keys_of(address: str) -> list[str]:
    """The keys of an address, one of each dimension."""
    return address.split("/")[2:]


def join(dataset: str, batch: str, keys: tuple[str, ...] = ()) -> str:
    """The address made of its parts."""
    return "/".join((dataset, batch, *keys))


@dataclass(frozen=True)
class Globs:
    """Patterns over addresses, as `--target` and `output` take them: `*` crosses `/`; a prefix names all below it."""

    patterns: tuple[str, ...] = ()

    @cached_property
    def _compiled(self) -> tuple[re.Pattern[str], ...]:
        return tuple(re.compile(translate(pattern)) for pattern in self.patterns)

    def match(self, address: str) -> bool:
        """Whether any pattern, as a glob or as a folder of addresses, covers the address; no patterns cover all."""
        if not self.patterns:
            return True
        return any(
            compiled.match(address) or address.startswith(pattern.rstrip("/") + "/")
            for pattern, compiled in zip(self.patterns, self._compiled, strict=True)
        )
