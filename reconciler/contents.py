"""The data files that manifests name: globs to files inside the repository, checked, fingerprinted, and read.

Never leaves the repository, whatever a glob or a link says. Never holds a whole file.
"""

from __future__ import annotations

import os
import re
import stat
from bisect import bisect_left
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fnmatch import translate
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING

from reconciler.core.batch import File
from reconciler.core.contents import (
    HEAD,
    TAIL,
    WILD,
    Flaw,
    content_flaw,
    day_flaw,
    extension_flaw,
    limit_flaws,
    name_flaw,
    read_pattern,
    rules_of,
)
from reconciler.core.diagnostics import Diagnostic, Place
from reconciler.core.errors import ContentChanged
from reconciler.core.findings import Finding, resolve
from reconciler.core.wording import quoted
from reconciler.fingerprints import Stamp, changed, open_data, unreadable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
    from io import FileIO
    from pathlib import Path

    from reconciler.core.batch import Desired, Spec
    from reconciler.core.source import Source
    from reconciler.fingerprints import Fingerprints

CHUNK = 1024 * 1024
"""Bytes that are read at a time."""

MOST_DEPTH = 64
"""Folders within folders that `**` goes down."""


@dataclass(frozen=True, slots=True)
class Local:
    """One data file, as the disk has it."""

    name: str
    """Within the batch."""
    path: str
    """Where it is, without links."""
    stamp: Stamp


@dataclass(frozen=True, slots=True)
class Survey:
    """What the globs of all batches lead to."""

    files: Mapping[str, tuple[Local, ...]]
    """By address, sorted by name; an address without `files` is not in it."""
    diagnostics: tuple[Diagnostic, ...]


def survey(root: Path, desired: Sequence[Desired], sources: Sequence[Source], known: Fingerprints) -> Survey:
    """Find and check the files of every batch; opens only those whose beginning was never looked at. Raises nothing."""
    surveyor = _Surveyor(_Tree(os.path.realpath(root)), known)
    files = {each.address: surveyor.of(each) for each in desired if each.files}
    surveyor.check_completion(desired)
    return Survey(files, tuple(resolve(surveyor.findings.values(), sources)))


def fingerprinted(desired: Sequence[Desired], found: Survey, known: Fingerprints) -> dict[str, Desired]:
    """The batches by address, each with the fingerprints of its files. Raises `ContentChanged`."""
    result = {}
    for each in desired:
        local = found.files.get(each.address)
        if local is not None:
            files = tuple(File(one.name, one.stamp.size, known.digest(one.path, one.stamp)) for one in local)
            result[each.address] = replace(each, content=files)
        else:
            result[each.address] = each
    return result


@dataclass(frozen=True, slots=True)
class DataFiles:
    """The files of a survey: implements `ports.Contents`."""

    files: Mapping[str, tuple[Local, ...]]

    def open(self, address: str, file: File) -> DataFile:
        """The content of a declared file. Raises `ContentChanged` when it was not surveyed."""
        local = self.files.get(address, ())
        at = bisect_left(local, file.name, key=lambda each: each.name)
        if at < len(local) and local[at].name == file.name:
            return DataFile(local[at], file.sha256)
        raise ContentChanged(f"file `{file.name}` of `{address}` is not there any more", hint="run again")


