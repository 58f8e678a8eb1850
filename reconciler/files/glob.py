"""Globs to files. Each folder is listed once, and none outside the root.

A link to a folder is followed where a glob names it, never below `**`: it could go round in circles.
"""

from __future__ import annotations

import os
import re
import stat
from bisect import bisect_left
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import translate
from functools import cache
from typing import TYPE_CHECKING

from reconciler.core.data_files import WILDCARDS, read_glob
from reconciler.files.fingerprints import Stamp
from reconciler.files.inside import is_below, is_inside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_DEPTH = 64
"""Folders within folders that `**` goes down."""


class Outside(Exception):
    """A folder that a glob goes through is not in the repository."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder)
        self.folder = folder


@dataclass
class Tree:
    """The repository's folders while they are searched: each is listed once."""

    root: str
    """Without links."""
    folders: dict[str, tuple[list[str], dict[str, os.DirEntry[str]]]] = field(default_factory=dict)
    reals: dict[str, str] = field(default_factory=dict)

    def files(self, text: str) -> Iterator[tuple[str, str]]:
        """Yield name (relative to the folder before the first wildcard) and path of each file that matches, sorted."""
        glob = read_glob(text)
        folder = os.path.join(self.root, *glob.folder)
        for path in sorted(self._below(folder, glob.rest, 0)):
            yield path[len(folder) + 1 :].replace(os.sep, "/"), path

    def _below(self, folder: str, steps: tuple[str, ...], depth: int) -> set[str]:
        step, rest = steps[0], steps[1:]
        if step == "**":
            found = self._below(folder, rest or ("*",), depth)
            if depth < MAX_DEPTH:
                for name, entry in self._list(folder)[1].items():
                    if not name.startswith(".") and entry.is_dir(follow_symlinks=False):
                        found |= self._below(entry.path, steps, depth + 1)
            return found
        if not WILDCARDS & set(step):
            path = os.path.join(folder, step)
            if rest:
                return self._below(path, rest, depth) if os.path.isdir(path) else set()
            return {path} if os.path.lexists(path) and not os.path.isdir(path) else set()
        if rest:
            folders = [entry.path for entry in self._named(folder, step) if entry.is_dir()]
            return {path for each in folders for path in self._below(each, rest, depth)}
        return {entry.path for entry in self._named(folder, step) if not entry.is_dir()}

    def _named(self, folder: str, step: str) -> Iterator[os.DirEntry[str]]:
        """The entries that a step with wildcards matches; a name with a dot in front only if the step has one, too."""
        names, entries = self._list(folder)
        prefix = re.split(r"[*?\[]", step, maxsplit=1)[0]
        is_match = _matcher(step)
        for at in range(bisect_left(names, prefix), len(names)):
            name = names[at]
            if not name.startswith(prefix):
                return
            if is_match(name) and (step.startswith(".") or not name.startswith(".")):
                yield entries[name]

    def _list(self, folder: str) -> tuple[list[str], dict[str, os.DirEntry[str]]]:
        listed = self.folders.get(folder)
        if listed is None:
            if not is_inside(folder, self.root):
                raise Outside(folder)
            entries: dict[str, os.DirEntry[str]] = {}
            with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as found:
                entries = {entry.name: entry for entry in found}
            listed = self.folders[folder] = (sorted(entries), entries)
        return listed

    def real(self, path: str) -> tuple[str, Stamp] | None:
        """The path without links, and the stamp of that file; None if it is not in the repository."""
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode):
            real = os.path.realpath(path)
            return (real, Stamp.of(os.lstat(real))) if is_below(real, self.root) else None
        folder, name = os.path.split(path)
        if folder not in self.reals:
            self.reals[folder] = os.path.realpath(folder)
        real = os.path.join(self.reals[folder], name)
        return (real, Stamp.of(status)) if is_below(real, self.root) else None

    def shown(self, path: str) -> str:
        """The path as people see it: relative to the root."""
        relative = os.path.relpath(path, self.root).replace(os.sep, "/")
        return os.fsencode(relative).decode("utf-8", "replace")


@cache
def _matcher(step: str) -> Callable[[str], re.Match[str] | None]:
    return re.compile(translate(step)).match
