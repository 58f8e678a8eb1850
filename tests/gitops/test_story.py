"""The life of a team's repository: real Git, the shipped workflows as `init` writes them, the emulator on a socket.

A pull request is planned and commented, merged, applied, and the state comes back to `main`; then all that can go wrong.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from tests.gitops.aep import Aep, emulator
from tests.gitops.hub import Hub, git
from tests.gitops.runner import ROOT, Runner, RunnerDiedError, make_tools

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("jq") is None, reason="`jq` stands in for the one inside `gh`"),
]

LOYALTY = """\
dataset: loyalty
id: {local: 5c8c3c555033b814b69f947f, dev: 5c8c3c555033b814b69f947f, prod: 61a0c3f05033b814b69f9480}
batches:
"""
ORDERS = """\
dataset: orders
id: {local: 5e8f81ce7a4ecb18a8d25b22, dev: 5e8f81ce7a4ecb18a8d25b22, prod: 61a0c3f05033b814b69f9481}
batches:
"""
SECRETS = {"AEP_CLIENT_ID": "ci", "AEP_CLIENT_SECRET": "s3cret-of-ci", "AEP_SCOPES": "openid,AdobeID"}
BOTH = {"dev": "success", "prod": "success"}


@pytest.fixture
def aep(tmp_path: Path) -> Iterator[Aep]:
    with emulator(tmp_path) as found:
        yield found


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    """A repository that began with `reconciler init --ci github`."""
    opened = Hub.open(tmp_path)
    reconciler(opened.desk, "init", "--ci", "github")
    (opened.desk / "manifests" / "example.yaml").unlink()
    opened.commit({}, "init")
    git(opened.desk, "push", "--quiet", "origin", "HEAD:main")
    return opened


@pytest.fixture
def runner(hub: Hub, aep: Aep, tmp_path: Path) -> Runner:
    settings = {"AEP_API_URL": aep.url, "AEP_IMS_URL": aep.url, "RECONCILER_SETTLE_TIMEOUT": "1"}
    return Runner(hub, tmp_path, settings, SECRETS)


def reconciler(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A person's `reconciler`, without any credential."""
    tools = make_tools(folder.parent / "tools")
    return subprocess.run(
        [str(tools / "reconciler"), *arguments], cwd=folder, capture_output=True, text=True, check=True
    )


def loyalty(*names: str) -> dict[str, str | None]:
    return {"manifests/loyalty.yaml": LOYALTY + "".join(f"  {name}:\n" for name in names)}


def orders(*names: str) -> dict[str, str | None]:
    return {"manifests/orders.yaml": ORDERS + "".join(f"  {name}:\n" for name in names)}


def recorded(hub: Hub, environment: str) -> dict[str, str]:
    """Address → batch id, as `main` has it."""
    lines = hub.on_main(f"state/{environment}.jsonl").splitlines()
    return {each["address"]: each["id"] for each in map(json.loads, lines) if "address" in each}


def statuses(jobs: dict[str, Any]) -> dict[str, str]:
    return {environment: job.status for environment, job in jobs.items()}


def logs(jobs: dict[str, Any]) -> str:
    return "\n".join(f"== {name}: {job.status} {job.steps}\n{job.output}\n{job.summary}" for name, job in jobs.items())


def test_from_pull_request_to_recorded_batches(hub: Hub, aep: Aep, runner: Runner) -> None:
    pull = hub.open_pull(loyalty("first", "second"))

    planned = runner.plan(pull)
    assert statuses(planned) == {"validate": "success", **BOTH}, logs(planned)
    assert aep.batches("dev") == {}
    assert len(hub.comments(pull)) == 2
    assert all("2 to add" in body for body in hub.comments(pull))
    assert "2 to add" in planned["prod"].summary

    applied = runner.apply(hub.merge(pull))

    assert statuses(applied) == BOTH, logs(applied)
    for environment in BOTH:
        batches = aep.batches(environment)
        assert {address: [batch] for address, batch in recorded(hub, environment).items()} == batches
        assert sorted(batches) == ["loyalty/first", "loyalty/second"]
    assert recorded(hub, "dev") != recorded(hub, "prod")
    assert hub.log()[:2] == [f"Record the batches of {name} [skip ci]" for name in ("prod", "dev")]
    assert "s3cret-of-ci" not in logs(planned) + logs(applied)


def test_a_second_plan_updates_its_comment_in_place(hub: Hub, runner: Runner) -> None:
    pull = hub.open_pull(loyalty("first"))
    runner.plan(pull)
    before = hub.comments(pull)

    hub.push_main(orders())
    hub.refresh(pull)
    (hub.desk / "manifests" / "loyalty.yaml").unlink()
    runner.plan(pull)

    assert len(hub.comments(pull)) == len(before) == 2
