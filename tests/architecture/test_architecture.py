"""The structure is checked like any other behaviour: layers, forbidden names, lazy imports, file sizes."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "reconciler"
FILES = sorted(PACKAGE.rglob("*.py"))
NAMELESS = {
    "utils",
    "util",
    "helpers",
    "helper",
    "common",
    "base",
    "misc",
    "manager",
    "managers",
    "service",
    "services",
}
HEAVY = ("httpx", "pydantic", "deepdiff", "yaml", "starlette", "uvicorn", "sqlite3")


def test_import_contracts_hold() -> None:
    program = Path(sys.executable).with_name("lint-imports")  # also where the environment is not activated
    linted = subprocess.run([program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert linted.returncode == 0, linted.stdout + linted.stderr


def test_validate_needs_no_event_loop_and_no_network(tmp_path: Path) -> None:
    (tmp_path / "manifests").mkdir()
    project = "project: acme\nenvironments: {local: {emulator: true}}\n"
    (tmp_path / "manifests" / "reconciler.yaml").write_text(project, encoding="utf-8")
    script = (
        "import sys\n"
        "from reconciler.cli import run\n"
        f"run(['-C', {str(tmp_path)!r}, 'validate'])\n"
        "unneeded = {'asyncio', 'httpx', 'filelock', 'deepdiff'} & sys.modules.keys()\n"
        "sys.stderr.write(','.join(sorted(unneeded)))\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert (ran.stdout, ran.stderr) == ("The manifests are valid.\n", "")


def test_no_room_without_a_name() -> None:
    assert not [path for path in FILES if path.stem in NAMELESS]


def test_every_module_and_public_name_says_what_it_is() -> None:
    silent = []
    for path in FILES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if not ast.get_docstring(tree):
            silent.append(f"{path.relative_to(ROOT)}")
        silent.extend(
            f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
            for node in tree.body
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            and not node.name.startswith("_")
            and not ast.get_docstring(node)
        )
    assert not silent


def test_functions_are_of_one_thought() -> None:
    lengths = []
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                first = node.body[0]
                said = ast.get_docstring(node) is not None
                doc = (first.end_lineno or 0) - first.lineno + 1 if said else 0
                lengths.append(
                    ((node.end_lineno or 0) - node.lineno + 1 - doc, f"{path.relative_to(ROOT)} {node.name}")
                )
    longest = max(lengths)
    assert longest[0] <= 60, longest
    assert sum(1 for length, _ in lengths if length <= 40) / len(lengths) >= 0.97


def test_nobody_catches_everything_or_patches() -> None:
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler):
                assert node.type is not None, path
                assert getattr(node.type, "id", "") not in {"Exception", "BaseException"}, f"{path}:{node.lineno}"
    for path in (ROOT / "tests").rglob("*.py"):
        assert "mock" + ".patch" not in path.read_text(encoding="utf-8"), path


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["plan", "--help"], ["state", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import sys\nfrom reconciler.cli import run\n"
        f"run({arguments!r})\n"
        f"heavy = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "sys.stderr.write(','.join(heavy))\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert ran.stdout
    assert ran.stderr == ""
