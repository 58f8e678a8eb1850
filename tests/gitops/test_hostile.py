"""What people with less rights than a merge might try: tags, files, runs and comments that look like the right ones."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.gitops.hub import git
from tests.gitops.team import DEV, logs, loyalty, once, orders, recorded, statuses

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from tests.gitops.aep import Aep
    from tests.gitops.hub import Hub
    from tests.gitops.runner import Job, Runner

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("jq") is None, reason="`jq` stands in for the one inside `gh`"),
]

TRAP = "raise SystemExit('code of the checkout ran')\n"
TRAPS: dict[str, str | None] = {
    **{f"{name}.py": TRAP for name in ("pip", "json", "yaml", "click", "sitecustomize", "usercustomize", "runpy")},
    "reconciler/__init__.py": TRAP,
    "pip/__main__.py": TRAP,
    "reconciler/__main__.py": TRAP,
    "pip.conf": "[install]\nindex-url = nowhere\n",
}


def plant_tags(hub: Hub) -> None:
    """Tags that could be taken for the branch, at a commit that nobody reviewed; `refs/heads/…` no host accepts."""
    git(hub.desk, "fetch", "--quiet", "--no-tags", "origin", "refs/heads/main")
    git(hub.desk, "checkout", "--quiet", "--detach", "FETCH_HEAD")
    hub.commit({"evil.txt": "unreviewed\n"}, "unreviewed")
    for tag in ("main", "HEAD", "FETCH_HEAD", "heads/main", "refs/reconciler/branch", "origin/main"):
        git(hub.desk, "push", "--quiet", "origin", f"HEAD:refs/tags/{tag}")


def test_a_tag_named_like_the_branch_is_never_taken_for_it(hub: Hub, aep: Aep, runner: Runner) -> None:
    pull = hub.open_pull(loyalty("first"))
    runner.plan(pull)
    commit = hub.merge(pull)
    plant_tags(hub)

    def somebody_is_quicker() -> None:
        hub.push_main({"README.md": "Somebody was quicker.\n"})

    applied = runner.apply(commit, before={"Push the state": once(somebody_is_quicker)})

    assert statuses(applied) == DEV, logs(applied)
    assert list(recorded(hub, "dev")) == list(aep.batches("dev")) == ["loyalty/first"]
    assert hub.log()[:2] == ["Record the batches of dev [skip ci]", "straight to main"]
    assert "unreviewed" not in hub.log()


def test_a_workflow_started_on_a_tag_named_like_the_branch_does_nothing(hub: Hub, runner: Runner) -> None:
    commit = hub.push_main(loyalty("first"))

    assert runner.apply(commit, inputs={"environment": "dev", "digest": "0" * 64}, ref="refs/tags/main") == {}


def test_no_file_of_the_checkout_runs(hub: Hub, aep: Aep, runner: Runner) -> None:
    pull = hub.open_pull({**loyalty("first"), **TRAPS})

    planned = runner.plan(pull)
    applied = runner.apply(hub.merge(pull))
    watched = runner.drift()

    assert statuses(planned) == statuses(applied) == statuses(watched) == DEV, logs(planned) + logs(applied)
    assert "code of the checkout ran" not in logs(planned) + logs(applied) + logs(watched)
    assert list(aep.batches("dev")) == ["loyalty/first"]


def _refused(applied: dict[str, Job], why: str) -> None:
    assert (applied["dev"].status, applied["dev"].code) == ("failure", 4), logs(applied)
    assert why in applied["dev"].output, logs(applied)


def _other_plan(hub: Hub, runner: Runner, pull: dict[str, Any]) -> None:
    """A rerun that comes to another plan for the same commit: the state changed meanwhile."""
    hub.push_main(orders("unseen"))
    hub.refresh(pull)
    runner.plan(pull)


def test_a_rerun_that_replaces_an_approved_plan_is_noticed(hub: Hub, aep: Aep, runner: Runner) -> None:
    pull = hub.open_pull(loyalty("first"))
    runner.plan(pull)
    hub.approve(pull)
    _other_plan(hub, runner, pull)

    _refused(runner.apply(hub.merge(pull)), "was changed after it was approved")
    assert aep.batches("dev") == {}


def test_a_rerun_that_replaces_a_plan_after_the_merge_is_noticed(hub: Hub, aep: Aep, runner: Runner) -> None:
    pull = hub.open_pull(loyalty("first"))
    runner.plan(pull)
    commit = hub.merge(pull)
    hub.push_main(orders("unseen"))
    before = dict(pull)
    git(hub.desk, "merge", "--quiet", "--no-edit", pull["head"]["sha"])
    pull["merge_commit_sha"] = git(hub.desk, "rev-parse", "HEAD")
    git(hub.desk, "push", "--quiet", "origin", "HEAD:refs/heads/rerun")
    runner.plan(pull)
    pull.update(before)

    _refused(runner.apply(commit), "was changed after it was approved")
    assert aep.batches("dev") == {}


def test_a_rerun_that_comes_to_the_same_plan_changes_nothing(hub: Hub, aep: Aep, runner: Runner) -> None:
    pull = hub.open_pull(loyalty("first"))
    runner.plan(pull)
    hub.approve(pull)
    runner.plan(pull)

    applied = runner.apply(hub.merge(pull))

    assert statuses(applied) == DEV, logs(applied)
    assert list(aep.batches("dev")) == ["loyalty/first"]


def test_a_plan_that_a_reviewer_saw_again_is_applied(hub: Hub, runner: Runner) -> None:
    """An approval of an older commit says nothing about the merged one."""
    pull = hub.open_pull(loyalty("first"))
    runner.plan(pull)
    hub.approve(pull)
    hub.amend_pull(pull, loyalty("first", "second"))
    runner.plan(pull)
    hub.approve(pull)

    assert statuses(runner.apply(hub.merge(pull))) == DEV


def _comments(hub: Hub, change: Callable[[list[dict[str, Any]]], None]) -> None:
    file = hub.folder / "comments.json"
    comments = json.loads(file.read_text(encoding="utf-8"))
    change(comments)
    file.write_text(json.dumps(comments), encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda found: found.append({**found[0], "id": 9}), "More than one comment"),
        (lambda found: found[0].update(user={"login": "someone"}), "No comment"),
        (lambda found: found[0].update(body="quoted: " + found[0]["body"]), "No comment"),
        (lambda found: found[0].update(body=found[0]["body"].partition("Digest")[0]), "word for word"),
        (
            lambda found: found[0].update(body=found[0]["body"].replace("loyalty/first", "loyalty/f1rst")),
            "word for word",
        ),
        (lambda found: found[0].update(body=found[0]["body"] + "\nNothing else changes."), "word for word"),
    ],
    ids=["a second one", "of a person", "quoted", "without a digest", "that hides an address", "that adds a word"],
)
def test_only_the_comment_of_the_pipeline_counts(
    hub: Hub, aep: Aep, runner: Runner, change: Callable[[list[dict[str, Any]]], None], why: str
) -> None:
    pull = hub.open_pull(loyalty("first"))
    runner.plan(pull)
    _comments(hub, change)

    _refused(runner.apply(hub.merge(pull)), why)
    assert aep.batches("dev") == {}


def test_the_file_must_be_the_plan_that_the_comment_shows(hub: Hub, aep: Aep, runner: Runner) -> None:
    """A genuine plan file, of another pull request, under the name of this one."""
    other = hub.open_pull(orders("other"))
    runner.plan(other)
    (genuine,) = hub.folder.glob("artifacts/*/*/plan.json")
    text = genuine.read_text(encoding="utf-8")
    genuine.parent.rename(genuine.parent.with_name("taken"))
    pull = hub.open_pull(loyalty("first"))
    runner.plan(pull)
    (kept,) = hub.folder.glob("artifacts/*/reconciler-plan-dev-2/plan.json")
    kept.write_text(text, encoding="utf-8")

    _refused(runner.apply(hub.merge(pull)), "word for word, what the comment of #2 shows")
    assert aep.batches("dev") == {}


@pytest.mark.parametrize("where", ["base", "head"])
def test_a_pull_request_of_another_place_approves_nothing(hub: Hub, aep: Aep, runner: Runner, where: str) -> None:
    pull = hub.open_pull(loyalty("first"))
    runner.plan(pull)
    commit = hub.merge(pull)
    pull[where].update({"base": {"ref": "release"}, "head": {"repo": {"full_name": "else/batches"}}}[where])
    (hub.folder / "pulls.json").write_text(json.dumps(hub.pulls), encoding="utf-8")

    _refused(runner.apply(commit), "the merge of no pull request")
    assert aep.batches("dev") == {}


def test_in_the_merge_queue_everything_is_planned_without_secrets(hub: Hub, aep: Aep, runner: Runner) -> None:
    pull = hub.open_pull(loyalty("first"))

    queued = runner.queue(pull)

    assert statuses(queued) == DEV, logs(queued)
    assert "1 to add" in queued["dev"].summary
    assert hub.comments(pull) == []
    assert not (hub.folder / "artifacts").exists()
    assert aep.batches("dev") == {}
