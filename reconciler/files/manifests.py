"""Reads the folder of manifests: which files there are, and their text. Parses nothing, reads nothing outside the root.

A manifest that is left out silently would be batches that are no longer declared, so one that cannot be read is an
error. Names that begin with a dot are no manifests: editors keep their own files there.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.core.data_files import LFS_POINTER
from reconciler.core.diagnostics import Diagnostic, Span
from reconciler.core.manifests.positions import split_lines
from reconciler.core.manifests.source import PROJECT_FILE, Source
from reconciler.core.wording import visible
from reconciler.files.inside import MAY_READ, is_inside, open_regular, reason

SUFFIXES = (".yaml", ".yml")

MAX_FILE = 32 * 1024 * 1024
"""Bytes of one manifest."""

MAX_TOTAL = 8 * MAX_FILE
"""Bytes of all manifests together."""


def read_sources(root: Path, folder: Path) -> tuple[tuple[Source, ...], tuple[Diagnostic, ...]]:
    """Read every manifest below the folder, sorted by path, and report what could not be read.

    `root` is the directory of the project: links that lead out of it are refused.
    """
    reader = _Folder(_real(root), folder)
    if not folder.is_dir():
        reader.report("no-manifests", f"there is no folder `{reader.shown(folder)}`", "`reconciler init` makes one")
    elif not is_inside(folder, root):
        reader.report_outside(folder)
    else:
        reader.walk(folder)
    return tuple(sorted(reader.sources, key=lambda source: source.file)), tuple(reader.diagnostics)


@dataclass
class _Folder:
    """The folder while it is read."""

    root: Path
    folder: Path
    sources: list[Source] = field(default_factory=list)
    diagnostics: list[Diagnostic] = field(default_factory=list)
    visited: set[Path] = field(default_factory=set)
    """Real paths of folders: one that is linked to twice, or from within itself, is read once."""
    total: int = 0

    def walk(self, folder: Path) -> None:
        """Read all below a folder."""
        pending = [folder]
        while pending:
            current = pending.pop()
            self.visited.add(_real(current))
            try:
                for entry in sorted(current.iterdir()):
                    if self.is_folder_to_walk(entry):
                        pending.append(entry)
                    elif self.is_manifest(entry):
                        self.read(entry)
            except OSError as error:
                self.report_unreadable(current, error)

    def is_folder_to_walk(self, entry: Path) -> bool:
        """Whether an entry is a folder that is not reached by another path as well."""
        if entry.name.startswith(".") or not entry.is_dir():
            return False
        if not entry.is_symlink():
            return True
        if not is_inside(entry, self.root):
            self.report_outside(entry)
            return False
        return _real(entry) not in self.visited and not is_inside(entry, self.folder)

    def is_manifest(self, entry: Path) -> bool:
        """Whether an entry is a file with the name of a manifest."""
        return not entry.name.startswith(".") and entry.suffix.lower() in SUFFIXES and not entry.is_dir()

    def read(self, path: Path) -> None:
        """Read one file."""
        is_link = path.is_symlink()
        if is_link and not is_inside(path, self.root):
            self.report_outside(path)
        elif path.name == PROJECT_FILE and path.parent != self.folder:
            hint = f"rename it; the project file is `{self.shown(self.folder / PROJECT_FILE)}`"
            self.report("nested-project-file", f"`{self.shown(path)}` has the name of the project file", hint)
        else:
            try:
                content = _content(_real(path) if is_link else path)
            except OSError as error:
                self.report_unreadable(path, error)
            else:
                self.add(path, content)

    def add(self, path: Path, content: bytes) -> None:
        """Keep the text of a file."""
        shown = self.shown(path)
        self.total += len(content)
        if len(content) > MAX_FILE or self.total > MAX_TOTAL:
            what = f"`{shown}` is larger than" if len(content) > MAX_FILE else f"with `{shown}` the manifests exceed"
            limit = MAX_FILE if len(content) > MAX_FILE else MAX_TOTAL
            hint = "declare many batches with `each`: it takes three lines"
            self.report("too-large", f"{what} {limit // 1024 // 1024} MiB", hint)
        elif b"\0" in content and not content.startswith((b"\xff\xfe", b"\xfe\xff")):
            self.report("not-text", f"`{shown}` is not a text file", "take it out of the folder, or rename it")
        elif content.startswith(LFS_POINTER):
            self.report("lfs-pointer", f"`{shown}` is a Git LFS pointer, not a manifest", "run `git lfs pull`")
        else:
            self.decode(shown, content)

    def decode(self, shown: str, content: bytes) -> None:
        """Keep the text of a file, if it is one."""
        try:
            self.sources.append(Source(shown, content.decode()))
        except UnicodeDecodeError as error:
            span = _span_of_byte(shown, content, error.start)
            self.diagnostics.append(Diagnostic("not-utf-8", f"`{shown}` is not UTF-8", span, "save the file as UTF-8"))

    def report(self, code: str, message: str, hint: str) -> None:
        """Add a diagnostic for a whole file."""
        self.diagnostics.append(Diagnostic(code, message, hint=hint))

    def report_outside(self, path: Path) -> None:
        """Report a link that leads out of the project."""
        hint = "put the manifests inside the repository"
        self.report("outside", f"`{self.shown(path)}` leads out of `{visible(str(self.root))}`", hint)

    def report_unreadable(self, path: Path, error: OSError) -> None:
        """Report a file or folder that cannot be read."""
        self.report("unreadable", f"`{self.shown(path)}` cannot be read: {reason(error)}", MAY_READ)

    def shown(self, path: Path) -> str:
        """The path as people see it: relative to the root, printable."""
        absolute = path if path.is_absolute() else self.root / path
        relative = absolute.relative_to(self.root) if absolute.is_relative_to(self.root) else absolute
        return visible(os.fsencode(relative.as_posix()).decode("utf-8", "replace"))


def _real(path: Path) -> Path:
    """The path without links; unlike `Path.resolve` it does not raise on a link to itself."""
    return Path(os.path.realpath(path))


def _span_of_byte(shown: str, content: bytes, index: int) -> Span:
    """The span of the first byte that is not UTF-8."""
    before = split_lines(content[:index].decode())
    rest = split_lines(content[index:].decode("utf-8", "replace"))[0]
    column = len(before[-1]) + 1
    return Span(shown, len(before), column, column + 1, before[-1] + rest)


def _content(path: Path) -> bytes:
    """The bytes of a file, up to one more than allowed. Raises `OSError`, also for what is not a regular file."""
    with open_regular(path) as file:
        return file.read(MAX_FILE + 1)
