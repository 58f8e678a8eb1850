"""The data files of every batch: found, checked by their first and last bytes, fingerprinted.

Nothing outside the repository is opened.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from os.path import realpath
from time import time_ns
from typing import TYPE_CHECKING

from reconciler.core.address import split
from reconciler.core.batch import File, Unready
from reconciler.core.data_files import (
    Flaw,
    content_flaw,
    day_flaw,
    empty_flaw,
    extension_flaw,
    limit_flaws,
    name_flaw,
    rules_of,
)
from reconciler.core.diagnostics import Severity
from reconciler.core.errors import ContentChanged
from reconciler.core.manifests.findings import Finding, resolve
from reconciler.core.wording import quoted
from reconciler.files.glob import Outside, Tree
from reconciler.files.inside import MAY_READ, reason
from reconciler.files.reading import LocalFile, read_ends

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from reconciler.core.batch import Desired, Spec
    from reconciler.core.diagnostics import Diagnostic, Place
    from reconciler.core.manifests.source import Source
    from reconciler.files.fingerprints import Fingerprints


@dataclass(frozen=True, slots=True)
class Survey:
    """What the globs of all batches lead to."""

    files: Mapping[str, tuple[LocalFile, ...]]
    """By address, sorted by name; an address without `files` is not in it."""
    unready: Mapping[str, Unready]
    """By address: the first error of its files."""
    diagnostics: tuple[Diagnostic, ...]


def survey(root: Path, desired: Sequence[Desired], sources: Sequence[Source], cache: Fingerprints) -> Survey:
    """Find and check the files of every batch; opens only those that the cache does not know as checked."""
    surveyor = _Surveyor(Tree(realpath(root)), cache)
    files = {each.address: surveyor.of(each) for each in desired if each.globs}
    return Survey(files, surveyor.unready, tuple(resolve(surveyor.findings.values(), sources)))


def fingerprinted(desired: Sequence[Desired], found: Survey, cache: Fingerprints) -> dict[str, Desired]:
    """The batches by address, each with the fingerprints of its files, or with what is wrong with them."""
    result = {}
    for each in desired:
        local, unready = found.files.get(each.address), found.unready.get(each.address)
        result[each.address] = each
        if unready is not None:
            result[each.address] = replace(each, unready=unready)
        elif local is not None:
            try:
                files = tuple(File(one.name, one.stamp.size, cache.digest(one.path, one.stamp)) for one in local)
            except ContentChanged as error:
                result[each.address] = replace(each, unready=Unready(error.summary, error.hint or "", each.place))
            else:
                result[each.address] = replace(each, content=files)
    return result


def check_completion(desired: Sequence[Desired], sources: Sequence[Source]) -> list[Diagnostic]:
    """Find batches that would be completed empty, and datasets that would get more than AEP takes a day."""
    findings: dict[Place, Finding] = {}
    counts: dict[str, int] = {}
    places: dict[str, Place] = {}
    for each in desired:
        if each.complete:
            dataset, _ = split(each.address)
            counts[dataset] = counts.get(dataset, 0) + 1
            places.setdefault(dataset, each.place)
            if not each.globs:
                place = each.place.below("complete")
                hint = "name its `files`, or leave completing to the job that uploads them"
                message = "a batch without files cannot be completed"
                findings[place] = Finding("complete-without-files", message, place, hint)
    flaws = [(flaw, places[dataset]) for dataset, count in counts.items() if (flaw := day_flaw(dataset, count))]
    return resolve([*findings.values(), *(_finding(flaw, place) for flaw, place in flaws)], sources)


class _Surveyor:
    """One pass over all batches. Each kind of mistake is reported once for each place in a manifest."""

    def __init__(self, tree: Tree, cache: Fingerprints) -> None:
        self.tree = tree
        self.cache = cache
        self.findings: dict[tuple[str, Place], Finding] = {}
        self.unready: dict[str, Unready] = {}
        self.address = ""

    def of(self, desired: Desired) -> tuple[LocalFile, ...]:
        self.address = desired.address
        by_name: dict[str, LocalFile] = {}
        seen: set[tuple[str, str]] = set()
        empty: dict[str, Place] = {}
        for index, glob in enumerate(desired.globs):
            place = desired.place.below("files", index)
            for local in self._matches(glob, desired, place, seen):
                other = by_name.setdefault(local.name, local)
                if not local.stamp.size:
                    empty.setdefault(local.path, place)
                if other.path != local.path:
                    self._add_duplicate(local, other, place)
        for path, place in empty.items():
            self._add(empty_flaw(self.tree.shown(path), is_all=len(empty) == len(by_name)), place)
        for flaw in limit_flaws(len(by_name), sum(each.stamp.size for each in by_name.values())):
            self._add(flaw, desired.place)
        return tuple(by_name[name] for name in sorted(by_name))

    def _matches(self, glob: str, desired: Desired, place: Place, seen: set[tuple[str, str]]) -> Iterator[LocalFile]:
        """The files of a glob that can be read and were not seen yet: name and path."""
        try:
            matches = list(self.tree.files(glob))
        except Outside as error:
            self._add(_outside(self.tree.shown(error.folder)), place)
            return
        except OSError as error:
            self._add_unreadable(quoted(glob), error, place)
            return
        rules = rules_of(desired.spec)
        for name, path in matches:
            if (name, path) in seen:
                continue
            seen.add((name, path))
            local = self._local(name, path, place)
            if local is not None and self._check(desired.spec, rules, local, place):
                yield local
        if not matches:
            hint = "check the path: globs are relative to the repository's root, and `*` does not match a `/`"
            if not glob.isascii():
                hint += "; a letter with a mark can be spelled in two ways (NFC, NFD): copy it from the file's name"
            self._add(Flaw("no-files", f"{quoted(glob)} matches no file", hint), place)

    def _local(self, name: str, path: str, place: Place) -> LocalFile | None:
        """The file; None, with a finding, if it cannot be read or is not in the repository."""
        try:
            found = self.tree.real(path)
        except OSError as error:
            self._add_unreadable(quoted(self.tree.shown(path)), error, place)
            return None
        if found is None:
            self._add(_outside(self.tree.shown(path)), place)
            return None
        return LocalFile(name, *found)

    def _check(self, spec: Spec, rules: str, local: LocalFile, place: Place) -> bool:
        """Whether the file can be read at all; what is wrong with it is added to the findings."""
        flaw = name_flaw(local.name) or extension_flaw(spec, local.name)
        if flaw is None and not self.cache.has_passed(local.path, local.stamp, rules):
            shown, since_ns = self.tree.shown(local.path), time_ns()
            try:
                head, tail = read_ends(local.path, local.stamp.size, spec)
            except OSError as error:
                self._add_unreadable(quoted(shown), error, place)
                return False
            flaw = content_flaw(spec, shown, local.stamp.size, head, tail)
            if flaw is None:
                self.cache.note_passed(local.path, local.stamp, rules, since_ns)
        if flaw is not None:
            self._add(flaw, place)
        return True

    def _add_duplicate(self, local: LocalFile, other: LocalFile, place: Place) -> None:
        paths = f"{quoted(self.tree.shown(other.path))} and {quoted(self.tree.shown(local.path))}"
        message = f"{paths} would both be file {quoted(local.name)} of the batch"
        hint = "names are relative to the folder before the first wildcard: begin both globs higher up"
        self._add(Flaw("duplicate-file", message, hint), place)

    def _add_unreadable(self, shown: str, error: OSError, place: Place) -> None:
        self._add(Flaw("unreadable", f"{shown} cannot be read: {reason(error)}", MAY_READ), place)

    def _add(self, flaw: Flaw, place: Place) -> None:
        self.findings.setdefault((flaw.code, place), _finding(flaw, place))
        if flaw.severity is Severity.ERROR:
            self.unready.setdefault(self.address, Unready(flaw.message, flaw.hint, place))


def _finding(flaw: Flaw, place: Place) -> Finding:
    return Finding(flaw.code, flaw.message, place, flaw.hint, severity=flaw.severity)


def _outside(shown: str) -> Flaw:
    hint = "copy the data into the repository: links may not lead out of it"
    return Flaw("outside", f"{quoted(shown)} leads out of the repository", hint)
