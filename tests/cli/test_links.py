"""Links that a pull request could commit: nothing is written where they lead, and no request leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

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


def test_a_state_folder_that_a_person_names_may_be_anywhere(project: Project, aep: Aep, victim: Path) -> None:
    project.declare("{a: }")
    (project.root / "elsewhere").symlink_to(victim.parent)
    assert project("--state", str(project.root / "elsewhere" / "dev.jsonl"), "apply", "--auto-approve").code == 0
    assert (victim.parent / "dev.jsonl").exists()
    assert len(aep.batches) == 1


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
