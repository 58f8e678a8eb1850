"""The structure is checked like any other behaviour: layers, forbidden names, lazy imports, file sizes."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.core import errors

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


def mapped_modules(package: Path) -> set[str]:
    """The modules that the map in a package's docstring names; empty if it has none.

    A map has lines of one or two columns `name  text` or `name, name  text`, at least two blanks between them.
    """
    names: set[str] = set()
    for line in (ast.get_docstring(ast.parse(package.read_text(encoding="utf-8"))) or "").splitlines():
        cells = re.split(r"\s{2,}", line.strip())
        if len(cells) > 1 and re.fullmatch(r"[a-z_]+(, [a-z_]+)*", cells[0]):
            names.update(name for cell in cells[::2] for name in cell.split(", "))
    return names


MAPS = {package.parent: names for package in FILES if package.stem == "__init__" and (names := mapped_modules(package))}


@pytest.mark.parametrize("folder", MAPS, ids=lambda folder: str(folder.relative_to(ROOT)))
def test_the_map_of_a_package_names_each_of_its_modules(folder: Path) -> None:
    assert MAPS[folder] == {path.stem for path in folder.glob("*.py")} - {"__init__"}


def test_packages_of_many_modules_have_a_map() -> None:
    mapped = {str(folder.relative_to(PACKAGE)) for folder in MAPS}
    core = {"core/manifests", "core/states", "core/plans"}
    assert {"apply", "storage", "files", "refresh", "platform", *core} <= mapped


def test_the_drawn_tree_of_errors_is_the_tree_of_classes() -> None:
    def drawn(kind: type[Exception]) -> list[str]:
        children = [each for each in kind.__subclasses__() if each.__module__.startswith("reconciler.")]
        lines = [kind.__name__]
        for child in children:
            is_last = child is children[-1]
            first, *others = drawn(child)
            lines.append(f"{'└' if is_last else '├'} {first}")
            lines += [f"{' ' if is_last else '│'} {line}" for line in others]
        return lines

    assert re.findall(r"(?m)^ {4}([│├└ ]*\w+)", errors.__doc__ or "") == drawn(errors.ReconcilerError)


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
