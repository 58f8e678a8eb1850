"""`init`: what a project starts with. Overwrites nothing, and never writes outside its folder or through a link."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from importlib.resources import files
from shlex import quote
from typing import TYPE_CHECKING

from reconciler.core.errors import SettingsInvalid
from reconciler.core.manifests import schema
from reconciler.core.manifests.parse import parse
from reconciler.files.manifests import read_sources

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
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


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The pipeline that is wanted."""

    ci: str
    """`github` or `gitlab`."""
    installation: str
    """The shell lines that install reconciler, as `package.installation` made them."""


@dataclass(frozen=True, slots=True)
class Scaffolded:
    """What `init` did."""

    written: tuple[str, ...]
    kept: tuple[str, ...]
    notes: tuple[str, ...]
    """What a person has to see to before states can be kept in Git."""


def top_of(root: Path) -> Path | None:
    """The folder of the Git repository that the project is in: there CI systems look for pipelines.

    Git itself is not asked: it may be missing, or refuse to speak about another user's repository.
    """
    place = root.resolve()
    return next((each for each in (place, *place.parents) if (each / ".git").exists()), None)


def write(root: Path, pipeline: Pipeline | None = None) -> Scaffolded:
    """Write what a project needs, and a pipeline at the top of its Git repository.

    A second run adds what is missing, and in a clone it registers the merge driver, since Git does not clone that.
    Raises `SettingsInvalid`: before the first write if a target is a symbolic link or the folder has an odd name;
    later if the disk refuses.
    """
    top = top_of(root)
    pipelines = _pipeline(pipeline, root.resolve(), top or root.resolve()) if pipeline else {}
    contents = {**_contents(root), **pipelines}
    _refuse_links(root, [*contents, *_LINES])
    written: list[str] = []
    kept: list[str] = []
    for name, text in contents.items():
        (written if _create(root, name, text) else kept).append(name)
    for name, lines in _LINES.items():
        (written if _add_lines(root, name, lines) else kept).append(name)
    notes = [_differs(name) for name, text in pipelines.items() if (root / name).read_bytes() != text.encode()]
    if pipelines and not _environments(root):
        notes.append(_NO_ENVIRONMENT)
    if top is not None:
        trouble = _git(root, "rev-parse", "--git-dir").trouble
        if trouble is None:
            (written if _register_driver(root) else kept).append(DRIVER)
        notes += _obstacles(root) if trouble is None else [_no_driver(trouble, top)]
    return Scaffolded(tuple(written), tuple(kept), tuple(notes))


def _contents(root: Path) -> Mapping[str, str]:
    """What to write where; the example only if there is no manifest yet: a second `init` must not declare batches."""
    wanted = dict(_PROJECT)
    if any((root / "manifests").glob("**/*.y*ml")) and not (root / EXAMPLE).exists():
        del wanted[EXAMPLE]
    values = {"@PROJECT@": project_name(root.resolve().name)}
    contents = {name: _render(template, values) for name, template in wanted.items()}
    return {
        **contents,
        ".reconciler/manifest.schema.json": _as_json(schema.manifest_schema()),
        ".reconciler/project.schema.json": _as_json(schema.project_schema()),
    }


def _pipeline(pipeline: Pipeline, root: Path, top: Path) -> Mapping[str, str]:
    """The files of a pipeline, which works in the project's folder; their names are relative to it."""
    folder = root.relative_to(top).as_posix()
    if not re.fullmatch(r"[A-Za-z0-9._+/ -]+", folder):
        raise SettingsInvalid(
            f"a pipeline cannot name the folder `{folder}` in every shell",
            hint="use ASCII letters, digits, spaces and `._+-` only",
        )
    up = os.path.relpath(top, root)
    environments = _environments(root) or ("dev", "prod")  # as in the template of a project file
    values = {
        "@INSTALL@": pipeline.installation,
        "@FOLDER@": folder,
        "@ENVIRONMENTS@": ", ".join(f'"{name}"' for name in environments),
    }
    return {
        os.path.normpath(f"{up}/{name}").replace(os.sep, "/"): _render(template, values)
        for name, template in _PIPELINES[pipeline.ci].items()
    }


def project_name(folder: str) -> str:
    """Make a project's name from a folder's: at most 32 lower case letters, digits and dashes."""
    name = re.sub(r"[^a-z0-9]+", "-", folder.lower()).strip("-")[:32].rstrip("-")
    return name or "my-project"


