"""What people of the story have in hand: their manifests, their clones, and a look at what became of it all."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.scaffold import Pipeline
from tests.gitops.hub import git
from tests.gitops.runner import RunnerDiedError, make_tools

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.gitops.hub import Hub
    from tests.gitops.runner import Job, Runner

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
DEV = {"dev": "success"}
PACKAGE = "aep-reconciler==0.1.0"
PIPELINES = {ci: Pipeline(ci, f"pip install '{PACKAGE}'") for ci in ("github", "gitlab")}
BOTH = {"dev": "success", "prod": "success"}


def reconciler(
    folder: Path, *arguments: str, settings: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """A person's `reconciler` in a folder."""
    tools = make_tools(folder.parent / "tools")
    return subprocess.run(
        [str(tools / "reconciler"), *arguments],
        cwd=folder,
        env={**os.environ, **(settings or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )


def apply_by_hand(hub: Hub, runner: Runner, environment: str, *flags: str) -> None:
    """A person applies `main` from a clone of their own and pushes the state, merging while others are quicker."""
    clone = Path(tempfile.mkdtemp(dir=runner.place)) / "clone"
    git(runner.place, "clone", "--quiet", hub.url, str(clone))
    tools = make_tools(clone.parent / "tools")
    reconciler(clone, "init")
    reconciler(clone, "--env", environment, "apply", "--auto-approve", *flags, settings={**runner.settings, **SECRETS})
    git(clone, "add", "state")
    git(clone, "commit", "--quiet", "--message", f"Record the batches of {environment}, by hand")
    for _ in range(5):
        with suppress(subprocess.CalledProcessError):
            git(clone, "push", "--quiet", "origin", "HEAD:main")
            return
        git(clone, "pull", "--quiet", "--no-rebase", "--no-edit", "origin", "main", tools=tools)
    raise AssertionError("five times somebody else was quicker")


def die() -> None:
    raise RunnerDiedError


def once(act: Callable[[], None]) -> Callable[[], None]:
    """The act, the first time only: dev goes before prod."""
    return nth(1, act)


def nth(number: int, act: Callable[[], None]) -> Callable[[], None]:
    """The act, at the n-th call only."""
    calls = count(1)

    def called() -> None:
        if next(calls) == number:
            act()

    return called


def digest_in(text: str) -> str:
    (digest,) = set(re.findall(r"\b[0-9a-f]{64}\b", text))
    return str(digest)


def loyalty(*names: str) -> dict[str, str | None]:
    return {"manifests/loyalty.yaml": LOYALTY + "".join(f"  {name}:\n" for name in names)}


def orders(*names: str) -> dict[str, str | None]:
    return {"manifests/orders.yaml": ORDERS + "".join(f"  {name}:\n" for name in names)}


def recorded(hub: Hub, environment: str) -> dict[str, str]:
    """Address → batch id, as `main` has it."""
    lines = hub.on_main(f"state/{environment}.jsonl").splitlines()
    return {each["address"]: each["id"] for each in map(json.loads, lines) if "address" in each}


def statuses(jobs: Mapping[str, Job]) -> dict[str, str]:
    return {environment: job.status for environment, job in jobs.items()}


def logs(jobs: Mapping[str, Job]) -> str:
    return "\n".join(f"== {name}: {job.status} {job.steps}\n{job.output}\n{job.summary}" for name, job in jobs.items())
