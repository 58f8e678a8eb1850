"""Links that a pull request could commit: nothing is written where they lead, and no request leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.cli.project import clean_environment

if TYPE_CHECKING:
    from pathlib import Path

    from tests.aep.server import Aep
    from tests.cli.project import Project

PRECIOUS = "precious\n"


@pytest.fixture
def victim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("elsewhere") / "victim"
    path.write_text(PRECIOUS, encoding="utf-8")
    return path


def test_a_state_folder_that_leads_out_of_the_repository(project: Project, aep: Aep, victim: Path) -> None:
    project.declare("{a: }")
    (project.root / "state").symlink_to(victim.parent)
    for arguments in (["plan"], ["plan", "--no-refresh"], ["apply", "--auto-approve"], ["state", "list"], ["output"]):
        said = project(*arguments)
        assert said.code == 1, said.text
        assert "leads out of the repository" in said.err
        assert "hint: " in said.err
    assert [each.name for each in victim.parent.iterdir()] == ["victim"]
    assert not aep.changes


def test_a_state_file_that_a_person_names_may_be_anywhere(project: Project, aep: Aep, victim: Path) -> None:
    project.declare("{a: }")
    link = victim.with_name("link")
    link.symlink_to(victim.parent)
    for place in (victim.parent / "dev.jsonl", link / "dev.jsonl"):
        assert project("--state", str(place), "apply", "--auto-approve").code == 0
    assert (victim.parent / "dev.jsonl").exists()
    assert len(aep.batches) == 1


@pytest.mark.parametrize("named", ["elsewhere/dev.jsonl", "elsewhere/deep/dev.jsonl", "a/../elsewhere/dev.jsonl"])
@pytest.mark.parametrize("where", ["out", "in"])
def test_a_linked_folder_of_the_repository_is_not_followed_for_a_named_state_either(
    project: Project, aep: Aep, victim: Path, where: str, named: str
) -> None:
    project.declare("{a: }")
    (project.root / "a").mkdir()
    (project.root / "elsewhere").symlink_to(victim.parent if where == "out" else project.root / "manifests")
    before = project.files()
    for spelt in (named, str(project.root / named)):
        for arguments in (["plan"], ["apply", "--auto-approve"], ["state", "list"]):
            said = project("--state", spelt, *arguments)
            assert said.code == 1, said.text
            assert "`elsewhere` " in said.err
            assert ("leads out of the repository" if where == "out" else "links in the repository") in said.err
    assert project.files() == before
    assert [each.name for each in victim.parent.iterdir()] == ["victim"]
    assert not aep.changes


EMULATOR_FILES = ("", "-wal", "-shm", "-journal", ".files", ".files/1", ".files/1/abc.0.upload")


@pytest.mark.parametrize("name", EMULATOR_FILES)
@pytest.mark.parametrize("where", ["out", "in", "nowhere"])
def test_the_embedded_emulator_opens_nothing_through_a_link(
    project: Project, victim: Path, where: str, name: str
) -> None:
    project.declare("{a: }")
    target = {"out": victim, "in": project.write("manifests/kept.txt", PRECIOUS), "nowhere": victim.parent / "new"}
    link = project.root / "state" / f"local.emulator{name}"
    link.parent.mkdir(parents=True)
    link.symlink_to(target[where])
    for arguments in (["plan"], ["apply", "--auto-approve"]):
        said = project("--env", "local", *arguments)
        assert said.code == 1, said.text
        assert "links are not followed" in said.err
        assert "hint: " in said.err
    assert victim.read_text(encoding="utf-8") == PRECIOUS
    assert [each.name for each in victim.parent.iterdir()] == ["victim"]


@pytest.mark.parametrize("content", [b"garbage" * 1000, b"SQLite format 3\0" + b"\xff" * 5000])
def test_damaged_data_of_the_embedded_emulator_is_said(project: Project, content: bytes) -> None:
    project.declare("{a: }")
    project.write("state/local.emulator", content)
    said = project("--env", "local", "plan")
    assert said.code == 1, said.text
    assert "cannot read its data" in said.err
    assert "hint: remove" in said.err


def test_a_disk_that_the_emulator_fills_in_the_middle_of_an_apply_ends_it_with_its_account(project: Project) -> None:
    project.declare("{a: }")
    line = f"ulimit -f 100; exec {sys.executable} -m reconciler -C {project.root} --env local apply --auto-approve"
    env = clean_environment({"RECONCILER_SETTLE_TIMEOUT": "0"})
    command = ["bash", "-c", f"{line} --format json"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=env)
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    assert ended.returncode == 1
    assert "apply_start" in {line["type"] for line in lines}
    assert lines[-1]["@message"].startswith("Apply broken off.")
    assert any("the embedded emulator cannot use" in line["@message"] for line in lines if line["type"] == "diagnostic")


@pytest.mark.parametrize("name", ["local.emulator", "local.jsonl", "local.journal", "local.lock"])
@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_what_is_no_file_in_the_place_of_one_is_said_and_holds_nobody_up(
    project: Project, name: str, kind: str
) -> None:
    project.declare("{a: }")
    path = project.root / "state" / name
    path.parent.mkdir()
    path.mkdir() if kind == "folder" else os.mkfifo(path)
    said = project("--env", "local", "apply", "--auto-approve")
    assert said.code == 1 or (name, kind) == ("local.lock", "pipe"), said.text
    assert said.code == 0 or "hint: " in said.err


@pytest.mark.parametrize("how", ["file", "folder"])
def test_a_plan_file_is_not_read_through_a_link_of_the_repository(
    project: Project, aep: Aep, victim: Path, how: str
) -> None:
    project.declare("{a: }")
    saved = victim.parent / "saved.plan"
    assert project("plan", "--out", str(saved)).code == 0
    if how == "file":
        (project.root / "saved.plan").symlink_to(saved)
    else:
        (project.root / "plans").symlink_to(victim.parent)
    name = "saved.plan" if how == "file" else "plans/saved.plan"
    for command in ("show", "apply"):
        said = project(command, name)
        assert said.code == 1, said.text
        assert "leads out of the repository" in said.err
    assert not aep.changes
    link = victim.with_name("link")
    link.symlink_to(saved)
    assert project("show", str(link)).code == 0


@pytest.mark.parametrize("command", ["show", "apply"])
def test_a_plan_file_is_a_file(project: Project, aep: Aep, command: str) -> None:
    project.declare("{a: }")
    os.mkfifo(project.root / "pipe")
    for name in ("pipe", "/dev/zero", "/dev/null"):
        said = project(command, name)
        assert said.code == 1, said.text
        assert f"cannot read `{name}`: it is not a file" in said.err
    assert project(command, ".").code == 64
    project.write("empty", b"")
    assert project(command, "empty").code == 4
    assert not aep.changes


@pytest.mark.parametrize("flag", ["--out", "--markdown"])
def test_a_result_does_not_wait_for_a_reader(project: Project, aep: Aep, flag: str) -> None:
    project.declare("{a: }")
    os.mkfifo(project.root / "pipe")
    said = project("plan", flag, "pipe")
    assert said.code == 1, said.text
    assert "cannot write `pipe`" in said.err
    assert not aep.changes


@pytest.mark.parametrize("flag", ["--out", "--markdown"])
def test_a_result_does_not_go_through_a_link_into_the_repository_either(project: Project, aep: Aep, flag: str) -> None:
    project.declare("{a: }")
    kept = project.write(".git/config", PRECIOUS)
    (project.root / "result").symlink_to(kept)
    said = project("plan", flag, "result")
    assert said.code == 1, said.text
    assert "links in the repository are not followed" in said.err
    assert kept.read_text(encoding="utf-8") == PRECIOUS
    assert not aep.changes


@pytest.mark.parametrize("name", [".dev.jsonl.tmp", ".dev.bookmark.tmp", "dev.bookmark"])
def test_a_link_in_place_of_a_file_for_a_moment_is_taken_away(
    project: Project, aep: Aep, victim: Path, name: str
) -> None:
    project.declare("{a: }")
    (project.root / "state").mkdir()
    (project.root / "state" / name).symlink_to(victim)
    project.apply()
    assert len(project.records()) == len(aep.batches) == 1
    assert victim.read_text(encoding="utf-8") == PRECIOUS


@pytest.mark.parametrize("name", ["dev.jsonl", "dev.journal", "dev.lock"])
def test_a_link_in_place_of_a_file_of_the_state(project: Project, aep: Aep, victim: Path, name: str) -> None:
    project.declare("{a: }")
    (project.root / "state").mkdir()
    (project.root / "state" / name).symlink_to(victim)
    said = project("apply", "--auto-approve")
    assert said.code == 1, said.text
    assert "links are not followed" in said.err
    assert victim.read_text(encoding="utf-8") == PRECIOUS
    assert not aep.changes


def test_a_folder_in_place_of_the_new_state_is_known_before_the_first_request(project: Project, aep: Aep) -> None:
    project.declare("{a: }")
    (project.root / "state" / ".dev.jsonl.tmp" / "x").mkdir(parents=True)
    said = project("apply", "--auto-approve")
    assert said.code == 1, said.text
    assert "hint: " in said.err + said.out
    assert not aep.changes


@pytest.mark.parametrize("flag", ["--out", "--markdown"])
@pytest.mark.parametrize("name", ["plan.out", "plans/plan.out"])
def test_a_result_is_not_written_through_a_link_of_the_repository(
    project: Project, aep: Aep, victim: Path, flag: str, name: str
) -> None:
    project.declare("{a: }")
    if "/" in name:
        (project.root / "plans").symlink_to(victim.parent)
        (victim.parent / "plan.out").write_text(PRECIOUS, encoding="utf-8")
    else:
        (project.root / name).symlink_to(victim)
    said = project("plan", flag, str(project.root / name))
    assert said.code == 1, said.text
    assert "leads out of the repository" in said.err
    assert {each.read_text(encoding="utf-8") for each in victim.parent.iterdir()} == {PRECIOUS}
    assert not aep.changes


def test_a_result_may_go_to_a_device_or_to_another_place(project: Project, aep: Aep, victim: Path) -> None:
    project.declare("{a: }")
    link = victim.with_name("link")
    link.symlink_to(victim)
    for place in ("/dev/null", "/dev/stdout", str(link)):
        assert project("plan", "--out", place).code == 0
    assert victim.read_text(encoding="utf-8").startswith("{")
    assert not aep.changes