def _render(template: str, values: Mapping[str, str]) -> str:
    text = files("reconciler").joinpath("templates", *template.split("/")).read_text(encoding="utf-8")
    for placeholder, value in values.items():
        for indent in re.findall(f"(?m)^( *).*{placeholder}", text):  # further lines of a value stand below its first
            text = text.replace(placeholder, value.replace("\n", f"\n{indent}"), 1)
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


@dataclass(frozen=True, slots=True)
class _Said:
    """How Git answered."""

    text: str
    trouble: str | None
    """The last line of its complaint; None after a success."""


def _git(root: Path, *arguments: str) -> _Said:
    """Ask Git, in a way that runs nothing that a repository's own configuration or folders name."""
    program = shutil.which("git")
    if program is None:
        return _Said("", "Git is not installed")
    done = subprocess.run(  # noqa: S603  (a fixed program, and arguments of this module)
        [program, "-c", "safe.bareRepository=explicit", "-c", "core.fsmonitor=false", *arguments],
        cwd=root,
        capture_output=True,
        check=False,
        encoding="utf-8",
        errors="replace",
    )
    complaint = [line for line in done.stderr.splitlines() if line.startswith(("fatal: ", "error: "))]
    return _Said(done.stdout.rstrip("\n"), None if done.returncode == 0 else (*complaint, "it failed")[0])


def _register_driver(root: Path) -> bool:
    """Tell this clone's Git what `merge=reconciler-state` runs; False if it knows already."""
    changed = False
    for key, value in _DRIVER.items():
        if _git(root, "config", "--local", "--get", key).text != value:
            changed = True
            trouble = _git(root, "config", "--local", key, value).trouble
            if trouble is not None:
                raise SettingsInvalid(
                    "Git did not take the merge driver into its configuration",
                    detail=trouble,
                    hint=f"run `git config {key} '{value}'` and see what it says",
                )
    return changed


_NO_ENVIRONMENT = (
    f"`{PROJECT_FILE}` cannot be read, or has no environment but emulators: the pipeline works on `dev` and `prod`. "
    "Correct one or the other"
)


def _differs(name: str) -> str:
    return (
        f"`{name}` was kept, and is not what would be written now: it may install another package, or work in another "
        "folder or on other environments. Move it away, run `reconciler init` again, and compare both"
    )


def _no_driver(trouble: str, top: Path) -> str:
    commands = "; ".join(f"git config {key} '{value}'" for key, value in _DRIVER.items())
    return (
        f"the merge driver for state files could not be registered ({trouble.removeprefix('fatal: ')}), and merges of "
        f"two states will conflict. Its owner can run `{commands}`; if you trust this repository, run "
        f"`git config --global --add safe.directory {quote(str(top))}` and then `reconciler init` again"
    )


def _environments(root: Path) -> tuple[str, ...]:
    """The environments whose state is kept in Git, as the project file lists them; none if there is no good one."""
    manifests, _ = parse([each for each in read_sources(root, root / "manifests")[0] if each.is_project])
    declared = manifests.project.environments.values() if manifests is not None else ()
    return tuple(each.name for each in declared if not each.emulator)


def _obstacles(root: Path) -> Iterator[str]:
    """What in Git's own settings would keep a state from being committed as it is."""
    for path in (f"state/{name}.jsonl" for name in _environments(root)):
        if _git(root, "check-ignore", "--quiet", "--", path).trouble is None:
            rule = _git(root, "check-ignore", "--verbose", "--", path).text.partition("\t")[0]
            yield f"Git ignores `{path}` ({rule}): the state would be lost with the machine; take that line out"
        wanted = {
            "merge": ("reconciler-state",),
            "eol": ("lf",),
            "filter": ("unspecified", "unset"),
            "working-tree-encoding": ("unspecified",),
        }
        for line in _git(root, "check-attr", *wanted, "--", path).text.splitlines():
            _, name, value = line.rsplit(": ", 2)
            if value not in wanted[name]:
                yield (
                    f"Git's attribute `{name}` of `{path}` is `{value}`, and commits would not hold the state "
                    "as it is; end the file that says so with "
                    "`*.jsonl merge=reconciler-state text eol=lf -filter !working-tree-encoding`"
                )
