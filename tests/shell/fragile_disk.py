"""A disk in memory that forgets like a real one: what was not synced may be gone after a crash."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from reconciler.storage.disk import Status

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from reconciler.storage.disk import Handle


class Killed(BaseException):
    """The process is gone: nothing handles this."""


class Crash(StrEnum):
    """What is left after a crash."""

    PROCESS = "the process dies, the system keeps all it was given"
    POWER = "only what was synced is left"
    NAMES = "names survive, bytes that were not synced do not"


@dataclass
class Inode:
    data: bytes = b""
    synced: bytes = b""
    mode: int = 0o644


@dataclass
class FragileDisk:
    """Counts effects and breaks the n-th by `breaks`; a write that breaks has written half."""

    names: dict[Path, Inode] = field(default_factory=dict)
    synced_names: dict[Path, Inode] = field(default_factory=dict)
    break_at: int | None = None
    breaks: Callable[[], BaseException] = Killed
    stays_broken: bool = True
    count: int = 0
    log: list[str] = field(default_factory=list)

    def effect(self, name: str) -> None:
        self.log.append(name)
        number, self.count = self.count, self.count + 1
        broken = self.break_at is not None and (
            number >= self.break_at if self.stays_broken else number == self.break_at
        )
        if broken:
            raise self.breaks()

    @property
    def struck(self) -> bool:
        return self.break_at is not None and self.count > self.break_at

    def after(self, crash: Crash) -> FragileDisk:
        """The disk as the next run finds it."""
        names = self.synced_names if crash is Crash.POWER else self.names
        kept = {
            path: Inode(inode.data if crash is Crash.PROCESS else inode.synced, inode.synced, inode.mode)
            for path, inode in names.items()
        }
        for inode in kept.values():
            inode.synced = inode.data
        return FragileDisk(dict(kept), dict(kept))

    def status(self, path: Path) -> Status | None:
        inode = self.names.get(path)
        return Status(inode.mode) if inode else None

    def read(self, path: Path) -> bytes | None:
        inode = self.names.get(path)
        return inode.data if inode else None

    def open(self, path: Path, *, fresh: bool, mode: int | None = None) -> Handle:
        self.effect(f"open {path.name}")
        inode = self.names.setdefault(path, Inode())
        inode.mode = mode or inode.mode
        if fresh:
            inode.data = b""
        return FragileHandle(self, inode, path.name)

    def truncate(self, path: Path, length: int) -> None:
        self.effect(f"truncate {path.name}")
        self.names[path].data = self.names[path].synced = self.names[path].data[:length]

    def replace(self, source: Path, target: Path) -> None:
        self.effect(f"replace {target.name}")
        self.names[target] = self.names.pop(source)

    def remove(self, path: Path) -> None:
        self.effect(f"remove {path.name}")
        self.names.pop(path, None)

    def make_folder(self, path: Path) -> None:
        self.effect(f"make {path.name}")

    def sync_folder(self, path: Path) -> None:
        self.effect(f"sync {path.name}")
        others = {name: inode for name, inode in self.synced_names.items() if name.parent != path}
        self.synced_names = others | {name: inode for name, inode in self.names.items() if name.parent == path}


@dataclass
class FragileHandle:
    disk: FragileDisk
    inode: Inode
    name: str

    def write(self, data: bytes) -> None:
        try:
            self.disk.effect(f"write {self.name}")
        except BaseException:
            if self.disk.count == (self.disk.break_at or 0) + 1:
                self.inode.data += data[: len(data) // 2]
            raise
        self.inode.data += data

    def sync(self) -> None:
        self.disk.effect(f"fsync {self.name}")
        self.inode.synced = self.inode.data

    def close(self) -> None:
        pass
