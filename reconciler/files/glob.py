"""Globs to files. Each folder is listed once, and none outside the root.

A link to a folder is followed where a glob names it, never below `**`: it could go round in circles. Whatever a glob
says, each folder is visited once with all the steps that may go on there: no glob takes longer than the folders are
many. Names are compared as UTF-8, whatever the locale says.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from bisect import bisect_left
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import translate
from functools import lru_cache
from typing import TYPE_CHECKING

from reconciler.core.data_files import ANY_FOLDERS, WILDCARDS, read_glob
from reconciler.files.fingerprints import Stamp
from reconciler.files.inside import is_below, is_inside, spelled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_DEPTH = 64
"""Folders within folders that `**` goes down."""
MOST_LINKED = 50_000
"""Folders that are visited through links for one glob: links to each other make any number of paths."""


class Outside(Exception):
    """A folder that a glob goes through is not in the repository."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder)
        self.folder = folder


@dataclass
class Tree:
    """The repository's folders while they are searched: each is listed once. Its keys are names as text."""

    root: str
    """Without links."""
    folders: dict[str, tuple[list[str], dict[str, os.DirEntry[str]]]] = field(default_factory=dict)
    reals: dict[str, str] = field(default_factory=dict)

    def files(self, text: str) -> Iterator[tuple[str, str]]:
        """Yield name (relative to the folder before the first wildcard) and path of each file that matches, sorted."""
        glob = read_glob(text)
        folder = os.path.join(self.root, *map(_native, glob.folder))
        for path in sorted(self._below(folder, glob.rest)):
            yield spelled(path[len(folder) + 1 :]).replace(os.sep, "/"), path

    def _below(self, folder: str, steps: tuple[str, ...]) -> Iterator[str]:
        if steps[-1] == ANY_FOLDERS:
            steps = (*steps, "*")
        pending = [_Visit(folder, {0}, 0, is_linked=False)]
        linked = 0
        while pending:
            visit = pending.pop()
            linked += visit.is_linked
            if linked > MOST_LINKED:
                raise OSError(errno.ELOOP, f"it goes through links to more than {MOST_LINKED:,} folders")
            into: dict[str, _Visit] = {}
            for at in _with_following(visit.steps, steps):
                for path, is_folder, is_link in self._matching(visit, steps[at]):
                    following = at if steps[at] == ANY_FOLDERS else at + 1
                    if is_folder and following < len(steps):
                        below = _Visit(path, set(), visit.depth + 1, is_linked=visit.is_linked or is_link)
                        into.setdefault(path, below).steps.add(following)
                    elif not is_folder and following == len(steps):
                        yield path
            pending += into.values()

    def _matching(self, visit: _Visit, step: str) -> Iterator[tuple[str, bool, bool]]:
        """What a step matches in a folder: its path, whether it is (a link to) a folder, and whether it is a link."""
        if step == ANY_FOLDERS:
            for name, entry in self._list(visit.folder)[1].items() if visit.depth < MAX_DEPTH else ():
                if not name.startswith(".") and entry.is_dir(follow_symlinks=False):
                    yield entry.path, True, False
        elif WILDCARDS & set(step):
            for entry in self._named(visit.folder, step):
                yield entry.path, entry.is_dir(), entry.is_symlink()
        else:
            path = os.path.join(visit.folder, _native(step))
            if os.path.lexists(path):
                is_folder = os.path.isdir(path)
                yield path, is_folder, is_folder and os.path.islink(path)

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
                entries = {spelled(entry.name): entry for entry in found}
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


@dataclass(frozen=True, slots=True)
class _Visit:
    """A folder, and the steps of the glob that may go on there."""

    folder: str
    steps: set[int]
    depth: int
    is_linked: bool
    """Whether a link is on the way to it."""


def _with_following(at: set[int], steps: tuple[str, ...]) -> set[int]:
    """The steps that may go on, with those behind a `**`, which may stand for no folder at all."""
    return at | {each + 1 for each in at if steps[each] == ANY_FOLDERS}


def _native(step: str) -> str:
    """The name as the system is asked for it."""
    return os.fsdecode(step.encode())


@lru_cache(maxsize=4096)
def _matcher(step: str) -> Callable[[str], re.Match[str] | None]:
    return re.compile(translate(step)).match
