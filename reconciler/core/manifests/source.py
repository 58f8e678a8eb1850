"""A file as it was read, and its documents as plain data; `document` reads the one into the other."""

from __future__ import annotations

from dataclasses import dataclass

Data = str | list["Data"] | dict[str, "Data"]
"""A scalar (`Plain` when it was not quoted), a list or a mapping."""

PROJECT_FILE = "reconciler.yaml"
"""The name of the project file, directly in the folder of the manifests."""


class Plain(str):
    """An unquoted scalar: its raw text. The field decides what it means: a text, a number, nothing."""

    __slots__ = ()

    @property
    def is_null(self) -> bool:
        """Whether it is one of YAML 1.2's spellings of nothing."""
        return self in {"", "~", "null", "Null", "NULL"}


@dataclass(frozen=True, slots=True)
class Source:
    """A file as it was read."""

    file: str
    """Path as shown to people: relative to the repository, with `/`."""
    text: str

    @property
    def is_project(self) -> bool:
        """Whether this is the project file; only one file of a project has its name."""
        return self.file.rpartition("/")[2] == PROJECT_FILE


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document of a file."""

    number: int
    """Zero-based, as in `Place.document`."""
    data: Data
