"""E30 to E41b: actions, promotion, and what the platform does on its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import pytest

from reconciler.emulator import Behaviour, Outcome
from reconciler.emulator.behaviour import ActionBody
from reconciler.emulator.lifecycle import Action
from tests.emulator.api import DATASET, IMPORT, T0, Api

if TYPE_CHECKING:
    from collections.abc import Callable

IN_FLIGHT = ["loaded", "queued", "processing", "staging", "staged", "retrying"]


def expected(status: str) -> dict[str, str]:
    """The matrix of aep-api.md §5.3: the status after each legal action; others are refused."""
    if status in IN_FLIGHT:
        return {"COMPLETE": status}
    return {
        "loading": {"COMPLETE": "loaded", "ABORT": "aborted", "FAIL": "failed"},
        "stalled": {"COMPLETE": "stalled", "ABORT": "aborted"},
        "active": {"COMPLETE": "active", "REVERT": "inactive"},
        "success": {"COMPLETE": "success", "REVERT": "inactive"},
        "failed": {"FAIL": "failed"},
        "failure": {"FAIL": "failure"},
        "aborted": {"ABORT": "aborted"},
        "abandoned": {},
        "inactive": {"REVERT": "inactive"},
        "deleted": {"REVERT": "deleted"},
    }[status]


STATUSES = [
    *IN_FLIGHT,
    *["loading", "stalled", "active", "success", "failed", "failure"],
    *["aborted", "abandoned", "inactive", "deleted"],
]


@pytest.mark.parametrize("action", list(Action))
@pytest.mark.parametrize("status", STATUSES)
def test_e30_the_matrix_of_actions(api: Api, status: str, action: Action) -> None:
    batch = api.create()
    if status != "loading":
        api.emulator.set_status(batch, status)
    legal = expected(status).get(action)
    assert api.act(batch, action).status_code == (400 if legal is None else 200)
    assert api.status(batch) == (legal or status)


@pytest.mark.parametrize("action", list(Action))
def test_e30_an_unknown_batch(api: Api, action: Action) -> None:
    assert api.act("01J00WT4G00000001000000000", action).status_code == 404


def test_e30_actions_in_lower_case_unknown_or_missing(api: Api) -> None:
    batch = api.create()
    assert api.send("POST", f"{IMPORT}/{batch}").status_code == 400
    assert api.act(batch, "REPLAY").status_code == 400
    assert api.act(batch, "abort").status_code == 200
    assert api.status(batch) == "aborted"


def test_e30_another_status_for_a_wrong_state(make_api: Callable[..., Api]) -> None:
    api = make_api(behaviour=Behaviour(wrong_state_status=409))
    assert api.act(api.create(), "REVERT").status_code == 409


def test_e30_abort_in_flight_can_be_allowed(make_api: Callable[..., Api]) -> None:
    api = make_api(behaviour=Behaviour(abort_in_flight=True))
    batch = api.create()
    api.act(batch, "COMPLETE")
    assert api.act(batch, "ABORT").status_code == 200
    api.emulator.advance(10_000)
    assert api.status(batch) == "aborted"


def test_e31_promotion_goes_by_the_clock(api: Api) -> None:
    batch = api.create()
    api.put(batch)
    api.act(batch, "COMPLETE")
    seen = [api.status(batch)]
    for _ in range(4):
        api.emulator.advance(100)
        seen.append(api.status(batch))
    assert seen == ["loaded", "staging", "staged", "success", "success"]
    shown = api.batch(batch)
    assert (shown["started"], shown["completed"], shown["updated"]) == (T0 + 100, T0 + 300, T0 + 300)
    assert shown["version"] == "1.0.4"
    assert shown["updatedUser"] != shown["createdUser"]
    assert shown["metrics"]["inputByteSize"] == 9
    assert shown["errors"] == []
    assert shown["tags"]["acp_finalized_time"] == [str(T0 + 300)]


def test_e31_a_long_time_passes_step_by_step(api: Api) -> None:
    batch = api.create()
    api.put(batch)
    api.act(batch, "COMPLETE")
    api.emulator.advance(3_600_000)
    assert (api.status(batch), api.batch(batch)["completed"]) == ("success", T0 + 300)


def test_e32_complete_again_changes_nothing(api: Api) -> None:
    batch = api.done()
    before = api.batch(batch)
    assert api.act(batch, "COMPLETE").status_code == 200
    assert api.batch(batch) == before


def test_e33_the_body_of_an_accepted_action(make_api: Callable[..., Api]) -> None:
    api = make_api()
    bodies = {}
    for mode in get_args(ActionBody):
        api.emulator.behaviour = Behaviour(action_body=mode)
        batch = api.create()
        bodies[mode] = (api.put(batch).content, api.act(batch, "COMPLETE"))
    assert (bodies["empty"][0], bodies["empty"][1].content) == (b"", b"")
    assert (bodies["one"][0], bodies["one"][1].content) == (b"1", b"1")
    assert bodies["object"][1].json()["status"] == "loaded"


@pytest.mark.parametrize("content", [None, b""])
def test_e34_a_batch_without_data_fails(api: Api, content: bytes | None) -> None:
    batch = api.create()
    if content is not None:
        api.put(batch, content=content)
    assert api.act(batch, "COMPLETE").status_code == 200
    api.emulator.advance(10_000)
    assert api.status(batch) == "failed"
    assert [error["code"] for error in api.batch(batch)["errors"]] == ["106"]


def test_e34_a_batch_without_data_may_do(make_api: Callable[..., Api]) -> None:
    api = make_api(behaviour=Behaviour(empty_batch_fails=False))
    batch = api.create()
    api.act(batch, "COMPLETE")
    api.emulator.advance(10_000)
    assert api.status(batch) == "success"


@pytest.mark.parametrize(
    ("outcome", "way"),
    [
        (Outcome.SUCCESS, ["loaded", "staging", "staged", "success"]),
        (Outcome.FAILED, ["loaded", "staging", "failed"]),
        (Outcome.GUARDRAIL, ["loaded", "staging", "failed"]),
        (Outcome.RECOVERS, ["loaded", "staging", "retrying", "staging", "staged", "success"]),
        (Outcome.STALLS, ["loaded", "staging", "retrying", "stalled"]),
    ],
)
@pytest.mark.parametrize("told", ["by hand", "by tag", "for all"])
def test_e35_scripted_outcomes(api: Api, outcome: Outcome, way: list[str], told: str) -> None:
    batch = api.create(tags={"emulator_outcome": [outcome]} if told == "by tag" else {})
    if told == "by hand":
        api.emulator.set_outcome(batch, outcome)
    if told == "for all":
        api.emulator.behaviour = Behaviour(outcome=outcome)
    api.put(batch)
    api.act(batch, "COMPLETE")
    seen = [api.status(batch)]
    for _ in range(6):
        api.emulator.advance(100)
        if api.status(batch) != seen[-1]:
            seen.append(api.status(batch))
    assert seen == way
    assert bool(api.batch(batch).get("errors")) == (way[-1] == "failed")


def test_e36_a_batch_that_stays_loading_is_abandoned(make_api: Callable[..., Api]) -> None:
    api = make_api(behaviour=Behaviour(abandon_after_ms=1000))
    left, completed = api.create(), api.create()
    api.put(completed)
    api.act(completed, "COMPLETE")
    api.emulator.advance(999)
    assert api.status(left) == "loading"
    api.emulator.advance(1)
    assert (api.status(left), api.status(completed)) == ("abandoned", "success")


def test_e37_revert_hides_and_later_deletes_but_stays_readable(make_api: Callable[..., Api]) -> None:
    api = make_api(behaviour=Behaviour(collect_after_ms=1000))
    batch = api.done()
    assert api.act(batch, "REVERT").status_code == 200
    assert api.status(batch) == "inactive"
    api.emulator.advance(1000)
    assert api.status(batch) == "deleted"
    assert api.found(dataSet=DATASET) == [batch]


def test_e40_two_words_for_one_state(make_api: Callable[..., Api]) -> None:
    api = make_api(behaviour=Behaviour(success_word="active", failure_word="failure"))
    failing = api.create()
    api.act(failing, "FAIL")
    assert (api.status(api.done()), api.status(failing)) == ("active", "failure")


def test_e41_the_platform_changes_what_does_not_matter(api: Api) -> None:
    batch = api.done(tags={"own": ["1"]})
    before = api.batch(batch)
    api.emulator.advance(1000)
    api.emulator.touch(batch)
    after = api.batch(batch)
    assert after["version"] == "1.0.5"
    assert after["updated"] > before["updated"]
    assert after["tags"]["own"] == ["1"]
    assert after["tags"]["aep/siphon/partitions/paths"] == []
    assert '"' in after["tags"]["siphon/valve/status"][0]
    assert {name: after[name] for name in ("status", "created", "externalId")} == {
        name: before[name] for name in ("status", "created", "externalId")
    }


def test_e41_tags_set_and_removed_by_a_foreign_hand(api: Api) -> None:
    batch = api.create(tags={"own": ["1"], "other": ["2"]})
    api.emulator.set_tags(batch, {"own": ["9"], "other": None}, user="someone@AdobeID")
    shown = api.batch(batch)
    assert (shown["tags"]["own"], "other" in shown["tags"]) == (["9"], False)
    assert shown["updatedUser"] == "someone@AdobeID"


def test_e41_a_batch_that_is_gone(api: Api) -> None:
    batch = api.create(externalId="acme.1", tags={"own": ["1"]})
    api.put(batch)
    api.emulator.remove(batch)
    assert api.found(externalId="acme.1") == api.found(tags="own:1") == []
    assert api.act(batch, "ABORT").status_code == 404
    with pytest.raises(LookupError, match=batch):
        api.emulator.batch(batch)


@pytest.mark.parametrize("carry", [False, True])
def test_e41b_consolidation(api: Api, carry: bool) -> None:
    old = api.done(externalId="acme.1", tags={"own": ["1"]})
    new = api.emulator.consolidate(old, carry=carry)
    assert api.status(old) == "inactive"
    assert api.batch(old)["tags"]["acp_successor"] == [new]
    shown = api.batch(new)
    assert (shown["status"], shown["replay"]["reason"]) == ("success", "consolidation")
    assert shown["replay"]["predecessors"] == [old]
    assert api.found(externalId="acme.1") == ([old, new] if carry else [old])
    assert ("own" in shown["tags"]) is carry
