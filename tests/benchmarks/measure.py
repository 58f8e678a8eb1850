"""What a piece of work cost: seconds, peak memory, bytes written, fsyncs. Counts nothing but what it wraps."""

from __future__ import annotations

import gc
import os
import resource
import subprocess
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reconciler.storage.disk import RealDisk

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from reconciler.storage.disk import Handle, Status

_CLEAR = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


@dataclass
class Cost:
    """What one phase cost."""

    name: str
    seconds: float = 0.0
    cpu: float = 0.0
    """Seconds of this process's own work: what a busy machine changes least."""
    peak_mib: float = 0.0
    """Of the whole process while the phase ran: what earlier phases left is in it."""
    written: int = 0
    """Bytes."""
    fsyncs: int = 0
    calls: int = 0
    """HTTP requests that the server counted."""
    notes: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return asdict(self)


@contextmanager
def measured(name: str, costs: list[Cost], disk: CountingDisk | None = None) -> Iterator[Cost]:
    """Measure the block and append what it cost; what `disk` did in it is counted."""
    cost = Cost(name)
    gc.collect()
    _forget_peak()
    before = (disk.written, disk.fsyncs) if disk else (0, 0)
    began, cpu = time.perf_counter(), time.process_time()
    yield cost
    cost.seconds, cost.cpu = time.perf_counter() - began, time.process_time() - cpu
    cost.peak_mib = peak_mib()
    if disk:
        cost.written, cost.fsyncs = disk.written - before[0], disk.fsyncs - before[1]
    costs.append(cost)


def _forget_peak() -> None:
    """Let the kernel count the peak anew; where it cannot, the peak is that of the process so far."""
    if _CLEAR.exists():
        _CLEAR.write_text("5", encoding="ascii")


def peak_mib() -> float:
    """The process's peak of resident memory since it was last forgotten."""
    if _STATUS.exists():
        for line in _STATUS.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run_measured(name: str, command: Sequence[str], cwd: Path, env: Mapping[str, str]) -> tuple[Cost, int]:
    """Run a command to its end: its cost as the system counts it, and its exit code."""
    began = time.perf_counter()
    process = subprocess.Popen(
        list(command), cwd=cwd, env=dict(env), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began
    return Cost(name, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024), process.returncode


class CountingDisk:
    """The real disk, and what was asked of it."""

    def __init__(self) -> None:
        self._disk = RealDisk()
        self.written = 0
        self.fsyncs = 0

    def status(self, path: Path) -> Status | None:
        return self._disk.status(path)

    def read(self, path: Path) -> bytes | None:
        return self._disk.read(path)

    def open(self, path: Path, *, fresh: bool, mode: int | None = None) -> Handle:
        return _CountingHandle(self._disk.open(path, fresh=fresh, mode=mode), self)

    def truncate(self, path: Path, length: int) -> None:
        self.fsyncs += 1
        self._disk.truncate(path, length)

    def replace(self, source: Path, target: Path) -> None:
        self._disk.replace(source, target)

    def remove(self, path: Path) -> None:
        self._disk.remove(path)

    def make_folder(self, path: Path) -> None:
        self._disk.make_folder(path)

    def sync_folder(self, path: Path) -> None:
        self.fsyncs += 1
        self._disk.sync_folder(path)


class _CountingHandle:
    def __init__(self, handle: Handle, disk: CountingDisk) -> None:
        self._handle = handle
        self._disk = disk

    def write(self, data: bytes) -> None:
        self._disk.written += len(data)
        self._handle.write(data)

    def sync(self) -> None:
        self._disk.fsyncs += 1
        self._handle.sync()

    def close(self) -> None:
        self._handle.close()
