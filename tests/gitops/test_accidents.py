"""What can go wrong between a merge and its state: races, deaths, stale plans. Nothing twice, and nothing lost."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from signal import SIGINT, SIGKILL, SIGTERM
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.emulator import Behaviour
from tests.gitops.aep import ORG, emulator, hanging_at_the_fifth, settings_for
from tests.gitops.runner import Runner
from tests.gitops.team import (
    DEV,
    LOYALTY,
    SECRETS,
    apply_by_hand,
    die,
    digest_in,
    logs,
    loyalty,
    once,
    orders,
    recorded,
    statuses,
)

if TYPE_CHECKING:
    from pathlib import Path
    from signal import Signals

    from reconciler.emulator.behaviour import Duplicates
    from tests.gitops.aep import Aep
    from tests.gitops.hub import Hub

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("jq") is None, reason="`jq` stands in for the one inside `gh`"),
]


def test_a_push_without_a_plan_is_applied_once_a_person_names_its_digest(hub: Hub, aep: Aep, runner: Runner) -> None:
    commit = hub.push_main(loyalty("first"))
    refused = runner.apply(commit)["dev"]
    assert (refused.status, refused.code) == ("failure", 4), refused.output
    assert aep.batches("dev") == {}
    assert "::error title=not approved::" in refused.output

    digest = digest_in(refused.summary)
    applied = runner.apply(commit, inputs={"environment": "dev", "digest": digest})

    assert statuses(applied) == {"dev": "success"}, logs(applied)
    assert list(recorded(hub, "dev")) == list(aep.batches("dev")) == ["loyalty/first"]


def test_a_push_that_changes_no_batch_needs_no_approval(hub: Hub, runner: Runner) -> None:
    applied = runner.apply(hub.push_main({"README.md": "About us.\n"}))

    assert statuses(applied) == DEV, logs(applied)


def test_a_runner_that_keeps_its_checkout_applies_again(hub: Hub, aep: Aep, runner: Runner) -> None:
    kept = replace(runner, keeps_folders=True)
    for files in (loyalty("first"), orders("second")):
        pull = hub.open_pull(files)
        runner.plan(pull)
        applied = kept.apply(hub.merge(pull))
        assert statuses(applied) == DEV, logs(applied)

    assert sorted(recorded(hub, "dev")) == sorted(aep.batches("dev")) == ["loyalty/first", "orders/second"]


def test_a_plan_file_that_is_gone_approves_nothing(hub: Hub, aep: Aep, runner: Runner) -> None:
    pull = hub.open_pull(loyalty("first"))
    runner.plan(pull)
    shutil.rmtree(hub.folder / "artifacts")

    applied = runner.apply(hub.merge(pull))

    assert applied["dev"].code == 4, logs(applied)
    assert aep.batches("dev") == {}


def test_a_stale_plan_is_refused(hub: Hub, aep: Aep, runner: Runner) -> None:
    pull = hub.open_pull(loyalty("first"))
    runner.plan(pull)
    hub.push_main(orders("unseen"))

    refused = runner.apply(hub.merge(pull))["dev"]

    assert (refused.status, refused.code) == ("failure", 4), refused.output
    assert "orders/unseen" in refused.output
    assert aep.batches("dev") == {}


def test_two_merges_race_and_both_states_survive(hub: Hub, aep: Aep, runner: Runner) -> None:
    first, second = hub.open_pull(loyalty("first")), hub.open_pull(orders("second"))
    runner.plan(first)
    runner.plan(second)
    commit = hub.merge(first)

    def other_merge_applies() -> None:
        # Two queues cannot hold each other up: a person applies the other merge from a clone of their own.
        hub.merge(second)
        apply_by_hand(hub, runner, "dev", "--target", "orders/*")

    applied = runner.apply(commit, before={"Push the state": once(other_merge_applies)})

    assert statuses(applied) == DEV, logs(applied)
    assert aep.batches("dev") == {address: [batch] for address, batch in recorded(hub, "dev").items()}
    assert sorted(recorded(hub, "dev")) == ["loyalty/first", "orders/second"]
    assert "<<<<<<<" not in hub.on_main("state/dev.jsonl")


def test_merges_that_queue_are_each_held_to_their_own_plan(hub: Hub, aep: Aep, runner: Runner) -> None:
    first, second = hub.open_pull(loyalty("first")), hub.open_pull(orders("second"))
    runner.plan(first)
    runner.plan(second)
    commits = [hub.merge(first), hub.merge(second)]

    too_early = runner.apply(commits[1])
    assert too_early["dev"].code == 4, logs(too_early)
    for commit in commits:
        applied = runner.apply(commit)
        assert statuses(applied) == DEV, logs(applied)

    assert aep.batches("dev") == {address: [batch] for address, batch in recorded(hub, "dev").items()}
    assert sorted(recorded(hub, "dev")) == ["loyalty/first", "orders/second"]


@pytest.mark.parametrize("answer", ["reject409", "reject400"])
def test_two_clones_apply_the_same_at_once_and_nothing_is_made_twice(
    hub: Hub, tmp_path: Path, answer: Duplicates
) -> None:
    hub.push_main(loyalty(*(f"batch-{number}" for number in range(12))))

    with emulator(tmp_path, Behaviour(duplicate_external_id=answer)) as aep, ThreadPoolExecutor(2) as both:
        runner = Runner(hub, tmp_path, settings_for(aep), SECRETS)
        list(both.map(lambda _: apply_by_hand(hub, runner, "dev"), range(2)))
        made = aep.batches("dev")

    assert len(made) == 12
    assert made == {address: [batch] for address, batch in recorded(hub, "dev").items()}


def test_a_runner_dies_before_the_push_and_the_next_one_adopts(hub: Hub, aep: Aep, runner: Runner) -> None:
    pull = hub.open_pull(loyalty("first", "second"))
    runner.plan(pull)
    commit = hub.merge(pull)

    died = runner.apply(commit, before={"Push the state": once(die)})
    assert statuses(died) == {"dev": "died"}
    made = aep.batches("dev")
    assert len(made) == 2

    applied = runner.apply(commit)

    assert statuses(applied) == DEV, logs(applied)
    assert aep.batches("dev") == made == {address: [batch] for address, batch in recorded(hub, "dev").items()}
    assert "2 adopted" in applied["dev"].output


def test_a_cancelled_apply_records_what_landed_and_a_rerun_finishes(hub: Hub, aep: Aep, runner: Runner) -> None:
    days = "  daily:\n    each: {day: {from: 2026-01-01, to: 2026-01-31}}\n"
    pull = hub.open_pull({"manifests/loyalty.yaml": LOYALTY + days})
    runner.plan(pull)
    commit = hub.merge(pull)

    cancelled = runner.apply(commit, cancel_when=lambda: bool(aep.batches("dev")))
    landed = aep.batches("dev")

    assert (cancelled["dev"].status, cancelled["dev"].code) == ("cancelled", 130), logs(cancelled)
    assert 0 < len(landed) < 31
    assert {address: [batch] for address, batch in recorded(hub, "dev").items()} == landed

    rerun = runner.apply(commit)

    assert statuses(rerun) == DEV, logs(rerun)
    assert len(recorded(hub, "dev")) == 31
    assert {address: [batch] for address, batch in recorded(hub, "dev").items()} == aep.batches("dev")


@pytest.mark.parametrize("signals", [(SIGINT, SIGTERM), (SIGKILL,)], ids=["cancelled", "killed"])
def test_what_is_known_is_pushed_although_a_request_hangs(
    hub: Hub, tmp_path: Path, signals: tuple[Signals, ...]
) -> None:
    """GitHub sends SIGINT, SIGTERM 7.5 s later, and kills after 2.5 s more: no time to wait for an answer."""
    days = "  daily:\n    each: {day: {from: 2026-01-01, to: 2026-01-31}}\n"
    pull = hub.open_pull({"manifests/loyalty.yaml": LOYALTY + days})

    with hanging_at_the_fifth(tmp_path) as aep:
        runner = Runner(hub, tmp_path, settings_for(aep), SECRETS, frozenset({"dev"}))
        runner.plan(pull)
        all_but_one = lambda: len(aep.batches("dev")) == 30  # noqa: E731
        cancelled = runner.apply(hub.merge(pull), cancel_when=all_but_one, signals=signals)
        landed = aep.batches("dev")

    assert statuses(cancelled) == {"dev": "cancelled"}, logs(cancelled)
    assert len(landed) == 30
    assert {address: [batch] for address, batch in recorded(hub, "dev").items()} == landed, logs(cancelled)


@pytest.mark.parametrize(
    "origin",
    [{"fork": True}, {"fork": False, "event": "push"}, {"fork": False, "file": "other"}],
    ids=["a fork", "another event", "another workflow"],
)
def test_a_plan_file_of_another_origin_is_not_taken(hub: Hub, aep: Aep, runner: Runner, origin: dict[str, Any]) -> None:
    pull = hub.open_pull(loyalty("first"))
    runner.plan(pull)
    (kept,) = hub.folder.glob("artifacts/*/*/plan.json")
    hub.begin_run(99, pull["head"]["sha"], **origin)
    hub.keep_artifact(99, kept.parent.name, kept)
    kept.unlink()

    applied = runner.apply(hub.merge(pull))

    assert applied["dev"].code == 4, logs(applied)
    assert aep.batches("dev") == {}


def test_a_plan_file_that_was_changed_is_refused(hub: Hub, aep: Aep, runner: Runner) -> None:
    pull = hub.open_pull(loyalty("first"))
    runner.plan(pull)
    (kept,) = hub.folder.glob("artifacts/*/*/plan.json")
    kept.write_text(kept.read_text(encoding="utf-8").replace("loyalty/first", "loyalty/fjrst"), encoding="utf-8")

    applied = runner.apply(hub.merge(pull))

    assert applied["dev"].code == 4, logs(applied)
    assert aep.batches("dev") == {}


def test_a_runner_dies_and_the_next_merge_is_not_stuck(hub: Hub, aep: Aep, runner: Runner) -> None:
    first = hub.open_pull(loyalty("first"))
    runner.plan(first)
    runner.apply(hub.merge(first), before={"Push the state": once(die)})

    second = hub.open_pull(orders("second"))
    runner.plan(second)
    applied = runner.apply(hub.merge(second))

    assert statuses(applied) == DEV, logs(applied)
    assert sorted(recorded(hub, "dev")) == ["loyalty/first", "orders/second"]
    assert all(len(ids) == 1 for ids in aep.batches("dev").values())


def test_a_contradiction_stops_the_push_and_says_so(hub: Hub, aep: Aep, runner: Runner) -> None:
    pull = hub.open_pull(loyalty("first"))
    runner.plan(pull)
    commit = hub.merge(pull)

    def someone_writes_another_id() -> None:
        who = {"format": 1, "project": "desk", "environment": "dev", "org": ORG, "sandbox": "dev"}
        what = {"address": "loyalty/first", "id": "01ZZZZZZZZZZZZZZZZZZZZZZZZ", "dataset": "5c8c3c555033b814b69f947f"}
        how = {"external_id": "by-hand.1", "generation": 1, "on_remove": "forget", "spec": {}}
        lines = (who, {**what, **how}, {"end": True})
        hub.push_main({"state/dev.jsonl": "".join(f"{json.dumps(line)}\n" for line in lines)})

    applied = runner.apply(commit, before={"Push the state": once(someone_writes_another_id)})

    assert applied["dev"].status == "failure", logs(applied)
    assert "01ZZZZZZZZZZZZZZZZZZZZZZZZ" in applied["dev"].output, logs(applied)
    assert "::error title=state not pushed::" in applied["dev"].output
    assert len(aep.batches("dev")["loyalty/first"]) == 1