class _Surveyor:
    """One pass over all batches. Each kind of mistake is told once for each place in a manifest."""

    def __init__(self, tree: _Tree, known: Fingerprints) -> None:
        self.tree = tree
        self.known = known
        self.findings: dict[tuple[str, Place], Finding] = {}

    def of(self, desired: Desired) -> tuple[Local, ...]:
        by_name: dict[str, Local] = {}
        for index, text in enumerate(desired.files):
            place = Place(desired.place.file, desired.place.document, (*desired.place.route, "files", index))
            for local in self._matches(text, desired, place):
                other = by_name.setdefault(local.name, local)
                if other.path != local.path:
                    self._twice(local, other, place)
        for flaw in limit_flaws(len(by_name), sum(each.stamp.size for each in by_name.values())):
            self._note(flaw, desired.place)
        return tuple(by_name[name] for name in sorted(by_name))

    def _matches(self, text: str, desired: Desired, place: Place) -> Iterator[Local]:
        try:
            matches = list(self.tree.glob(text))
        except _Outside as error:
            self._note(_outside(self.tree.shown(error.folder)), place)
            return
        except OSError as error:
            self._unreadable(quoted(text), error, place)
            return
        rules = rules_of(desired.spec)
        for name, path in matches:
            local = self._local(name, path, place)
            if local is not None:
                self._check(desired.spec, rules, local, place)
                yield local
        if not matches:
            hint = "check the path: globs are relative to the repository's root, and `*` does not match a `/`"
            self._note(Flaw("no-files", f"{quoted(text)} matches no file", hint), place)

    def _local(self, name: str, path: str, place: Place) -> Local | None:
        """The file, if it is one of the repository."""
        try:
            found = self.tree.real(path)
        except OSError as error:
            self._unreadable(quoted(self.tree.shown(path)), error, place)
            return None
        if found is None:
            self._note(_outside(self.tree.shown(path)), place)
            return None
        return Local(name, *found)

    def _check(self, spec: Spec, rules: str, local: Local, place: Place) -> None:
        flaw = name_flaw(local.name) or extension_flaw(spec, local.name)
        if flaw is None and not self.known.passed(local.path, local.stamp, rules):
            shown = self.tree.shown(local.path)
            try:
                head, tail = _ends(local.path, local.stamp.size)
            except OSError as error:
                self._unreadable(quoted(shown), error, place)
                return
            flaw = content_flaw(spec, shown, local.stamp.size, head, tail)
            if flaw is None:
                self.known.note_passed(local.path, local.stamp, rules)
        if flaw is not None:
            self._note(flaw, place)

    def check_completion(self, desired: Sequence[Desired]) -> None:
        """Find batches that would be completed empty, and datasets that would get more than AEP takes a day."""
        counts: dict[str, int] = {}
        places: dict[str, Place] = {}
        for each in desired:
            if each.complete:
                name = each.address.partition("/")[0]
                counts[name] = counts.get(name, 0) + 1
                places.setdefault(name, each.place)
                if not each.files:
                    place = replace(each.place, route=(*each.place.route, "complete"))
                    hint = "name its `files`, or leave completing to the job that uploads them"
                    self._note(Flaw("complete-without-files", "a batch without files cannot be completed", hint), place)
        for name, count in counts.items():
            flaw = day_flaw(name, count)
            if flaw is not None:
                self._note(flaw, places[name])

    def _twice(self, local: Local, other: Local, place: Place) -> None:
        paths = f"{quoted(self.tree.shown(other.path))} and {quoted(self.tree.shown(local.path))}"
        message = f"{paths} would both be file {quoted(local.name)} of the batch"
        hint = "names are relative to the folder before the first wildcard: begin both globs higher up"
        self._note(Flaw("duplicate-file", message, hint), place)

    def _unreadable(self, shown: str, error: OSError, place: Place) -> None:
        reason = error.strerror or type(error).__name__
        flaw = Flaw("unreadable", f"{shown} cannot be read: {reason}", "check that it exists, and who may read it")
        self._note(flaw, place)

    def _note(self, flaw: Flaw, place: Place) -> None:
        finding = Finding(flaw.code, flaw.message, place, flaw.hint, severity=flaw.severity)
        self.findings.setdefault((flaw.code, place), finding)


def _outside(shown: str) -> Flaw:
    hint = "copy the data into the repository: links may not lead out of it"
    return Flaw("outside", f"{quoted(shown)} leads out of the repository", hint)


def _ends(path: str, size: int) -> tuple[bytes, bytes]:
    with open_data(path) as file:
        head = file.read(HEAD)
        if size <= len(head):
            return head, b""
        file.seek(-TAIL, os.SEEK_END)
        return head, file.read(TAIL)


