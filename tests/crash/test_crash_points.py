"""Exhaustion, not examples: a run is killed at effect n for n = 0, 1, 2 … until one ends unharmed; then twice.

After a plain rerun there is one batch per address, every id is recorded, and nothing is left open.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

import pytest

from reconciler.apply.run import Stop
from reconciler.connect import open_environment
from reconciler.core.identity import ADDRESS_TAG
from reconciler.core.pace import Pace
from reconciler.emulator import Emulator, World
from reconciler.operations import Applied, Options, apply
from reconciler.workspace import Workspace
from tests.crash.failpoints import FailingDisk, FailingTransport, Failpoints, Killed
from tests.examples import DATASET, TODAY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from reconciler.ports import Platform
    from reconciler.workspace import Declared

PROJECT = """\
project: acme-crm
environments: {dev: {org: 0123456789ABCDEF01234567@AdobeOrg, sandbox: dev}}
"""
FIRST = f"""\
dataset: loyalty
id: {DATASET}
batches:
  first:
  kept: {{format: json, tags: {{team: [crm]}}}}
  changed: {{format: json}}
  retagged: {{tags: {{team: [crm]}}}}
  removed: {{lifecycle: {{on_remove: delete}}}}
  forgotten:
"""
SMALL = f"""\
dataset: loyalty
id: {DATASET}
batches: {{a: , b: }}
"""
SECOND = f"""\
dataset: loyalty
id: {DATASET}
batches:
  kept: {{format: json, tags: {{team: [crm]}}}}
  changed: {{format: csv}}
  retagged: {{tags: {{team: [eu]}}}}
  renamed:
  added: {{each: {{day: [a, b, c]}}}}
moved: [{{from: loyalty/first, to: loyalty/renamed}}]
"""


@dataclass
class Checkout:
    """A checkout and an AEP that outlive every run."""

    root: Path
    emulator: Emulator

    def manifests(self, text: str) -> None:
        (self.root / "manifests").mkdir(exist_ok=True)
        (self.root / "manifests" / "reconciler.yaml").write_text(PROJECT, encoding="utf-8")
        (self.root / "manifests" / "loyalty.yaml").write_text(text, encoding="utf-8")

    def run(self, points: Failpoints) -> Applied:
        """One run of `apply`, which dies at its failpoint."""
        workspace = Workspace(self.root, self.root / "manifests", TODAY, disk=FailingDisk(points))

        @asynccontextmanager
        async def connect(declared: Declared, _: Path) -> AsyncIterator[Platform]:
            transport = FailingTransport(self.emulator.transport(), points)
            async with open_environment(declared.environment, transport=transport) as platform:
                yield platform

        return asyncio.run(
            apply(
                workspace,
                Options(pace=Pace(settle=0.0, parallelism=2), ignore_limits=True),
                connect,
                approve=lambda _, plan: plan,
                listener=lambda _: None,
                stop=Stop(),
            )
        )

    def dies(self, kill_at: int) -> Failpoints:
        """Run until the kill; the points say where it struck, or that it did not."""
        points = Failpoints(kill_at)
        try:
            self.run(points)
        except Killed:
            pass
        except BaseExceptionGroup as group:
            _, others = group.split(Killed)
            if others is not None:
                raise others from None
        return points

    def check(self, addresses: set[str], recorded: set[str] | None = None) -> None:
        """The promise: one live batch per address, every one recorded, nothing open, nothing left to do.

        `addresses` are those that the batches were created for, `recorded` those that the records should have.
        """
        done = self.run(Failpoints(None))
        assert not done.plan.changes, done.plan.changes
        assert not done.plan.conflicts
        live = {id_: each for id_, each in self.emulator.batches().items() if each["status"] == "loading"}
        names = sorted(batch["tags"][ADDRESS_TAG][0] for batch in live.values())
        assert names == sorted(name.replace("renamed", "first") for name in addresses)
        state = self.root / "state" / "dev.jsonl"
        lines = [json.loads(line) for line in state.read_text(encoding="utf-8").splitlines()[1:-1]]
        assert [line["address"] for line in lines] == sorted(recorded or addresses)
        assert {line["id"] for line in lines} <= live.keys()
        assert not state.with_suffix(".journal").exists()


def checkouts(tmp_path: Path) -> Callable[[str], Checkout]:
    """Make fresh checkouts, each with an AEP of its own."""
    number = count()

    def make(manifests: str) -> Checkout:
        root = tmp_path / str(next(number))
        root.mkdir()
        checkout = Checkout(root, Emulator(world=World(any_dataset=True)))
        checkout.manifests(manifests)
        return checkout

    return make


@pytest.mark.slow
def test_a_first_apply_survives_a_kill_at_every_effect(tmp_path: Path) -> None:
    make = checkouts(tmp_path)
    addresses = {f"loyalty/{name}" for name in ("first", "kept", "changed", "retagged", "removed", "forgotten")}
    for kill_at in count():
        checkout = make(FIRST)
        points = checkout.dies(kill_at)
        checkout.run(Failpoints(None))
        checkout.check(addresses)
        checkout.emulator.close()
        if not points.is_dead:
            break
    print(f"{kill_at} crash points tried")
    assert kill_at > 30


@pytest.mark.slow
def test_every_kind_of_change_survives_a_kill_at_every_effect(tmp_path: Path) -> None:
    make = checkouts(tmp_path)
    names = ("kept", "changed", "retagged", "renamed", "added/a", "added/b", "added/c")
    addresses = {f"loyalty/{name}" for name in names}
    for kill_at in count():
        checkout = make(FIRST)
        checkout.run(Failpoints(None))
        checkout.manifests(SECOND)
        points = checkout.dies(kill_at)
        checkout.run(Failpoints(None))
        checkout.check(addresses | {"loyalty/forgotten"}, recorded=addresses)
        checkout.emulator.close()
        if not points.is_dead:
            break
    print(f"{kill_at} crash points tried")
    assert kill_at > 40


@pytest.mark.slow
def test_recovery_survives_a_second_kill_at_every_effect(tmp_path: Path) -> None:
    make, tried = checkouts(tmp_path), 0
    is_unharmed = False
    first_kill = 0
    while not is_unharmed:
        for second_kill in count():
            checkout = make(SMALL)
            is_unharmed = not checkout.dies(first_kill).is_dead
            second = checkout.dies(second_kill)
            checkout.run(Failpoints(None))
            checkout.check({"loyalty/a", "loyalty/b"})
            checkout.emulator.close()
            tried += 1
            if not second.is_dead:
                break
        first_kill += 1
    print(f"{tried} pairs of crash points tried")
    assert tried > 300
