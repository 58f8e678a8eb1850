"""A missing data file is the problem of its address: whatever does not need the file works as ever."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.cli.project import Project

if TYPE_CHECKING:
    from pathlib import Path

BATCHES = """
  gone: {format: json, files: [data/gone.json], complete: true}
  here: {format: json, files: [data/here.json], complete: true}
  bare: {}
"""
LINE = '{"a": 1}\n'


@pytest.fixture
def loaded(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose three batches are recorded; after that, the data of one is no longer there."""
    monkeypatch.setenv("RECONCILER_SETTLE_TIMEOUT", "0")
    project = Project(tmp_path, capsys, "local")
    project.declare(BATCHES)
    for name in ("gone", "here"):
        project.write(f"data/{name}.json", LINE)
    project.apply("--wait")
    (tmp_path / "data" / "gone.json").unlink()
    return project


def test_validate_names_the_line(loaded: Project) -> None:
    said = loaded("validate")
    assert said.code == 1
    assert "error[no-files]: `data/gone.json` matches no file\n  --> manifests/loyalty.yaml:4:32" in said.err


@pytest.mark.parametrize(
    "command",
    [
        ["plan", "--destroy"],
        ["plan", "--refresh-only"],
        ["apply", "--refresh-only", "--auto-approve"],
        ["plan", "--target", "loyalty/here"],
        ["plan", "--target", "loyalty/[bh]*"],
        ["apply", "--auto-approve", "--target", "loyalty/here"],
        ["state", "list"],
        ["state", "show", "loyalty/gone"],
        ["state", "check"],
        ["state", "mv", "loyalty/gone", "loyalty/moved"],
        ["state", "rm", "loyalty/gone"],
        ["state", "rebuild"],
        ["output"],
        ["import", "--discover", "5c8c3c555033b814b69f947f"],
    ],
    ids=" ".join,
)
def test_what_does_not_need_the_file_works(loaded: Project, command: list[str]) -> None:
    said = loaded(*command)
    assert said.code == 0, said.text
    assert "no-files" not in said.text


def test_destroying_needs_no_data(loaded: Project) -> None:
    said = loaded("apply", "--destroy", "--auto-approve", "--ignore-limits")
    assert said.code == 0, said.text
    assert not loaded.ids()


def test_import_needs_the_files_of_its_own_address_only(loaded: Project) -> None:
    ids = loaded.ids()
    for name in ("here", "gone"):
        loaded("state", "rm", f"loyalty/{name}")
    said = loaded("import", "loyalty/here", str(ids["loyalty/here"]))
    assert said.code == 0, said.text
    said = loaded("import", "loyalty/gone", str(ids["loyalty/gone"]))
    assert said.code == 1
    assert "error[no-files]" in said.err


def test_a_rebuilt_state_leaves_out_what_cannot_be_told_and_a_later_plan_finds_it(loaded: Project) -> None:
    before = loaded.ids()
    loaded.state.unlink()
    said = loaded("state", "rebuild")
    assert said.code == 0, said.text
    assert "1 declared addresses are left out" in said.out
    assert loaded.ids().keys() == {"loyalty/here", "loyalty/bare"}
    loaded.write("data/gone.json", LINE)
    loaded.apply()
    assert loaded.ids() == before


@pytest.mark.parametrize("what", ["gone", "garbage", "changed format"])
def test_a_plan_that_needs_it_says_so_at_its_address_and_plans_the_others(loaded: Project, what: str) -> None:
    if what != "gone":
        loaded.write("data/gone.json", "no json\n" if what == "garbage" else "[1]\n")
    loaded.write("data/here.json", LINE * 2)
    said = loaded("plan", "--format", "json")
    assert said.code == 1
    plan = json.loads(said.out)
    assert [each["address"] for each in plan["conflicts"]] == ["loyalty/gone"]
    assert [each["address"] for each in plan["resource_changes"]] == ["loyalty/here"]
    assert "manifests/loyalty.yaml:4:32" in said.err
    done = loaded("apply", "--auto-approve")
    assert done.code == 3, done.text
    assert "at loyalty/gone" in done.out
    assert loaded("plan", "--target", "loyalty/here", "--detailed-exitcode").code == 0
    assert loaded("apply", "--auto-approve").code == 1


def test_without_a_refresh_the_address_is_named_as_well(loaded: Project) -> None:
    loaded.write("data/here.json", LINE * 2)
    done = loaded("apply", "--auto-approve", "--no-refresh")
    assert done.code == 3, done.text
    assert "at loyalty/gone" in done.out


def test_an_approval_of_more_covers_what_is_left_beside_a_missing_file_and_a_digest_does_not(loaded: Project) -> None:
    for name in ("here", "gone"):
        loaded.write(f"data/{name}.json", LINE * 2)
    digest = json.loads(loaded("plan", "--out", "plan.json", "--format", "json").out)["digest"]
    (loaded.root / "data" / "gone.json").unlink()
    assert loaded("apply", "--approved", digest).code == 4
    done = loaded("apply", "plan.json")
    assert done.code == 3, done.text
    assert "no longer needed" not in done.text
    loaded.write("data/gone.json", LINE * 2)
    assert loaded("apply", "plan.json").code == 0
    assert loaded("plan", "--detailed-exitcode").code == 0


def test_a_file_of_the_old_name_of_a_moved_batch_is_looked_at(loaded: Project) -> None:
    loaded.declare(BATCHES.replace("here:", "there:"), more="moved: [{from: loyalty/here, to: loyalty/there}]\n")
    loaded.write("data/here.json", LINE * 2)
    said = loaded("plan", "--target", "loyalty/here", "--format", "json")
    assert said.code == 0, said.text
    (change,) = json.loads(said.out)["resource_changes"]
    assert change["change"]["actions"] == ["create", "delete"]
