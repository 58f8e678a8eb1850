"""The README is a program: its `console` blocks run as printed, in order, in a fresh copy; outputs are compared."""

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
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


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


def printed(command: str, checkout: Path) -> str:
    """What the command prints on stdout, in an environment without any setting."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AEP_", "RECONCILER_"))}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    ran = subprocess.run(
        ["bash", "-c", command], cwd=checkout, capture_output=True, text=True, check=False, env=environment
    )
    return ran.stdout + (f"--- stderr\n{ran.stderr}" if ran.returncode not in {0, 1} else "")


@pytest.mark.slow
def test_every_console_block_prints_what_the_readme_says(checkout: Path) -> None:
    text, count = README, 0
    for kind, block in BLOCKS:
        for command, expected in commands(block) if kind == "console" else ():
            count += 1
            found = printed(command, checkout)
            if os.environ.get("UPDATE_GOLDEN"):
                text = text.replace(f"$ {command}\n{expected}", f"$ {command}\n{found}")
            else:
                assert normal(found) == normal(expected), command
    if os.environ.get("UPDATE_GOLDEN"):
        (ROOT / "README.md").write_text(text, encoding="utf-8")
    assert count >= 5


def test_every_manifest_block_is_a_file_of_the_example() -> None:
    blocks = [block for kind, block in BLOCKS if kind == "yaml"]
    assert blocks
    for block in blocks:
        name, _, text = block.partition("\n")
        path = ROOT / name.removeprefix("# ")
        assert text.strip() in path.read_text(encoding="utf-8"), name


def test_ci_runs_the_second_command_as_it_is_printed() -> None:
    shell = [block for kind, block in BLOCKS if kind == "sh"]
    assert len(shell) == 2
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    (extract,) = [line for line in script.splitlines() if line.startswith("test_command=")]
    ran = subprocess.run(
        ["bash", "-c", f'{extract}; printf %s "$test_command"'], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ran.stdout == shell[1].strip()
    assert 'eval "$test_command"' in script


def test_it_stays_short() -> None:
    assert README.count("\n") < 250


def test_every_linked_file_exists() -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", README):
        assert (ROOT / target).exists(), target
