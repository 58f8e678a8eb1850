"""`apply --format json` that does not get to a change: why, as a diagnostic, and the summary as the last line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.storage.lock import hold
from tests.cli.project import Project

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.project import Said


@pytest.fixture
def local(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Project:
    project = Project(tmp_path, capsys, "local")
    project.declare("{a: , b: }")
    return project


def stream(said: Said) -> list[dict[str, Any]]:
    """The lines; the last is the summary, and nothing that was not done counts as done."""
    lines = [json.loads(line) for line in said.out.splitlines()]
    assert lines[0]["type"] == "version"
    assert [line["type"] for line in lines if line["type"] == "change_summary"][-1:] == ["change_summary"]
    assert lines[-1]["type"] == "change_summary"
    assert lines[-1]["changes"]["operation"] == "apply"
    return lines


def diagnostics(said: Said) -> list[dict[str, Any]]:
    return [line["diagnostic"] for line in stream(said) if line["type"] == "diagnostic"]


def test_every_mistake_of_the_manifests(local: Project) -> None:
    local.declare("{a: {formt: json}, b: {format: xml}}")
    said = local("apply", "--auto-approve", "--format", "json")
    assert said.code == 1, said.text
    found = diagnostics(said)
    assert [each["summary"] for each in found] == ["`formt` is not a field of `a`", "`format` cannot be `xml`"]
    assert [each["detail"] for each in found] == ["manifests/loyalty.yaml:3:15", "manifests/loyalty.yaml:3:41"]
    assert stream(said)[-1]["@message"] == "Apply not begun. Resources: 0 added, 0 changed, 0 destroyed."


def test_a_plan_beyond_the_limits(local: Project) -> None:
    local.declare("{" + ", ".join(f"b{number}: " for number in range(21)) + "}")
    said = local("apply", "--auto-approve", "--format", "json")
    assert said.code == 4, said.text
    assert "`limits.create` in the project file is 20" in diagnostics(said)[0]["summary"]
    assert stream(said)[-1]["changes"]["add"] == 0


def test_a_held_lock(local: Project) -> None:
    local.state.parent.mkdir()
    with hold(local.state.with_suffix(".lock"), "another"):
        said = local("apply", "--auto-approve", "--format", "json")
    assert said.code == 5, said.text
    assert diagnostics(said)[0]["summary"].startswith("the state is locked")


@pytest.mark.parametrize("arguments", [["--approved", "0" * 64], ["plan.json"], []])
def test_nothing_that_approves(local: Project, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(local.root)
    local.write("plan.json", "{}")
    said = local("apply", "--format", "json", *arguments)
    assert said.code in {1, 4}, said.text
    assert len(diagnostics(said)) == 1


@pytest.mark.parametrize("flags", [["--replace", "no address"], ["--destroy", "--refresh-only"]])
def test_flags_that_are_wrong_begin_no_stream(local: Project, flags: list[str]) -> None:
    said = local("apply", "--auto-approve", "--format", "json", *flags)
    assert (said.code, said.out) == (64, ""), said.text


def test_an_account_that_cannot_be_written(local: Project) -> None:
    said = local("apply", "--auto-approve", "--format", "json", "--markdown", str(local.root / "no" / "such.md"))
    assert said.code == 1, said.text
    assert diagnostics(said)[0]["summary"].startswith("cannot write `")
    assert stream(said)[-1]["changes"]["add"] == 2
