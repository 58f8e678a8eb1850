"""`init`: what a project starts with. Overwrites nothing, and never writes outside its folder or through a link."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from importlib.resources import files
from typing import TYPE_CHECKING

from reconciler import __version__
from reconciler.core.errors import SettingsInvalid
from reconciler.core.manifests import schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

PROJECT_FILE = "manifests/reconciler.yaml"
EXAMPLE = "manifests/example.yaml"
DRIVER = "Git's merge driver for state files (each clone needs `reconciler init` once)"

_PROJECT = {
    PROJECT_FILE: "project/manifests/reconciler.yaml",
    EXAMPLE: "project/manifests/example.yaml",
    "state/README.md": "project/state/README.md",
}
_PIPELINES = {
    "github": {
        ".github/actions/reconciler/action.yml": "github/actions/reconciler/action.yml",
        ".github/workflows/reconciler-apply.yml": "github/workflows/reconciler-apply.yml",
        ".github/workflows/reconciler-drift.yml": "github/workflows/reconciler-drift.yml",
        ".github/workflows/reconciler-plan.yml": "github/workflows/reconciler-plan.yml",
    },
    "gitlab": {".gitlab-ci.yml": "gitlab/.gitlab-ci.yml"},
}
"""What is written → the template below `reconciler/templates` that it is made from."""

_LINES = {
    ".gitattributes": ("state/*.jsonl merge=reconciler-state text eol=lf",),
    ".gitignore": (
        "# reconciler, local to one machine: a run's journal and lock, the embedded emulator and its state",
        "state/*.journal*",
        "state/*.lock*",
        "state/.*.tmp",
        "state/*.emulator*",
        "state/*.fingerprints",
        "state/*.bookmark",
        "state/local.jsonl",
    ),
}
"""Lines that these files must have; all others stay as they are."""

_DRIVER = {
    "merge.reconciler-state.name": "join two versions of a reconciler state",
    "merge.reconciler-state.driver": "reconciler state merge %O %A %B",
}


def write(root: Path, ci: str | None) -> tuple[list[str], list[str]]:
    """Write what a project needs, and the pipeline of `ci` (`github`, `gitlab`); return what was written and kept.

    A second run adds what is missing, and in a clone it registers the merge driver, since Git does not clone that.
    Raises `SettingsInvalid`: before the first write if a target is a symbolic link, or if a pipeline would not be
    found there; later if the disk refuses.
    """
    top = _git(root, "rev-parse", "--show-toplevel")
    if ci is not None and top is not None and not root.samefile(top):
        raise SettingsInvalid(
            f"`{root}` is not the top of its Git repository, and pipelines are read only there",
            hint=f"run `reconciler -C {top} init --ci {ci}`",
        )
    contents = _contents(root, ci)
    _refuse_links(root, [*contents, *_LINES])
    written: list[str] = []
    kept: list[str] = []
    for name, text in contents.items():
        (written if _create(root, name, text) else kept).append(name)
    for name, lines in _LINES.items():
        (written if _add_lines(root, name, lines) else kept).append(name)
    if top is not None:
        (written if _register_driver(root) else kept).append(DRIVER)
    return written, kept


def _contents(root: Path, ci: str | None) -> Mapping[str, str]:
    """What to write where; the example only if there is no manifest yet: a second `init` must not declare batches."""
    wanted = {**_PROJECT, **(_PIPELINES[ci] if ci is not None else {})}
    if any((root / "manifests").glob("**/*.y*ml")) and not (root / EXAMPLE).exists():
        del wanted[EXAMPLE]
    values = {"@PROJECT@": project_name(root.resolve().name), "@VERSION@": __version__}
    contents = {name: _render(template, values) for name, template in wanted.items()}
    return {
        **contents,
        ".reconciler/manifest.schema.json": _as_json(schema.manifest_schema()),
        ".reconciler/project.schema.json": _as_json(schema.project_schema()),
    }


def project_name(folder: str) -> str:
    """Make a project's name from a folder's: at most 32 lower case letters, digits and dashes."""
    name = re.sub(r"[^a-z0-9]+", "-", folder.lower()).strip("-")[:32].rstrip("-")
    return name or "my-project"


def _render(template: str, values: Mapping[str, str]) -> str:
    text = files("reconciler").joinpath("templates", *template.split("/")).read_text(encoding="utf-8")
    for placeholder, value in values.items():
        text = text.replace(placeholder, value)
    return text


def _as_json(value: object) -> str:
    return json.dumps(value, indent=2, sort_keys=True) + "\n"


def _refuse_links(root: Path, names: Iterable[str]) -> None:
    for name in names:
        path = root
        for part in name.split("/"):
            path /= part
            if path.is_symlink():
                raise SettingsInvalid(
                    f"`{path.relative_to(root)}` is a symbolic link, and `init` writes through none",
                    hint="put a file or a folder of its own there, or remove the link",
                )


def _create(root: Path, name: str, text: str) -> bool:
    """Write a new file; False if there is one. What is written at the same time is never overwritten."""
    path = root / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError:
        if path.is_file():
            return False
        raise SettingsInvalid(f"`{name}` cannot be written: something else has its name", hint="move it away") from None
    except OSError as error:
        raise _unwritable(name, error) from error
    return True


def _add_lines(root: Path, name: str, lines: Iterable[str]) -> bool:
    """Append the lines that a file does not have; False if it has them all."""
    path = root / name
    try:
        before = path.read_bytes() if path.exists() else b""
        present = {line.strip() for line in before.splitlines()}
        missing = [line for line in (each.encode() for each in lines) if line not in present]
        if not missing:
            return False
        glue = b"" if before.endswith(b"\n") or not before else b"\n"
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666), "ab") as file:
            file.write(glue + b"".join(line + b"\n" for line in missing))
    except OSError as error:
        raise _unwritable(name, error) from error
    return True


def _unwritable(name: str, error: OSError) -> SettingsInvalid:
    return SettingsInvalid(f"`{name}` cannot be written: {error.strerror}", hint="see to it, then run `init` again")


def _register_driver(root: Path) -> bool:
    """Tell this clone's Git what `merge=reconciler-state` runs; False if it knows already."""
    changed = False
    for key, value in _DRIVER.items():
        if _git(root, "config", "--local", "--get", key) != value:
            changed = True
            if _git(root, "config", "--local", key, value) is None:
                raise SettingsInvalid(
                    "Git did not take the merge driver into its configuration",
                    hint=f"run `git config {key} '{value}'` and see what it says",
                )
    return changed


def _git(root: Path, *arguments: str) -> str | None:
    """What Git prints, without the last newline; None if Git is not installed or fails."""
    program = shutil.which("git")
    if program is None:
        return None
    done = subprocess.run(  # noqa: S603  (a fixed program, and arguments of this module)
        [program, *arguments], cwd=root, capture_output=True, check=False, text=True
    )
    return done.stdout.rstrip("\n") if done.returncode == 0 else None
