"""A file larger than memory should be: a real process uploads it in parts and stays small, and a killed one resumes."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SIZE = 320 * 1024 * 1024
"""Bytes: beyond what goes in one request."""
PART = 16 * 1024 * 1024
LARGEST_MEMORY = 150 * 1024
"""Kibibytes."""

PROJECT = "project: acme\ndefault_environment: local\nenvironments: {local: {emulator: true}}\n"
MANIFEST = """\
dataset: loyalty
id: 5c8c3c555033b814b69f947f
batches: {big: {format: json, files: [data/big.json], complete: true}}
"""


MEASURED = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
"""Run a command, then print its exit code and how much memory it had. Linux counts the memory that a process shares
with its parent before it becomes another program; the parent is therefore this one, not pytest with all its tests."""


def command(root: Path) -> list[str]:
    apply = ["-m", "reconciler", "-C", str(root), "apply", "--auto-approve", "--no-wait", "--part-size", str(PART)]
    return [sys.executable, *apply]


def environment() -> dict[str, str]:
    found = importlib.util.find_spec("reconciler")
    assert found is not None
    assert found.origin is not None
    return {**os.environ, "PYTHONPATH": str(Path(found.origin).parent.parent)}


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="sparse files, and memory in kibibytes")
def test_a_big_file_takes_little_memory_and_a_kill_costs_no_finished_part(tmp_path: Path) -> None:
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "reconciler.yaml").write_text(PROJECT, encoding="utf-8")
    (tmp_path / "manifests" / "loyalty.yaml").write_text(MANIFEST, encoding="utf-8")
    (tmp_path / "data").mkdir()
    with (tmp_path / "data" / "big.json").open("wb") as big:
        big.write(b'{"a": 1}\n' * 2000)
        big.truncate(SIZE)
    process = subprocess.Popen(
        command(tmp_path), env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    sent = 0
    while sent < 4 * PART and process.poll() is None:
        time.sleep(0.02)
        sent = max((part.stat().st_size for part in tmp_path.glob("state/*.files/*/*.large")), default=0)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (part,) = tmp_path.glob("state/*.files/*/*.large")
    with part.open("r+b") as half_sent:
        half_sent.write(b"#")  # whoever sends the first part again takes this mark away
    measured = [sys.executable, "-c", MEASURED, *command(tmp_path)]
    again = subprocess.run(measured, env=environment(), stdout=subprocess.PIPE, check=True, text=True)
    code, memory = map(int, again.stdout.split())
    assert code == 0
    assert memory < LARGEST_MEMORY
    (whole,) = (path for path in tmp_path.glob("state/*.files/*/*") if path.is_file())
    assert whole.stat().st_size == SIZE
    with whole.open("rb") as data:
        assert data.read(9) == b'#"a": 1}\n'
