"""`apply PLANFILE`: what a plan file makes it do is bounded by the manifests and by its own command line."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.test_decision_table import applied, only_id

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.aep.server import Aep
    from tests.cli.project import Project, Said


def saved(project: Project, *flags: str) -> str:
    """Plan into a file outside of the project, as a pipeline does."""
    path = project.root.parent / f"{project.root.name}-plan.json"
    said = project("plan", "--out", str(path), *flags)
    assert said.code == 0, said.text
    return str(path)


def refused(said: Said, *words: str) -> None:
    assert said.code == 4, said.text
    for word in words:
        assert word in said.err, said.text


FLAGS = (("--destroy",), ("--replace", "loyalty/a"), ("--refresh-only",))


@pytest.mark.parametrize("flags", FLAGS, ids=" ".join)
def test_a_file_brings_no_flag_of_its_own(project: Project, aep: Aep, flags: tuple[str, ...]) -> None:
    name = applied(project, aep, "{a: {tags: {team: [crm]}}}")
    aep.become(name, tags={**aep.batches[name]["tags"], "team": ["sales"]})
    file, before = saved(project, *flags), project.state.read_bytes()
    refused(project("apply", file), f"`{' '.join(flags)}`", "run `apply` with the same")
    refused(project("apply", file, "--target", "loyalty/a"), f"`{' '.join(flags)}`")
    assert (aep.changes, project.state.read_bytes()) == ([], before)
    said = project("apply", file, *flags)
    assert said.code == 0, said.text
    assert project.state.read_bytes() != before


@pytest.mark.parametrize("flags", FLAGS, ids=" ".join)
def test_flags_beside_a_file_that_was_made_without_them_are_refused(
    project: Project, aep: Aep, flags: tuple[str, ...]
) -> None:
    applied(project, aep)
    project.declare("{a: , b: }")
    file = saved(project)
    refused(project("apply", file, *flags), f"without `{' '.join(flags)}`")
    assert not aep.changes


def test_each_address_that_was_to_be_replaced_has_to_be_named(project: Project, aep: Aep) -> None:
    applied(project, aep, "{a: , b: }")
    file = saved(project, "--replace", "loyalty/a", "--replace", "loyalty/b")
    refused(project("apply", file, "--replace", "loyalty/a"), "with `--replace loyalty/b`")
    assert not aep.changes
    both = ("--replace", "loyalty/b", "--replace", "loyalty/a")
    assert project("apply", file, *both).code == 0
    made = len(aep.creates)
    again = project("apply", file, *both)
    assert again.code == 0, again.text
    assert "approved and no longer needed: loyalty/a, loyalty/b" in again.err
    assert len(aep.creates) == made


def test_targets_come_from_the_file_since_they_only_leave_out(project: Project, aep: Aep) -> None:
    project.declare("{a: , b: }")
    file = saved(project, "--target", "loyalty/a")
    assert project("apply", file).code == 0
    assert set(project.ids()) == {"loyalty/a"}
    assert len(aep.creates) == 1


@pytest.mark.parametrize("days", [-31, -400, 1, 365])
def test_a_day_that_no_review_explains_needs_its_flag(project: Project, aep: Aep, days: int) -> None:
    day = (datetime.now(UTC) + timedelta(days)).date().isoformat()
    project.declare("{a: {each: {day: {from: today-1d, to: today}}}}")
    file = saved(project, "--today", day)
    refused(project("apply", file), day, f"--today {day}")
    assert not aep.changes
    assert project("apply", file, "--today", day).code == 0
    assert f"loyalty/a/{day}" in project.ids()


@pytest.mark.parametrize("days", [0, 1, 7, 29])
def test_a_plan_of_the_past_days_is_applied_for_its_day(project: Project, aep: Aep, days: int) -> None:
    day = (datetime.now(UTC) - timedelta(days)).date().isoformat()
    project.declare("{a: {each: {day: {from: today, to: today}}}}")
    assert project("apply", saved(project, "--today", day)).code == 0
    assert set(project.ids()) == {f"loyalty/a/{day}"}
    assert len(aep.creates) == 1


def _sealed(document: Any, digest: str) -> Any:
    return {**document, "digest": digest}


TAMPERINGS: dict[str, Callable[[Any], str]] = {
    "another digest": lambda d: json.dumps(_sealed(d, "0" * 64)),
    "reordered": lambda d: json.dumps({**d, "resource_changes": d["resource_changes"][::-1]}),
    "a change twice": lambda d: json.dumps({**d, "resource_changes": d["resource_changes"] * 2}),
    "a change dropped": lambda d: json.dumps({**d, "resource_changes": d["resource_changes"][1:]}),
    "doubled keys": lambda d: '{"destroys_all": true, ' + json.dumps(d)[1:],
    "NaN": lambda d: json.dumps({**d, "declared": float("nan")}),
    "infinity": lambda d: json.dumps({**d, "recorded": float("inf")}),
    "a lone surrogate": lambda d: json.dumps({**d, "how": "\ud800"}),
    "a huge number": lambda d: json.dumps(d).replace('"declared": 2', '"declared": 1' + "0" * 5000),
    "deep nesting": lambda d: json.dumps(d)[:-1] + ', "more": ' + "[" * 900 + "]" * 900 + "}",
    "deeper nesting": lambda d: json.dumps(d)[:-1] + ', "more": ' + "[" * 90_000 + "]" * 90_000 + "}",
    "a wrong type": lambda d: json.dumps({**d, "targets": "loyalty/*"}),
    "a number for a text": lambda d: json.dumps({**d, "environment": 1}),
    "a text for a number": lambda d: json.dumps({**d, "declared": "2"}),
    "an unknown field": lambda d: json.dumps({**d, "ignore_limits": True}),
    "another version": lambda d: json.dumps({**d, "format_version": "9.0"}),
    "text behind": lambda d: json.dumps(d) + "{}",
    "a byte order mark": lambda d: "\ufeff" + json.dumps(d),
    "cut": lambda d: json.dumps(d)[:-20],
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_a_tampered_file_is_refused(project: Project, aep: Aep, name: str) -> None:
    project.declare("{a: , b: }")
    file = saved(project)
    document = json.loads(project.write("copy.json", open_text(file)).read_text())
    tampered = str(project.write("tampered.json", TAMPERINGS[name](document)))
    for arguments in (("apply", tampered), ("show", tampered)):
        refused(project(*arguments), "plan")
    assert not aep.changes


def open_text(path: str) -> str:
    with open(path, encoding="utf-8") as file:  # noqa: PTH123
        return file.read()


def test_a_file_that_never_ends_and_one_that_cannot_be_read(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reconciler.core.plans import planfile

    monkeypatch.setattr(planfile, "MAX_BYTES", 1000)
    project.declare("{a: }")
    assert "it is not a file" in project("apply", "/dev/zero").err
    (tmp_path / "plan.json").write_text(" " * 2000, encoding="utf-8")
    refused(project("apply", str(tmp_path / "plan.json")), "more than 1000 bytes")
    link = tmp_path / "link.json"
    link.symlink_to("/dev/zero")
    for command in ("apply", "show"):
        said = project(command, str(link))
        assert (said.code, "leads out of the repository" in said.err) == (1, True), said.text
    assert os.path.islink(link)  # noqa: PTH114


def test_an_approved_abort_is_no_revert_later(project: Project, aep: Aep) -> None:
    applied(project, aep, "{a: , gone: {lifecycle: {on_remove: delete}}}")
    gone = only_id(project, "loyalty/gone")
    project.declare("{a: }")
    file = saved(project)
    aep.become(gone, status="success")
    refused(project("apply", file), "beyond what was approved", "`withdraw`")
    assert not aep.changes
    said = project("apply", saved(project))
    assert said.code == 0, said.text
    assert aep.actions == [("REVERT", gone)]


def test_a_plan_without_catalog_never_reverts(project: Project, aep: Aep) -> None:
    applied(project, aep, "{a: , gone: {lifecycle: {on_remove: delete}}}")
    gone = only_id(project, "loyalty/gone")
    aep.become(gone, status="success")
    project.declare("{a: }")
    shown = project("plan", "--no-refresh", "--out", str(project.root.parent / "offline.json"))
    assert "only what is still open then: Catalog was not read" in shown.out
    refused(project("apply", str(project.root.parent / "offline.json")), "beyond what was approved")
    assert not aep.changes


@pytest.mark.parametrize(
    ("echo", "shown"),
    [([], "none"), (["01FOREIGN"], "`01FOREIGN`"), (["$01OWN000000000000000000001"], "`$01OWN000000000000000000001`")],
    ids=["none", "foreign", "dollar"],
)
def test_a_replay_that_aep_does_not_understand_is_aborted(
    project: Project, aep: Aep, echo: list[str], shown: str
) -> None:
    old = applied(project, aep)
    aep.become(old, status="success")
    create = aep.create

    def odd(body: Any) -> str:
        name = create(body)
        aep.become(name, replay={**aep.batches[name]["replay"], "predecessors": echo})
        return name

    aep.create = odd  # type: ignore[method-assign]
    project.declare("{a: {format: json}}")
    said = project("apply", "--auto-approve")
    assert said.code == 3, said.text
    assert f"was to replay `{old}`, and Catalog shows {shown}" in said.text
    (made,) = [each for each in aep.batches if each != old]
    assert aep.actions == [("ABORT", made)]
    assert only_id(project) == old
    assert aep.batches[old]["status"] == "success"
