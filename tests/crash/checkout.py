"""A checkout of a project, and the command line as real processes in it. It must never import `reconciler` code."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.aep.server import DATASET

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.aep.server import Aep

SCALE = float(os.environ.get("RECONCILER_CRASH_SCALE", "1"))
"""How much bigger than in everyday runs the big tests are: 10 is the size that issue 3 asks for."""

PROJECT = """\
project: acme-crm
default_environment: dev
environments: {dev: {org: 0123456789ABCDEF01234567@AdobeOrg, sandbox: dev}}
limits: {create: 100000, replace: 1000, delete: 1000}
"""


def scaled(count: int) -> int:
    """A count, times `RECONCILER_CRASH_SCALE`."""
    return max(1, round(count * SCALE))


def manifest(count: int, fields: str = "format: json") -> str:
    """A manifest of so many batches."""
    keys = ", ".join(f"k{number:05d}" for number in range(count))
    return f"dataset: loyalty\nid: {DATASET}\nbatches:\n  daily: {{{fields}, each: {{key: [{keys}]}}}}\n"


def addresses(count: int) -> list[str]:
    """The addresses that `manifest` declares, sorted."""
    return [f"loyalty/daily/k{number:05d}" for number in range(count)]


@dataclass
class Ended:
    """A process that is over."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """All that it said."""
        return f"exit {self.code}\n{self.out}\n{self.err}"


@dataclass
class Checkout:
    """A project folder and the AEP that its processes talk to."""

    root: Path
    aep: Aep
    settle: float = 3.0
    """Seconds: `--settle-timeout`."""
    env: Mapping[str, str] = field(default_factory=dict)
    state: Path = field(init=False)
    journal: Path = field(init=False)

    def __post_init__(self) -> None:
        self.state = self.root / "state" / "dev.jsonl"
        self.journal = self.root / "state" / "dev.journal"

    def declare(self, text: str) -> None:
        """Write the project file and one manifest."""
        folder = self.root / "manifests"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "reconciler.yaml").write_text(PROJECT, encoding="utf-8")
        (folder / "loyalty.yaml").write_text(text, encoding="utf-8")

    def start(
        self, *arguments: str, prefix: Sequence[str] = (), popen: Mapping[str, Any] | None = None
    ) -> subprocess.Popen[str]:
        """Start one command line; `prefix` is a program that starts it, `popen` more for `Popen`."""
        found = importlib.util.find_spec("reconciler")
        assert found is not None
        assert found.origin is not None
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AEP_", "RECONCILER_"))}
        env = {
            **kept,
            "PYTHONPATH": str(Path(found.origin).parent.parent),
            "PYTHONUTF8": "1",
            "TMPDIR": str(self.root),
            **self.aep.environment,
            "RECONCILER_SETTLE_TIMEOUT": str(self.settle),
            **self.env,
        }
        command = [*prefix, sys.executable, "-m", "reconciler", "-C", str(self.root), *arguments]
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, env=env, text=True, **{**streams, **(popen or {})})

    def run(self, *arguments: str, timeout: float = 240.0) -> Ended:
        """Run one command line to its end."""
        with self.started(*arguments) as process:
            return end(process, timeout)

    @contextmanager
    def started(
        self, *arguments: str, prefix: Sequence[str] = (), popen: Mapping[str, Any] | None = None
    ) -> Iterator[subprocess.Popen[str]]:
        """A process that does not outlive the block."""
        with self.start(*arguments, prefix=prefix, popen=popen) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()

    def apply(self, *more: str) -> Ended:
        """Run `apply --auto-approve` to its end."""
        return self.run("apply", "--auto-approve", "--rate", "100000", *more)

    def killed(self, after: float, *more: str) -> bool:
        """Whether SIGKILL, so many seconds after the start, met a running `apply`."""
        with self.started("apply", "--auto-approve", "--rate", "100000", *more) as process:
            try:
                process.communicate(timeout=after)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.communicate()
                return True
            return False

    def half_finish(self, after: int) -> None:
        """Die by SIGKILL when so many creates have arrived."""
        with self.started("apply", "--auto-approve", "--rate", "100000") as process:

            def die() -> None:
                if len(self.aep.creates) > after:
                    process.kill()

            self.aep.before_create = die
            process.wait(timeout=60)
        self.aep.before_create = lambda: None
        assert process.returncode == -signal.SIGKILL

    def recorded(self) -> dict[str, str]:
        """The id at each address in the state file, read by hand."""
        if not self.state.exists():
            return {}
        lines = [json.loads(line) for line in self.state.read_text(encoding="utf-8").splitlines()]
        assert lines[0]["format"] == 1
        assert lines[-1] == {"end": True}
        return {line["address"]: line["id"] for line in lines[1:-1]}

    def check(self, expected: Sequence[str]) -> None:
        """The first promise: one live batch an address, all recorded, and nothing open."""
        ids = self.aep.ids()
        assert {address: many for address, many in ids.items() if len(many) > 1} == {}
        assert {address: many[0] for address, many in ids.items()} == self.recorded()
        assert sorted(ids) == sorted(expected)
        assert not self.journal.exists()

    def check_settled(self, expected: Sequence[str]) -> None:
        """The first promise, and that the next plan finds nothing left to do."""
        self.check(expected)
        again = self.run("plan", "--detailed-exitcode")
        assert again.code == 0, again.text
        assert "No changes." in again.out, again.text


def end(process: subprocess.Popen[str], timeout: float = 240.0) -> Ended:
    """Wait for the process; one that never ends is killed and fails the test."""
    out, err = process.communicate(timeout=timeout)
    return Ended(process.returncode, out or "", err or "")
