"""The README is a program: each `console` block runs as printed, in order, in a fresh copy, and its output is compared."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
INSTALLS = "pip install"
"""Commands that need a registry: they are what `.ci/run` itself does before the tests run."""


def commands(block: str) -> list[tuple[str, str]]:
    """The commands of a console block, each with the output printed under it."""
    found = re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
    return [(command, rest) for command, _, rest in (each.partition("\n") for each in found)]


def normal(text: str) -> str:
    """The text without what differs from run to run: batch ids."""
    return re.sub(r"\b01[0-9A-HJKMNP-TV-Z]{24}\b", "01·········ID·············", text).strip()


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a fresh clone holds."""
    target = tmp_path_factory.mktemp("clone") / "reconciler"
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target / name)
    return target


CONSOLE = [pair for kind, block in BLOCKS if kind == "console" for pair in commands(block)]


@pytest.mark.slow
def test_every_console_block_prints_what_the_readme_says(checkout: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AEP_", "RECONCILER_"))}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    assert len(CONSOLE) >= 5
    for command, expected in CONSOLE:
        ran = subprocess.run(
            ["bash", "-c", command], cwd=checkout, capture_output=True, text=True, check=False, env=environment
        )
        assert normal(ran.stdout) == normal(expected), f"{command}\n{ran.stdout}\n{ran.stderr}"


def test_every_manifest_block_is_a_file_of_the_example() -> None:
    blocks = [block for kind, block in BLOCKS if kind == "yaml"]
    assert blocks
    for block in blocks:
        name, _, text = block.partition("\n")
        path = ROOT / name.removeprefix("# ")
        assert text.strip() in path.read_text(encoding="utf-8"), name


def test_the_two_commands_are_what_ci_runs() -> None:
    shell = [block for kind, block in BLOCKS if kind == "sh"]
    assert len(shell) == 2
    assert all(INSTALLS in block for block in shell)
    assert "pytest" in shell[1]
    ran = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for line in filter(None, shell[1].splitlines()):
        assert line.split(" && ")[-1].strip() in ran, line


def test_it_stays_short() -> None:
    assert README.count("\n") < 250


def test_every_linked_file_exists() -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", README):
        assert (ROOT / target).exists(), target
