"""Each row of the decision table (design §7) from outside: manifests, state and AEP change, then `plan` and `apply`."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.aep.exchange import Reply
from tests.aep.server import OTHER_DATASET

if TYPE_CHECKING:
    from tests.aep.exchange import Request
    from tests.aep.server import Aep
    from tests.cli.project import Project, Said

ALIVE = ("loading", "loaded", "queued", "processing", "staging", "staged", "retrying", "active", "success")
IN_FLIGHT = ALIVE[1:7]
NO_CHANGES = "No changes. Every declared batch is recorded and in Catalog."


def only_id(project: Project, address: str = "loyalty/a") -> str:
    """The id that is recorded at an address."""
    return str(project.ids()[address])


def applied(project: Project, aep: Aep, batches: str = "{a: }") -> str:
    """Declare, apply, forget what was asked for that; return the id at `loyalty/a`."""
    project.declare(batches)
    project.apply()
    aep.requests.clear()
    return only_id(project)


def planned(project: Project, symbol: str, summary: str, *flags: str) -> Said:
    """A plan that has a line with the symbol, and the summary; it changes nothing."""
    before = project.files()
    said = project("plan", "--detailed-exitcode", *flags)
    assert said.code == 2, said.text
    assert re.search(rf"^ +{re.escape(symbol)} ", said.out, re.MULTILINE), said.text
    assert f"Plan: {summary}.\n" in said.out
    assert project.files() == before
    return said


def settled(project: Project) -> None:
    """The next plan is empty, and the next apply does not touch a byte."""
    before = project.files()
    said = project("plan", "--detailed-exitcode")
    assert said.code == 0, said.text
    assert NO_CHANGES in said.out
    assert project.apply().out.count(NO_CHANGES) == 1
    assert project.files() == before


def test_nothing_declared_and_nothing_recorded_leaves_others_batches_alone(project: Project, aep: Aep) -> None:
    for status in ("loading", "success", "failed"):
        aep.add(f"FOREIGN-{status}", status=status, tags={"team": ["another"]})
    project.declare("{a: }")
    project.apply()
    project("apply", "--destroy", "--auto-approve")
    assert [aep.batches[f"FOREIGN-{status}"]["status"] for status in ("loading", "success", "failed")] == [
        "loading",
        "success",
        "failed",
    ]
    assert len(aep.creates) == 1
    assert not [name for _, name in aep.actions if name.startswith("FOREIGN")]


def test_declared_only_is_created(project: Project, aep: Aep) -> None:
    project.declare("{a: }")
    planned(project, "+", "1 to add, 0 to change, 0 to destroy")
    assert not aep.changes
    said = project.apply()
    assert "Apply complete! Resources: 1 added, 0 changed, 0 destroyed." in said.out
    assert len(aep.creates) == 1
    assert only_id(project) in aep.batches
    settled(project)


def test_declared_and_found_by_its_external_id_is_adopted(project: Project, aep: Aep) -> None:
    name = applied(project, aep)
    before = project.state.read_bytes()
    project.state.unlink()
    planned(project, "<=", "1 to adopt, 0 to add, 0 to change, 0 to destroy")
    project.apply()
    assert not aep.changes
    assert only_id(project) == name
    assert project.state.read_bytes() == before
    settled(project)


def test_what_is_found_in_another_dataset_is_not_adopted(project: Project, aep: Aep) -> None:
    name = applied(project, aep)
    project.state.unlink()
    aep.datasets.add(OTHER_DATASET)
    aep.become(name, relatedObjects=[{"type": "dataSet", "id": OTHER_DATASET}])
    said = project("apply", "--auto-approve")
    assert said.code == 4, said.text
    assert name in said.out
    assert OTHER_DATASET in said.out
    assert not aep.changes


@pytest.mark.parametrize("status", ["aborted", "abandoned", "inactive", "deleted"])
def test_a_dead_batch_that_is_found_is_followed_by_the_next_generation(project: Project, aep: Aep, status: str) -> None:
    name = applied(project, aep)
    aep.become(name, status=status)
    project.state.unlink()
    planned(project, "+", "1 to add, 0 to change, 0 to destroy")
    project.apply()
    assert [create.json["externalId"][-2:] for create in aep.creates] == [".2"]
    settled(project)


def test_two_with_its_external_id_are_named_and_nothing_is_guessed(project: Project, aep: Aep) -> None:
    name = applied(project, aep)
    rival = aep.add("RIVAL", externalId=aep.batches[name]["externalId"], tags=aep.batches[name]["tags"])
    project.state.unlink()
    before = project.files()
    for command in (["plan"], ["apply", "--auto-approve"], ["apply", "--auto-approve", "--ignore-limits"]):
        said = project(*command)
        assert said.code == 4, said.text
        assert f"`{name}`" in said.out
        assert f"`{rival}`" in said.out
        assert "reconciler import loyalty/a BATCH_ID" in said.out
    assert project.files() == before
    assert not aep.changes


def test_a_declared_import_is_recorded(project: Project, aep: Aep) -> None:
    aep.add("LEGACY", status="success")
    project.declare("{legacy: }", more="imports: [{to: loyalty/legacy, id: LEGACY}]\n")
    planned(project, "<=", "1 to import, 0 to add, 0 to change, 0 to destroy")
    project.apply()
    assert not aep.creates
    assert project.ids() == {"loyalty/legacy": "LEGACY"}
    settled(project)


@pytest.mark.parametrize(
    ("fields", "word"), [({"dataset": OTHER_DATASET}, OTHER_DATASET), (None, "is not in this sandbox")]
)
def test_an_import_of_another_dataset_or_of_nothing_is_refused_at_its_line(
    project: Project, aep: Aep, fields: dict[str, Any] | None, word: str
) -> None:
    if fields is not None:
        aep.add("LEGACY", **fields)
    project.declare("{legacy: }", more="imports: [{to: loyalty/legacy, id: LEGACY}]\n")
    said = project("apply", "--auto-approve")
    assert said.code == 4, said.text
    assert "`LEGACY`" in said.out
    assert word in said.out
    assert not aep.changes
    assert not project.state.exists()


@pytest.mark.parametrize("status", ALIVE)
def test_recorded_and_alive_needs_nothing(project: Project, aep: Aep, status: str) -> None:
    aep.become(applied(project, aep), status=status, metrics={"inputRecordCount": 5}, updated=1_700_000_000_000)
    settled(project)
    assert not aep.changes


def test_an_unknown_status_is_in_flight_with_a_warning(project: Project, aep: Aep) -> None:
    aep.become(applied(project, aep), status="frobnicating")
    said = project("plan", "--detailed-exitcode")
    assert said.code == 0, said.text
    assert "frobnicating" in said.out + said.err
    assert NO_CHANGES in said.out


@pytest.mark.parametrize("status", ["missing", "aborted", "abandoned"])
def test_recorded_and_gone_is_created_anew_unless_told_otherwise(project: Project, aep: Aep, status: str) -> None:
    name = applied(project, aep)
    if status == "missing":
        del aep.batches[name]
    else:
        aep.become(name, status=status)
    project.declare("{a: {lifecycle: {recreate_when: []}}}")
    said = project("plan", "--detailed-exitcode")
    assert (said.code, "!" in said.out) == (0, True), said.text
    project.declare("{a: }")
    planned(project, "+", "1 to add, 0 to change, 0 to destroy")
    project.apply()
    assert [create.json["externalId"][-2:] for create in aep.creates] == [".2"]
    assert only_id(project) != name
    assert project.records()["loyalty/a"]["generation"] == 2
    settled(project)


@pytest.mark.parametrize(
    ("status", "word"),
    [
        ("failed", "failed"),
        ("failure", "failed"),
        ("inactive", "withdrawn"),
        ("deleted", "withdrawn"),
        ("archived", "withdrawn"),
        ("retained", "withdrawn"),
        ("stalled", None),
    ],
)
def test_recorded_and_failed_or_withdrawn_or_stalled_is_only_reported(
    project: Project, aep: Aep, status: str, word: str | None
) -> None:
    name = applied(project, aep)
    aep.become(name, status=status, errors=[{"code": "106", "description": "Dataset file is empty."}])
    before = project.state.read_bytes()
    for command in (["plan", "--detailed-exitcode"], ["apply", "--auto-approve"]):
        said = project(*command)
        assert said.code == 0, said.text
        assert re.search(rf"^ +! loyalty/a\b.*{name}", said.out, re.MULTILINE), said.text
    assert not aep.changes
    assert project.state.read_bytes() == before
    if word is not None:
        project.declare(f"{{a: {{lifecycle: {{recreate_when: [{word}]}}}}}}")
        planned(project, "+", "1 to add, 0 to change, 0 to destroy")
        project.apply()
        assert len(aep.creates) == 1
        settled(project)


@pytest.mark.parametrize("how", ["tag", "replay"])
def test_a_batch_that_the_platform_consolidated_is_followed_and_never_made_anew(
    project: Project, aep: Aep, how: str
) -> None:
    name = applied(project, aep, "{a: {lifecycle: {recreate_when: [missing, withdrawn]}}}")
    aep.become(name, status="inactive")
    if how == "tag":
        aep.become(name, tags={**aep.batches[name]["tags"], "acp_successor": ["SUCCESSOR"]})
        aep.add("SUCCESSOR", status="success")
    else:
        aep.add("SUCCESSOR", status="success", replay={"predecessors": [name], "reason": "consolidation"})
    said = project("apply", "--auto-approve")
    assert said.code == 0, said.text
    assert "consolidated by the platform into `SUCCESSOR`" in said.out
    assert not aep.changes


@pytest.mark.parametrize("status", ["loading", "success"])
def test_own_tags_are_changed_in_place_and_others_survive(project: Project, aep: Aep, status: str) -> None:
    name = applied(project, aep, "{a: {tags: {team: [crm], old: [x]}}}")
    theirs = {"acp_workflow": ["BufferedPromotionWorkflow"], "aep/siphon/partitions/paths": [], "theirs": ["kept"]}
    aep.become(name, status=status, tags={**aep.batches[name]["tags"], **theirs})
    version = aep.batches[name]["version"]
    project.declare("{a: {tags: {team: [crm, emea]}}}")
    planned(project, "~", "0 to add, 1 to change, 0 to destroy")
    project.apply()
    (patch,) = aep.changes
    assert (patch.method, patch.headers["if-match"], set(patch.json)) == ("PATCH", version, {"tags"})
    tags = aep.batches[name]["tags"]
    assert tags["team"] == ["crm", "emea"]
    assert "old" not in tags
    assert {key: tags[key] for key in theirs} == theirs
    assert tags["reconciler_address"] == ["loyalty/a"]
    settled(project)


def test_own_tags_that_another_hand_changed_are_set_right(project: Project, aep: Aep) -> None:
    name = applied(project, aep, "{a: {tags: {team: [crm]}}}")
    aep.become(name, tags={**aep.batches[name]["tags"], "team": ["theirs"]})
    said = planned(project, "~", "0 to add, 1 to change, 0 to destroy")
    assert "tags were changed in Catalog: `team`" in said.out
    project.apply()
    assert aep.batches[name]["tags"]["team"] == ["crm"]
    settled(project)


def test_a_change_of_tags_meets_a_faster_hand(project: Project, aep: Aep) -> None:
    name = applied(project, aep, "{a: {tags: {team: [crm]}}}")

    def first_patch_comes_late(request: Request) -> Reply | None:
        if request.method == "PATCH" and len(aep.changes) == 1:
            aep.become(name, tags={**aep.batches[name]["tags"], "theirs": ["new"]})
        return None

    aep.answer_first = first_patch_comes_late
    project.declare("{a: {tags: {team: [emea]}}}")
    project.apply()
    assert len(aep.changes) == 2
    assert aep.batches[name]["tags"]["team"] == ["emea"]
    assert aep.batches[name]["tags"]["theirs"] == ["new"]


def test_another_spec_of_an_open_batch_is_a_next_generation_and_then_an_abort(project: Project, aep: Aep) -> None:
    name = applied(project, aep)
    project.declare("{a: {format: json}}")
    said = planned(project, "+/-", "1 to add, 0 to change, 1 to destroy")
    assert 'format: (not set) → "json"' in said.out
    assert f"aborts {name}" in said.out
    project.apply()
    create, abort = aep.changes
    assert create.path == "/data/foundation/import/batches"
    assert create.json["externalId"].endswith(".2")
    assert "replay" not in create.json
    assert (abort.query["action"], abort.path.rpartition("/")[2]) == ("ABORT", name)
    assert aep.batches[name]["status"] == "aborted"
    assert only_id(project) != name
    settled(project)


@pytest.mark.parametrize("status", ["success", "active"])
def test_another_spec_of_a_done_batch_is_a_replay(project: Project, aep: Aep, status: str) -> None:
    name = applied(project, aep)
    aep.become(name, status=status)
    project.declare("{a: {format: json}}")
    said = planned(project, "+/-", "1 to add, 0 to change, 1 to destroy")
    assert f"replays {name}" in said.out
    project.apply()
    (create,) = aep.changes
    assert create.json["replay"]["predecessors"] == [f"${name}"]
    assert create.json["externalId"].endswith(".2")
    settled(project)


@pytest.mark.parametrize("status", IN_FLIGHT)
def test_another_spec_of_a_batch_in_flight_waits_for_a_person(project: Project, aep: Aep, status: str) -> None:
    name = applied(project, aep)
    aep.become(name, status=status)
    project.declare("{a: {format: json}}")
    said = project("apply", "--auto-approve")
    assert said.code == 4, said.text
    assert "still processing its batch" in said.out
    assert not aep.changes


def test_prevent_replace_prevents_it(project: Project, aep: Aep) -> None:
    applied(project, aep)
    project.declare("{a: {format: json, lifecycle: {prevent_replace: true}}}")
    for flags in ([], ["--replace", "loyalty/a"]):
        said = project("apply", "--auto-approve", *flags)
        assert said.code == 4, said.text
        assert "`prevent_replace` forbids it" in said.out
    assert not aep.changes


def test_moved_is_a_new_name_in_the_record_and_no_request(project: Project, aep: Aep) -> None:
    name = applied(project, aep, "{a: , first: }")
    first = only_id(project, "loyalty/first")
    project.declare("{a: , renamed: }", more="moved: [{from: loyalty/first, to: loyalty/renamed}]\n")
    planned(project, ">", "0 to add, 0 to change, 0 to destroy, 1 to move")
    project.apply()
    assert not aep.changes
    assert project.ids() == {"loyalty/a": name, "loyalty/renamed": first}
    settled(project)


@pytest.mark.parametrize("status", ["loading", "staging", "success", "failed", "missing"])
def test_what_is_no_longer_declared_is_forgotten_and_left_in_place(project: Project, aep: Aep, status: str) -> None:
    name = applied(project, aep, "{a: , gone: }")
    gone = only_id(project, "loyalty/gone")
    if status == "missing":
        del aep.batches[gone]
    else:
        aep.become(gone, status=status)
    project.declare("{a: }")
    planned(project, ".", "0 to add, 0 to change, 0 to destroy, 1 to forget")
    project.apply()
    assert not aep.changes
    assert project.ids() == {"loyalty/a": name}
    settled(project)


@pytest.mark.parametrize(("status", "action"), [("loading", "ABORT"), ("success", "REVERT"), ("active", "REVERT")])
def test_on_remove_delete_aborts_what_is_open_and_reverts_what_is_done(
    project: Project, aep: Aep, status: str, action: str
) -> None:
    name = applied(project, aep, "{a: , gone: {lifecycle: {on_remove: delete}}}")
    gone = only_id(project, "loyalty/gone")
    aep.become(gone, status=status)
    project.declare("{a: }")
    planned(project, "-", "0 to add, 0 to change, 1 to destroy")
    project.apply()
    assert aep.actions == [(action, gone)]
    assert project.ids() == {"loyalty/a": name}
    settled(project)


@pytest.mark.parametrize("status", [*IN_FLIGHT, "stalled"])
def test_on_remove_delete_of_a_batch_in_flight_is_refused(project: Project, aep: Aep, status: str) -> None:
    applied(project, aep, "{a: , gone: {lifecycle: {on_remove: delete}}}")
    gone = only_id(project, "loyalty/gone")
    aep.become(gone, status=status)
    before = project.state.read_bytes()
    project.declare("{a: }")
    said = project("apply", "--auto-approve")
    assert said.code == 4, said.text
    assert gone in said.out
    assert not aep.changes
    assert project.state.read_bytes() == before


@pytest.mark.parametrize("status", ["failed", "aborted", "abandoned", "inactive", "deleted", "missing"])
def test_on_remove_delete_of_what_is_dead_is_only_forgotten(project: Project, aep: Aep, status: str) -> None:
    applied(project, aep, "{a: , gone: {lifecycle: {on_remove: delete}}}")
    gone = only_id(project, "loyalty/gone")
    if status == "missing":
        del aep.batches[gone]
    else:
        aep.become(gone, status=status)
    project.declare("{a: }")
    planned(project, ".", "0 to add, 0 to change, 0 to destroy, 1 to forget")
    project.apply()
    assert not aep.changes
    settled(project)


def test_the_rule_for_a_removal_is_the_recorded_one(project: Project, aep: Aep) -> None:
    applied(project, aep, "{a: , gone: }")
    gone = only_id(project, "loyalty/gone")
    project.declare("{a: , gone: {lifecycle: {on_remove: delete}}}")
    said = planned(project, "~", "0 to add, 1 to change, 0 to destroy")
    assert 'on_remove: "forget" → "delete"' in said.out
    project.apply()
    assert not aep.changes
    project.declare("{a: }")
    project.apply()
    assert aep.actions == [("ABORT", gone)]


def test_a_wrong_credential_or_sandbox_is_an_error_and_never_drift(project: Project, aep: Aep) -> None:
    applied(project, aep, "{a: , b: }")
    before = project.state.read_bytes()
    for status in (401, 403):

        def refuse(request: Request, status: int = status) -> Reply | None:
            is_token = request.path.startswith("/ims/")
            return None if is_token else Reply.of(status, {"error_code": f"{status}000", "message": "no"})

        aep.answer_first = refuse
        said = project("apply", "--auto-approve")
        assert said.code == 1, said.text
        assert "hint: " in said.err
        assert "Plan:" not in said.out
    aep.answer_first = lambda _: None
    aep.batches.clear()
    for flags in ((), ("--destroy",)):
        said = project("apply", "--auto-approve", *flags)
        assert said.code == 1, said.text
        assert "none of the 2 recorded batches can be found" in said.err
        assert not aep.changes
    assert project.state.read_bytes() == before


def test_the_plan_in_json_names_each_action_as_terraform_does(project: Project, aep: Aep) -> None:
    applied(project, aep, "{a: , retag: {tags: {t: [x]}}, redo: , first: , gone: , lost: }")
    project("state", "rm", "loyalty/lost")
    project.declare(
        "{a: , retag: {tags: {t: [y]}}, redo: {format: json}, renamed: , lost: , new: , old: }",
        more="moved: [{from: loyalty/first, to: loyalty/renamed}]\nimports: [{to: loyalty/old, id: LEGACY}]\n",
    )
    aep.add("LEGACY", status="success")
    changes = json.loads(project("plan", "--format", "json").out)["resource_changes"]
    assert {each["name"]: each["change"]["actions"] for each in changes} == {
        "gone": ["forget"],
        "lost": ["no-op"],
        "new": ["create"],
        "old": ["no-op"],
        "redo": ["create", "delete"],
        "renamed": ["no-op"],
        "retag": ["update"],
    }
