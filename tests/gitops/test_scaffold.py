"""`init`: what it writes, what it leaves alone, and where it refuses to write."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import yaml

from reconciler import __version__, scaffold
from reconciler.core.errors import SettingsInvalid
from tests.gitops.hub import git
from tests.gitops.team import reconciler

if TYPE_CHECKING:
    from pathlib import Path

PROJECT = [
    ".gitattributes",
    ".gitignore",
    ".reconciler/manifest.schema.json",
    ".reconciler/project.schema.json",
    "manifests/example.yaml",
    "manifests/reconciler.yaml",
    "state/README.md",
]
GITHUB = [
    ".github/actions/reconciler/action.yml",
    ".github/workflows/reconciler-apply.yml",
    ".github/workflows/reconciler-drift.yml",
    ".github/workflows/reconciler-plan.yml",
]


def _files(root: Path) -> list[str]:
    found = (path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    return sorted(name for name in found if not name.startswith(".git/"))


def test_an_empty_folder_becomes_a_project(tmp_path: Path) -> None:
    written, kept = scaffold.write(tmp_path, None)

    assert sorted(written) == PROJECT
    assert kept == []
    assert _files(tmp_path) == PROJECT


@pytest.mark.parametrize(("ci", "pipeline"), [("github", GITHUB), ("gitlab", [".gitlab-ci.yml"])])
def test_a_pipeline_is_written_on_request_and_pins_this_version(tmp_path: Path, ci: str, pipeline: list[str]) -> None:
    scaffold.write(tmp_path, ci)

    assert _files(tmp_path) == sorted([*PROJECT, *pipeline])
    assert any(f'"{__version__}"' in (tmp_path / name).read_text(encoding="utf-8") for name in pipeline)


def test_no_placeholder_is_left(tmp_path: Path) -> None:
    scaffold.write(tmp_path, "github")
    scaffold.write(tmp_path, "gitlab")

    for name in _files(tmp_path):
        assert not any(mark in (tmp_path / name).read_text(encoding="utf-8") for mark in ("@PROJECT@", "@VERSION@"))


def test_a_second_time_everything_is_kept(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    scaffold.write(tmp_path, "github")
    before = {name: (tmp_path / name).read_bytes() for name in _files(tmp_path)}

    written, kept = scaffold.write(tmp_path, "github")

    assert written == []
    assert sorted(kept) == sorted([*GITHUB, *PROJECT, scaffold.DRIVER])
    assert {name: (tmp_path / name).read_bytes() for name in _files(tmp_path)} == before


def test_what_exists_is_kept_and_named(tmp_path: Path) -> None:
    mine = tmp_path / "manifests" / "reconciler.yaml"
    mine.parent.mkdir()
    mine.write_text("project: mine\n", encoding="utf-8")

    _, kept = scaffold.write(tmp_path, None)

    assert kept == ["manifests/reconciler.yaml"]
    assert mine.read_text(encoding="utf-8") == "project: mine\n"


def test_in_a_project_with_manifests_no_example_declares_batches(tmp_path: Path) -> None:
    scaffold.write(tmp_path, None)
    (tmp_path / scaffold.EXAMPLE).unlink()

    written, _ = scaffold.write(tmp_path, None)

    assert written == []
    assert not (tmp_path / scaffold.EXAMPLE).exists()


def test_lines_are_appended_to_files_that_exist(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_bytes(b"*.pyc\nstate/*.lock*")
    (tmp_path / ".gitattributes").write_bytes(b"*.png binary\n")

    scaffold.write(tmp_path, None)

    ignored = (tmp_path / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert ignored[:2] == ["*.pyc", "state/*.lock*"]
    assert ignored.count("state/*.lock*") == 1
    assert "state/*.journal*" in ignored
    assert (tmp_path / ".gitattributes").read_text(encoding="utf-8").splitlines() == [
        "*.png binary",
        "state/*.jsonl merge=reconciler-state text eol=lf",
    ]


def test_git_ignores_what_is_local_and_keeps_the_state(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    scaffold.write(tmp_path, None)
    for name in ("dev.jsonl", "dev.journal", "dev.journal.damaged-1", "dev.lock", "dev.lock.json", ".dev.jsonl.tmp"):
        (tmp_path / "state" / name).touch()
    (tmp_path / "state" / "local.emulator.sqlite").touch()
    (tmp_path / "state" / "local.jsonl").touch()

    seen = git(tmp_path, "ls-files", "--others", "--exclude-standard", "state").splitlines()

    assert seen == ["state/README.md", "state/dev.jsonl"]
    assert git(tmp_path, "check-attr", "merge", "state/dev.jsonl") == "state/dev.jsonl: merge: reconciler-state"


def test_the_merge_driver_is_registered_and_again_in_a_clone(tmp_path: Path) -> None:
    first, clone = tmp_path / "first", tmp_path / "clone"
    first.mkdir()
    git(first, "init", "--quiet")
    written, _ = scaffold.write(first, None)
    assert scaffold.DRIVER in written
    git(first, "add", "--all")
    git(first, "commit", "--quiet", "--message", "init")
    git(tmp_path, "clone", "--quiet", str(first), str(clone))

    assert scaffold.write(clone, None)[0] == [scaffold.DRIVER]
    assert scaffold.write(clone, None)[0] == []
    assert git(clone, "config", "merge.reconciler-state.driver") == "reconciler state merge %O %A %B"


def test_the_schemas_are_ours_and_the_manifests_point_at_them(tmp_path: Path) -> None:
    scaffold.write(tmp_path, None)

    for name, schema in {"example": "manifest", "reconciler": "project"}.items():
        file = tmp_path / "manifests" / f"{name}.yaml"
        first = file.read_text(encoding="utf-8").splitlines()[0]
        target = file.parent / first.removeprefix("# yaml-language-server: $schema=")
        assert target.resolve() == tmp_path / ".reconciler" / f"{schema}.schema.json"
        assert json.loads(target.read_text(encoding="utf-8"))["$schema"].startswith("https://json-schema.org/")


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("acme-crm", "acme-crm"),
        ("Acme CRM (2026)", "acme-crm-2026"),
        ("…", "my-project"),
        ("a" * 31 + "-b", "a" * 31),
        ("-x-", "x"),
    ],
)
def test_the_project_is_named_after_its_folder(folder: str, name: str) -> None:
    assert scaffold.project_name(folder) == name


def test_the_name_of_the_folder_stands_in_the_project_file(tmp_path: Path) -> None:
    root = tmp_path / "Acme CRM"
    root.mkdir()
    scaffold.write(root, None)

    project = yaml.safe_load((root / scaffold.PROJECT_FILE).read_text(encoding="utf-8"))
    assert project["project"] == "acme-crm"


@pytest.mark.parametrize("link", ["manifests", "manifests/reconciler.yaml", ".gitignore", ".github", "state"])
def test_nothing_is_written_through_a_link(tmp_path: Path, link: str) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (root / link).parent.mkdir(exist_ok=True)
    (root / link).symlink_to(outside if "." not in link.lstrip(".") else outside / "file")

    with pytest.raises(SettingsInvalid, match="is a symbolic link"):
        scaffold.write(root, "github")

    assert list(outside.iterdir()) == []
    assert [path.name for path in root.iterdir() if not path.is_symlink() and path.is_file()] == []


def test_a_folder_in_the_way_is_an_error_with_a_name(tmp_path: Path) -> None:
    (tmp_path / "manifests" / "reconciler.yaml").mkdir(parents=True)

    with pytest.raises(SettingsInvalid, match=r"`manifests/reconciler\.yaml` cannot be written"):
        scaffold.write(tmp_path, None)


def test_a_file_in_the_way_is_an_error_with_a_name(tmp_path: Path) -> None:
    (tmp_path / "state").touch()

    with pytest.raises(SettingsInvalid, match=r"`state/README\.md` cannot be written"):
        scaffold.write(tmp_path, None)


def test_a_pipeline_below_the_top_of_a_repository_is_refused(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    below = tmp_path / "teams" / "crm"
    below.mkdir(parents=True)

    with pytest.raises(SettingsInvalid, match="is not the top") as refused:
        scaffold.write(below, "github")

    assert f"-C {tmp_path} init --ci github" in str(refused.value.hint)
    assert _files(tmp_path) == []


@pytest.mark.slow
def test_init_then_plan_and_apply_work_in_an_empty_folder(tmp_path: Path) -> None:
    root = tmp_path / "acme"
    root.mkdir()
    git(root, "init", "--quiet")

    said = reconciler(root, "init").stdout
    assert "wrote manifests/example.yaml" in said
    assert f"wrote {scaffold.DRIVER}" in said
    assert "8 to add" in reconciler(root, "plan").stdout
    reconciler(root, "apply", "--auto-approve")

    assert "No changes." in reconciler(root, "plan").stdout
    assert git(root, "status", "--porcelain", "state") == "?? state/"
    assert git(root, "ls-files", "--others", "--exclude-standard", "state") == "state/README.md"