class _Outside(Exception):
    """A folder that a glob goes through is not in the repository."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder)
        self.folder = folder


@dataclass
class _Tree:
    """The repository's folders while they are searched: each is listed once."""

    root: str
    """Without links."""
    folders: dict[str, tuple[list[str], dict[str, os.DirEntry[str]]]] = field(default_factory=dict)
    reals: dict[str, str] = field(default_factory=dict)

    def glob(self, text: str) -> Iterator[tuple[str, str]]:
        """Yield name (relative to the folder before the first wildcard) and path of each file that matches, sorted."""
        pattern = read_pattern(text)
        folder = os.path.join(self.root, *pattern.folder)
        for path in sorted(self._below(folder, pattern.rest, 0)):
            yield path[len(folder) + 1 :].replace(os.sep, "/"), path

    def _below(self, folder: str, steps: tuple[str, ...], depth: int) -> set[str]:
        step, rest = steps[0], steps[1:]
        if step == "**":
            found = self._below(folder, rest or ("*",), depth)
            if depth < MOST_DEPTH:
                for name, entry in self._list(folder)[1].items():
                    # Links to folders are not followed: they could go round in circles.
                    if not name.startswith(".") and entry.is_dir(follow_symlinks=False):
                        found |= self._below(entry.path, steps, depth + 1)
            return found
        if not WILD & set(step):
            path = os.path.join(folder, step)
            if rest:
                return self._below(path, rest, depth) if os.path.isdir(path) else set()
            return {path} if os.path.lexists(path) and not os.path.isdir(path) else set()
        if rest:
            folders = [entry.path for entry in self._named(folder, step) if entry.is_dir()]
            return {path for each in folders for path in self._below(each, rest, depth)}
        return {entry.path for entry in self._named(folder, step) if not entry.is_dir()}

    def _named(self, folder: str, step: str) -> Iterator[os.DirEntry[str]]:
        """The entries that a step with wildcards matches; one that begins with a dot only if the step does."""
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
            if not self._is_inside(os.path.realpath(folder)):
                raise _Outside(folder)
            entries: dict[str, os.DirEntry[str]] = {}
            with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as found:
                entries = {entry.name: entry for entry in found}
            listed = self.folders[folder] = (sorted(entries), entries)
        return listed

    def real(self, path: str) -> tuple[str, Stamp] | None:
        """The path without links and the stamp of what is there; None when it is not in the repository."""
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode):
            real = os.path.realpath(path)
            return (real, Stamp.of(os.lstat(real))) if self._is_inside(real) else None
        folder, name = os.path.split(path)
        if folder not in self.reals:
            self.reals[folder] = os.path.realpath(folder)
        real = os.path.join(self.reals[folder], name)
        return (real, Stamp.of(status)) if self._is_inside(real) else None

    def _is_inside(self, real: str) -> bool:
        return real == self.root or real.startswith(self.root.rstrip(os.sep) + os.sep)

    def shown(self, path: str) -> str:
        """The path as people see it: relative to the root."""
        relative = os.path.relpath(path, self.root).replace(os.sep, "/")
        return os.fsencode(relative).decode("utf-8", "replace")


@cache
def _matcher(step: str) -> Callable[[str], re.Match[str] | None]:
    return re.compile(translate(step)).match


@dataclass(frozen=True, slots=True)
class DataFile:
    """The content of one data file: implements `ports.Content`."""

    local: Local
    sha256: str

    @property
    def size(self) -> int:
        """Bytes."""
        return self.local.stamp.size

    async def chunks(self, first: int, stop: int) -> AsyncIterator[bytes]:
        """Read a stretch of the file, a mebibyte at a time; the last only once it is certain that nothing changed.

        Raises `ContentChanged`.
        """
        import asyncio  # validation reads no data: it need not wait for this import

        file = self._open()  # not in a thread: a cancelled one would leave it open
        try:
            digest = sha256() if (first, stop) == (0, self.size) else None
            at = file.seek(first)
            while at < stop:
                chunk = await asyncio.to_thread(_read, file, min(CHUNK, stop - at), self.local.path)
                at += len(chunk)
                if digest is not None:
                    digest.update(chunk)
                if at == stop:
                    self._check(file, None if digest is None else digest.hexdigest())
                yield chunk
        finally:
            file.close()

    def _open(self) -> FileIO:
        try:
            file = open_data(self.local.path)
        except OSError as error:
            raise unreadable(self.local.path, error) from error
        if Stamp.of(os.fstat(file.fileno())) != self.local.stamp:
            file.close()
            raise changed(self.local.path)
        return file

    def _check(self, file: FileIO, found: str | None) -> None:
        if Stamp.of(os.fstat(file.fileno())) != self.local.stamp or found not in {None, self.sha256}:
            raise changed(self.local.path)


def _read(file: FileIO, most: int, path: str) -> bytes:
    try:
        chunk = file.read(most)
    except OSError as error:
        raise unreadable(path, error) from error
    if not chunk:
        raise changed(path)
    return chunk
