"""`init`: what it writes, what it leaves alone, and where it refuses to write."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
import yaml

from reconciler import scaffold
from reconciler.cli import run
from reconciler.core.errors import ExitCode, SettingsInvalid
from tests.gitops.aep import ORG
from tests.gitops.hub import git
from tests.gitops.team import PACKAGE, PIPELINES, reconciler

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
    done = scaffold.write(tmp_path)

    assert sorted(done.written) == PROJECT
    assert done.kept == done.notes == ()
    assert _files(tmp_path) == PROJECT


@pytest.mark.parametrize(("ci", "pipeline"), [("github", GITHUB), ("gitlab", [".gitlab-ci.yml"])])
def test_a_pipeline_is_written_on_request_and_names_its_package(tmp_path: Path, ci: str, pipeline: list[str]) -> None:
    scaffold.write(tmp_path, PIPELINES[ci])

    assert _files(tmp_path) == sorted([*PROJECT, *pipeline])
    assert any(PACKAGE in (tmp_path / name).read_text(encoding="utf-8") for name in pipeline)


def test_no_placeholder_is_left(tmp_path: Path) -> None:
    scaffold.write(tmp_path, PIPELINES["github"])
    scaffold.write(tmp_path, PIPELINES["gitlab"])

    for name in _files(tmp_path):
        assert not any(
            mark in (tmp_path / name).read_text(encoding="utf-8")
            for mark in ("@PROJECT@", "@INSTALL@", "@FOLDER@", "@ENVIRONMENTS@")
        )


def test_a_second_time_everything_is_kept(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    scaffold.write(tmp_path, PIPELINES["github"])
    before = {name: (tmp_path / name).read_bytes() for name in _files(tmp_path)}

    done = scaffold.write(tmp_path, PIPELINES["github"])

    assert done.written == ()
    assert sorted(done.kept) == sorted([*GITHUB, *PROJECT, scaffold.DRIVER])
    assert {name: (tmp_path / name).read_bytes() for name in _files(tmp_path)} == before


def test_what_exists_is_kept_and_named(tmp_path: Path) -> None:
    mine = tmp_path / "manifests" / "reconciler.yaml"
    mine.parent.mkdir()
    mine.write_text("project: mine\n", encoding="utf-8")

    assert scaffold.write(tmp_path).kept == ("manifests/reconciler.yaml",)
    assert mine.read_text(encoding="utf-8") == "project: mine\n"


def test_in_a_project_with_manifests_no_example_declares_batches(tmp_path: Path) -> None:
    scaffold.write(tmp_path)
    (tmp_path / scaffold.EXAMPLE).unlink()

    assert scaffold.write(tmp_path).written == ()
    assert not (tmp_path / scaffold.EXAMPLE).exists()


def test_lines_are_appended_to_files_that_exist(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_bytes(b"*.pyc\nstate/*.lock*")
    (tmp_path / ".gitattributes").write_bytes(b"*.png binary\n")

    scaffold.write(tmp_path)

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
    scaffold.write(tmp_path)
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
    assert scaffold.DRIVER in scaffold.write(first).written
    git(first, "add", "--all")
    git(first, "commit", "--quiet", "--message", "init")
    git(tmp_path, "clone", "--quiet", str(first), str(clone))

    assert scaffold.write(clone).written == (scaffold.DRIVER,)
    assert scaffold.write(clone).written == ()
    assert git(clone, "config", "merge.reconciler-state.driver") == "reconciler state merge %O %A %B"


def test_the_schemas_are_ours_and_the_manifests_point_at_them(tmp_path: Path) -> None:
    scaffold.write(tmp_path)

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
    scaffold.write(root)

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
        scaffold.write(root, PIPELINES["github"])

    assert list(outside.iterdir()) == []
    assert [path.name for path in root.iterdir() if not path.is_symlink() and path.is_file()] == []


def test_a_folder_in_the_way_is_an_error_with_a_name(tmp_path: Path) -> None:
    (tmp_path / "manifests" / "reconciler.yaml").mkdir(parents=True)

    with pytest.raises(SettingsInvalid, match=r"`manifests/reconciler\.yaml` cannot be written"):
        scaffold.write(tmp_path)


def test_a_file_in_the_way_is_an_error_with_a_name(tmp_path: Path) -> None:
    (tmp_path / "state").touch()

    with pytest.raises(SettingsInvalid, match=r"`state/README\.md` cannot be written"):
        scaffold.write(tmp_path)


@pytest.mark.parametrize("ci", PIPELINES)
def test_a_pipeline_of_a_project_in_a_subfolder_stands_at_the_top_and_works_there(tmp_path: Path, ci: str) -> None:
    git(tmp_path, "init", "--quiet")
    below = tmp_path / "teams" / "crm 2"
    below.mkdir(parents=True)

    scaffold.write(below, PIPELINES[ci])

    pipeline = {"github": GITHUB, "gitlab": [".gitlab-ci.yml"]}[ci]
    assert _files(tmp_path) == sorted([*pipeline, *(f"teams/crm 2/{name}" for name in PROJECT)])
    for name in pipeline:
        if not name.endswith("action.yml"):
            text = (tmp_path / name).read_text(encoding="utf-8")
            read = yaml.safe_load(text)
            assert {**read.get("env", {}), **read.get("variables", {})} == {"FOLDER": "teams/crm 2"}
            assert set(re.findall(r"(?m)^ *(?:- |run: |exec )?reconciler (.{12})", text)) == {'-C "$FOLDER"'}


@pytest.mark.parametrize("folder", ["${{ github.token }}", "$HOME", 'a"b', "`id`", "a\nb", "ä"])
def test_no_folder_name_gets_into_a_pipeline_as_code(tmp_path: Path, folder: str) -> None:
    git(tmp_path, "init", "--quiet")
    (tmp_path / folder).mkdir()

    with pytest.raises(SettingsInvalid, match="cannot name the folder"):
        scaffold.write(tmp_path / folder, PIPELINES["github"])

    assert _files(tmp_path) == []


def test_in_another_users_repository_the_missing_driver_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "crm").mkdir()
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")

    done = scaffold.write(tmp_path / "crm", PIPELINES["gitlab"])

    (note,) = done.notes
    assert "dubious ownership" in note
    assert f"git config --global --add safe.directory {tmp_path}" in note
    assert "git config merge.reconciler-state.driver 'reconciler state merge %O %A %B'" in note
    assert (tmp_path / ".gitlab-ci.yml").exists()
    assert scaffold.DRIVER not in (*done.written, *done.kept)


@pytest.mark.parametrize(
    ("file", "line", "said"),
    [
        (".gitignore", "*.jsonl", "Git ignores `state/prod.jsonl` (.gitignore:1:*.jsonl)"),
        (".gitignore", "state/", "Git ignores `state/dev.jsonl`"),
        (
            "state/.gitattributes",
            "*.jsonl filter=lfs diff=lfs merge=lfs -text",
            "attribute `filter` of `state/dev.jsonl`",
        ),
        ("state/.gitattributes", "*.jsonl merge=union", "attribute `merge` of `state/dev.jsonl` is `union`"),
        ("state/.gitattributes", "* text eol=crlf", "attribute `eol` of `state/dev.jsonl` is `crlf`"),
        ("state/.gitattributes", "* working-tree-encoding=UTF-16", "attribute `working-tree-encoding`"),
    ],
)
def test_a_state_that_git_does_not_keep_as_it_is_is_noticed(tmp_path: Path, file: str, line: str, said: str) -> None:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "state").mkdir()
    (tmp_path / file).write_text(f"{line}\n", encoding="utf-8")

    assert any(said in note for note in scaffold.write(tmp_path).notes)


def test_a_rule_that_keeps_the_state_is_not_taken_for_one_that_ignores_it(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    (tmp_path / ".gitignore").write_text("state/*\n!state/*.jsonl\n", encoding="utf-8")

    assert scaffold.write(tmp_path).notes == ()


@pytest.mark.parametrize("ci", PIPELINES)
def test_a_pipeline_works_on_the_environments_of_the_project_file_in_their_order(tmp_path: Path, ci: str) -> None:
    (tmp_path / "manifests").mkdir()
    lines = [f"  {name}: {{org: {ORG}, sandbox: {name}}}" for name in ("stage", "no", "1e3")]
    text = "\n".join(["project: acme", "environments:", *lines, "  local: {emulator: true}", ""])
    (tmp_path / scaffold.PROJECT_FILE).write_text(text, encoding="utf-8")

    assert scaffold.write(tmp_path, PIPELINES[ci]).notes == ()

    for name in {"github": GITHUB[1:], "gitlab": [".gitlab-ci.yml"]}[ci]:
        assert (tmp_path / name).read_text(encoding="utf-8").count('["stage", "no", "1e3"]') == 1


@pytest.mark.parametrize("text", ["project: [\n", "project: a\nenvironments: {local: {emulator: true}}\n"])
def test_a_pipeline_without_an_environment_to_work_on_is_noticed(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifests").mkdir()
    (tmp_path / scaffold.PROJECT_FILE).write_text(text, encoding="utf-8")

    (note,) = scaffold.write(tmp_path, PIPELINES["github"]).notes

    assert "no environment but emulators" in note


def test_a_pipeline_that_is_kept_and_says_something_else_is_noticed(tmp_path: Path) -> None:
    scaffold.write(tmp_path, PIPELINES["gitlab"])
    assert scaffold.write(tmp_path, PIPELINES["gitlab"]).notes == ()

    (note,) = scaffold.write(tmp_path, scaffold.Pipeline("gitlab", "pip install 'aep-reconciler==9.9.9'")).notes

    assert note.startswith("`.gitlab-ci.yml` was kept")


def test_a_lone_project_has_nothing_to_be_noticed(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")

    assert scaffold.write(tmp_path, PIPELINES["github"]).notes == ()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--manifests", "config", "init"],
        ["--state", "elsewhere.jsonl", "init"],
        ["init", "--ci", "github"],
        ["init", "--package", PACKAGE],
        ["init", "--ci", "gitlab", "--package", "reconciler"],
        ["init", "--ci", "gitlab", "--package", "aep-reconciler==1 --index-url=nowhere"],
        ["init", "--ci", "github", "--package", "\x1b[2J\n::error::${{ github.token }}"],
    ],
)
def test_what_init_cannot_do_is_a_mistake_of_usage_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    assert run(arguments) == ExitCode.USAGE

    assert _files(tmp_path) == []
    said = capsys.readouterr().err
    assert "Error: " in said
    assert "\x1b" not in said
    assert "\n::" not in said


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
