"""The life of a team's repository: real Git, the shipped workflows as `init` writes them, the emulator on a socket."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from reconciler import scaffold
from tests.gitops.hub import git
from tests.gitops.team import (
    BOTH,
    DEV,
    LOYALTY,
    PIPELINES,
    die,
    digest_in,
    logs,
    loyalty,
    nth,
    recorded,
    statuses,
)

if TYPE_CHECKING:
    from tests.gitops.aep import Aep
    from tests.gitops.hub import Hub
    from tests.gitops.runner import Runner

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("jq") is None, reason="`jq` stands in for the one inside `gh`"),
]


def test_from_pull_request_to_recorded_batches(hub: Hub, aep: Aep, promoter: Runner) -> None:
    pull = hub.open_pull(loyalty("first", "second"))

    planned = promoter.plan(pull)
    assert statuses(planned) == {"validate": "success", **BOTH}, logs(planned)
    assert aep.batches("dev") == {}
    assert len(hub.comments(pull)) == 2
    assert all("2 to add" in body for body in hub.comments(pull))
    assert "2 to add" in planned["prod"].summary
    for comment, environment in zip(hub.comments(pull), BOTH, strict=True):
        assert f"::notice title=plan for {environment}::Digest: {digest_in(comment)}" in planned[environment].output

    applied = promoter.apply(hub.merge(pull))

    assert statuses(applied) == BOTH, logs(applied)
    for environment in BOTH:
        batches = aep.batches(environment)
        assert {address: [batch] for address, batch in recorded(hub, environment).items()} == batches
        assert sorted(batches) == ["loyalty/first", "loyalty/second"]
    assert recorded(hub, "dev") != recorded(hub, "prod")
    assert hub.log()[:2] == [f"Record the batches of {name} [skip ci]" for name in ("prod", "dev")]
    assert "s3cret-of-ci" not in logs(planned) + logs(applied)


def test_a_pull_request_from_a_fork_is_planned_without_secrets(hub: Hub, aep: Aep, runner: Runner) -> None:
    pull = hub.open_pull(loyalty("first"), fork=True)

    planned = replace(runner, only=frozenset({"validate", "dev"})).plan(pull)
    assert statuses(planned) == {"validate": "success", **DEV}, logs(planned)
    assert "1 to add" in planned["dev"].summary
    assert hub.comments(pull) == []

    applied = runner.apply(hub.merge(pull))

    assert (applied["dev"].status, applied["dev"].code) == ("failure", 4), logs(applied)
    assert aep.batches("dev") == {}


def test_a_mistake_is_annotated_and_an_older_comment_does_not_stand(hub: Hub, runner: Runner) -> None:
    pull = hub.open_pull(loyalty("first"))
    runner.plan(pull)
    hub.amend_pull(pull, {"manifests/loyalty.yaml": LOYALTY + "  first: {formt: json}\n"})

    planned = replace(runner, only=frozenset({"validate", "dev"})).plan(pull)

    assert set(statuses(planned).values()) == {"failure"}
    assert "::error file=manifests/loyalty.yaml,line=4," in planned["validate"].output
    assert len(hub.comments(pull)) == 1
    assert all("No plan for" in body for body in hub.comments(pull))


def test_a_revert_lets_go_of_what_the_merge_brought(hub: Hub, aep: Aep, runner: Runner) -> None:
    pull = hub.open_pull(loyalty("first"))
    runner.plan(pull)
    runner.apply(hub.merge(pull))

    revert = hub.open_revert(pull)
    planned = runner.plan(revert)
    assert "1 to forget" in planned["dev"].summary, logs(planned)
    applied = runner.apply(hub.merge(revert))

    assert statuses(applied) == DEV, logs(applied)
    assert recorded(hub, "dev") == {}
    assert list(aep.batches("dev")) == ["loyalty/first"]  # forgotten is not deleted


def test_a_rename_with_moved_keeps_the_batch(hub: Hub, aep: Aep, runner: Runner) -> None:
    pull = hub.open_pull(loyalty("first"))
    runner.plan(pull)
    runner.apply(hub.merge(pull))
    before = recorded(hub, "dev")["loyalty/first"]

    moved = "moved: [{from: loyalty/first, to: loyalty/initial-load}]\n"
    rename = hub.open_pull({"manifests/loyalty.yaml": LOYALTY + "  initial-load:\n" + moved})
    planned = runner.plan(rename)
    applied = runner.apply(hub.merge(rename))

    assert statuses(applied) == DEV, logs(planned) + logs(applied)
    assert recorded(hub, "dev") == {"loyalty/initial-load": before}
    assert sum(map(len, aep.batches("dev").values())) == 1


def test_prod_does_not_start_when_dev_fails(hub: Hub, aep: Aep, promoter: Runner) -> None:
    commit = hub.push_main(loyalty("first"))

    applied = promoter.apply(commit)

    assert statuses(applied) == {"dev": "failure"}, logs(applied)
    assert aep.batches("prod") == {}


def test_a_promotion_waits_for_prod_and_never_touches_it_before(hub: Hub, aep: Aep, promoter: Runner) -> None:
    pull = hub.open_pull(loyalty("first"))
    promoter.plan(pull)
    commit = hub.merge(pull)

    promoter.apply(commit, before={"Find the approved plan": nth(2, die)})
    assert list(recorded(hub, "dev")) == ["loyalty/first"]
    assert aep.batches("prod") == {}

    promoted = promoter.apply(commit)

    assert statuses(promoted) == BOTH, logs(promoted)
    assert list(recorded(hub, "prod")) == ["loyalty/first"]
    assert recorded(hub, "prod") != recorded(hub, "dev")
    assert hub.log().count("Record the batches of dev [skip ci]") == 1


def test_drift_fails_the_scheduled_run_and_says_what(hub: Hub, aep: Aep, runner: Runner) -> None:
    pull = hub.open_pull(loyalty("first", "second"))
    runner.plan(pull)
    runner.apply(hub.merge(pull))
    assert statuses(runner.drift()) == DEV

    aep.abort("dev", recorded(hub, "dev")["loyalty/second"])
    watched = runner.drift()

    assert statuses(watched) == {"dev": "failure"}, logs(watched)
    assert watched["dev"].code == 2
    assert "loyalty/second" in watched["dev"].summary


def test_a_project_in_a_subfolder_has_the_same_life(hub: Hub, aep: Aep, runner: Runner) -> None:
    names = [*map(str.strip, git(hub.desk, "ls-files").splitlines())]
    folder = hub.desk / "teams" / "crm 2"
    folder.mkdir(parents=True)
    for name in names:
        (hub.desk / name).unlink()
    scaffold.write(folder, PIPELINES["github"])
    (folder / scaffold.EXAMPLE).unlink()
    hub.push_main({})
    pull = hub.open_pull({f"teams/crm 2/{name}": text for name, text in loyalty("first").items()})

    planned = runner.plan(pull)
    applied = runner.apply(hub.merge(pull))

    assert statuses(applied) == DEV, logs(planned) + logs(applied)
    (batch,) = aep.batches("dev")["loyalty/first"]
    assert batch in hub.on_main("teams/crm 2/state/dev.jsonl")


def test_a_second_plan_updates_its_comments_in_place(hub: Hub, runner: Runner) -> None:
    pull = hub.open_pull(loyalty("first"))
    runner.plan(pull)
    hub.amend_pull(pull, loyalty("first", "second"))

    runner.plan(pull)

    assert len(hub.comments(pull)) == 1
    assert all("2 to add" in body for body in hub.comments(pull))
