"""Killing a run at its n-th effect: each write, fsync, rename and request counts; the dead do nothing more."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

from reconciler.storage.disk import RealDisk

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.storage.disk import Handle, Status


class Killed(BaseException):
    """What SIGKILL is to a process: nobody handles it."""


@dataclass
class Failpoints:
    """Counts effects and kills at the n-th; after that, every effect is dead."""

    kill_at: int | None
    count: int = 0
    at: str = ""
    """Where the kill struck."""

    @property
    def is_dead(self) -> bool:
        return self.kill_at is not None and self.count > self.kill_at

    def hit(self, name: str) -> None:
        """Pass one point, or die at it."""
        if self.is_dead:
            raise Killed(self.at)
        if self.count == self.kill_at:
            self.count += 1
            self.at = name
            raise Killed(name)
        self.count += 1


class FailingHandle:
    """A file that the kill may tear in the middle of a write."""

    def __init__(self, inner: Handle, points: Failpoints, name: str) -> None:
        self.inner, self.points, self.name = inner, points, name

    def write(self, data: bytes) -> None:
        try:
            self.points.hit(f"write {self.name}")
        except Killed:
            if self.points.count == (self.points.kill_at or 0) + 1 and not getattr(self.points, "torn", False):
                self.points.torn = True  # type: ignore[attr-defined]
                self.inner.write(data[: len(data) // 2])
            raise
        self.inner.write(data)

    def sync(self) -> None:
        self.points.hit(f"sync {self.name}")
        self.inner.sync()
        self.points.hit(f"after sync {self.name}")

    def close(self) -> None:
        self.inner.close()


class FailingDisk(RealDisk):
    """The real disk, with a failpoint before each effect."""

    def __init__(self, points: Failpoints) -> None:
        self.points = points

    def status(self, path: Path) -> Status | None:
        return super().status(path)

    def open(self, path: Path, *, fresh: bool, mode: int | None = None) -> Handle:
        self.points.hit(f"open {path.name}")
        return FailingHandle(super().open(path, fresh=fresh, mode=mode), self.points, path.name)

    def truncate(self, path: Path, length: int) -> None:
        self.points.hit(f"truncate {path.name}")
        super().truncate(path, length)

    def replace(self, source: Path, target: Path) -> None:
        self.points.hit(f"rename {source.name}")
        super().replace(source, target)
        self.points.hit(f"after rename {source.name}")

    def remove(self, path: Path) -> None:
        self.points.hit(f"remove {path.name}")
        super().remove(path)

    def sync_folder(self, path: Path) -> None:
        self.points.hit(f"sync folder {path.name}")
        super().sync_folder(path)


class FailingTransport(httpx.AsyncBaseTransport):
    """A network on which the kill may strike before a request leaves or after it had its effect."""

    def __init__(self, inner: httpx.AsyncBaseTransport, points: Failpoints) -> None:
        self.inner, self.points = inner, points

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0)
        name = f"{request.method} {request.url.path}"
        self.points.hit(f"before {name}")
        response = await self.inner.handle_async_request(request)
        self.points.hit(f"after {name}")
        return response
