"""The name of one declared batch: `dataset/batch` or `dataset/batch/key…`. Pure text; never a file path or a URL."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import translate
from functools import cached_property

NAME = re.compile(r"[a-z0-9][a-z0-9._-]*\Z")
"""Names of datasets and batches; they end in URLs, Markdown and terminals, so nothing else is let in."""

KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
"""Keys of `each`."""

PROJECT = re.compile(r"[a-z0-9][a-z0-9-]{0,31}\Z")
"""Project names are part of every external id, so they are short."""

MAX_LENGTH = 512
"""Longest address in characters; an address is a tag value and a word in every listing."""


def is_address(text: str) -> bool:
    """Whether the text has the form of an address."""
    parts = text.split("/")
    return (
        len(parts) >= 2  # noqa: PLR2004  (a dataset and a batch)
        and len(text) <= MAX_LENGTH
        and all(NAME.match(part) for part in parts[:2])
        and all(KEY.match(part) for part in parts[2:])
    )


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
