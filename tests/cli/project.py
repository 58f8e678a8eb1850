"""A project folder and command lines in it: in this process where that is enough, else as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.cli import run
from tests.aep.server import DATASET, ORG, SANDBOX

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pytest

PROJECT = f"""\
project: acme-crm
default_environment: dev
environments:
  dev: {{org: {ORG}, sandbox: {SANDBOX}}}
  local: {{emulator: true}}
limits: {{create: 20, replace: 5, delete: 5}}
"""


@dataclass(frozen=True, slots=True)
class Said:
    """How a command line ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """All of it, for messages of failed tests."""
        return f"exit {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


class Project:
    """A folder with a project file; the environment `dev` is a real AEP, `local` the embedded emulator."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str], environment: str = "dev") -> None:
        self.root, self._capsys, self.environment = root, capsys, environment
        self.state = root / "state" / f"{environment}.jsonl"
        self.write(
            "manifests/reconciler.yaml",
            PROJECT.replace("default_environment: dev", f"default_environment: {environment}"),
        )

    def write(self, name: str, text: str | bytes) -> Path:
        """Write a file of the project."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def declare(self, batches: str, *, dataset: str = DATASET, more: str = "") -> None:
        """Write the manifest of the dataset `loyalty`."""
        self.write("manifests/loyalty.yaml", f"dataset: loyalty\nid: {dataset}\nbatches: {batches}\n{more}")

    def __call__(self, *arguments: str) -> Said:
        """Run one command line in this process."""
        self._capsys.readouterr()
        code = run(["-C", str(self.root), *arguments])
        printed = self._capsys.readouterr()
        said = Said(code, printed.out, printed.err)
        assert "Traceback" not in said.out + said.err, said.text
        return said

    def process(self, *arguments: str, env: Mapping[str, str] | None = None, stdin: str = "") -> Said:
        """Run one command line as a process of its own, with these `AEP_` variables and no others."""
        ended = subprocess.run(
            [sys.executable, "-m", "reconciler", "-C", str(self.root), *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            env=clean_environment(env or {}),
            timeout=120,
        )
        said = Said(ended.returncode, ended.stdout, ended.stderr)
        assert "Traceback" not in said.out + said.err, said.text
        return said

    def apply(self, *more: str) -> Said:
        """Run an `apply` that must succeed."""
        said = self("apply", "--auto-approve", *more)
        assert said.code == 0, said.text
        return said

    def records(self) -> dict[str, dict[str, object]]:
        """The records of the state file by address, read by hand."""
        if not self.state.exists():
            return {}
        lines = [json.loads(line) for line in self.state.read_text(encoding="utf-8").splitlines()]
        assert lines[-1] == {"end": True}
        return {line["address"]: line for line in lines[1:-1]}

    def ids(self) -> dict[str, object]:
        """The recorded ids by address."""
        return {address: record["id"] for address, record in self.records().items()}

    def files(self) -> dict[str, bytes]:
        """Every file of the project but locks, to compare before and after."""
        found = sorted(path for path in self.root.rglob("*") if path.is_file() and path.suffix != ".lock")
        return {path.relative_to(self.root).as_posix(): path.read_bytes() for path in found if os.access(path, os.R_OK)}


def clean_environment(more: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without any setting of ours but those given."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AEP_", "RECONCILER_"))}
    return {**kept, "PYTHONUTF8": "1", **more}
