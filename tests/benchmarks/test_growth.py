"""How cost grows, in counts and never in seconds: twice the batches, twice the requests, bytes and fsyncs at most."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import date
from email.utils import formatdate
from itertools import pairwise
from typing import TYPE_CHECKING

import httpx
import pytest
from deepdiff import DeepDiff

from reconciler import operations
from reconciler.apply.run import Stop
from reconciler.core.pace import Pace
from reconciler.core.plans.plan import Action
from reconciler.platform import open_platform
from reconciler.settings import ReadyToken, Secret
from reconciler.views.plan_text import render_plan
from reconciler.workspace import Workspace
from tests.benchmarks.inputs import SHAPES, write_project
from tests.benchmarks.measure import CountingDisk
from tests.benchmarks.server import World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path
    from types import FrameType

    from reconciler.core.plans.plan import Plan
    from reconciler.operations import Applied
    from reconciler.ports import Platform
    from reconciler.workspace import Declared

SIZES = (200, 400, 800)
TODAY = date(2026, 3, 31)
OPTIONS = operations.Options(ignore_limits=True, pace=Pace(settle=0.0))


@dataclass
class Counts:
    """What one command cost."""

    calls: int
    written: int
    fsyncs: int


class Project:
    """A project on a disk and a Catalog that both count."""

    def __init__(self, root: Path, shape: str, size: int) -> None:
        write_project(root, shape, size)
        self.root = root
        self.size = size
        self.world = World()
        self.disk = CountingDisk()
        self.workspace = Workspace(root, root / "manifests", TODAY, disk=self.disk)

    @property
    def state_size(self) -> int:
        """Bytes of the state file."""
        return (self.root / "state" / "bench.jsonl").stat().st_size

    @asynccontextmanager
    async def connect(self, declared: Declared, _state: Path) -> AsyncIterator[Platform]:
        """AEP as a function."""

        async def answer(request: httpx.Request) -> httpx.Response:
            status, body = self.world.answer(request.method, request.url.raw_path.decode(), await request.aread())
            return httpx.Response(status, content=body, headers={"date": formatdate(usegmt=True)})

        token = ReadyToken(Secret("token"), Secret("key"))
        transport = httpx.MockTransport(answer)
        pace = Pace(rate=10_000_000)
        async with open_platform(token, declared.environment, transport=transport, pace=pace) as platform:
            yield platform

    def plan(self) -> tuple[Plan, Counts]:
        with self.counted() as counts:
            _, plan = asyncio.run(operations.plan(self.workspace, OPTIONS, self.connect))
        return plan, counts

    def apply(self) -> tuple[Applied, Counts]:
        with self.counted() as counts:
            applied = asyncio.run(self._apply())
        return applied, counts

    async def _apply(self) -> Applied:
        return await operations.apply(
            self.workspace,
            OPTIONS,
            self.connect,
            approve=lambda _declared, plan: plan,
            listener=lambda _event: None,
            stop=Stop(),
        )

    @contextmanager
    def counted(self) -> Iterator[Counts]:
        counts = Counts(0, 0, 0)
        calls, written, fsyncs = sum(self.world.requests.values()), self.disk.written, self.disk.fsyncs
        yield counts
        counts.calls = sum(self.world.requests.values()) - calls
        counts.written, counts.fsyncs = self.disk.written - written, self.disk.fsyncs - fsyncs


@contextmanager
def diffs_counted() -> Iterator[list[int]]:
    """How often DeepDiff runs in the block, counted by the interpreter itself; nothing is replaced."""
    ran: list[int] = []
    code = DeepDiff.__init__.__code__

    def profile(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call" and frame.f_code is code:
            ran.append(frame.f_lineno)

    sys.setprofile(profile)
    try:
        yield ran
    finally:
        sys.setprofile(None)


def test_a_first_apply_is_linear_in_requests_bytes_and_fsyncs(tmp_path: Path) -> None:
    costs = []
    for size in SIZES:
        project = Project(tmp_path / str(size), "keys", size)
        applied, counts = project.apply()
        assert applied.account is not None
        assert applied.account.created == size
        assert counts.calls <= size * 1.1 + 10  # a create each, and the look-ups before them by the fifty
        assert counts.written <= size * 1024 + project.state_size  # bytes
        assert counts.fsyncs <= 2 * size + 10  # an intent and an outcome each, when nobody shares one
        costs.append(counts)
    for one, two in pairwise(costs):
        assert two.calls <= 2.1 * one.calls
        assert two.written <= 2.1 * one.written


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_a_plan_without_changes_reads_pages_and_writes_nothing(tmp_path: Path, shape: str) -> None:
    project = Project(tmp_path, shape, 400)
    project.apply()
    with diffs_counted() as diffs:
        plan, counts = project.plan()
        assert not plan.has_changes
        assert len(list(render_plan(plan, color=False))) < 10
    datasets = len(project.world.by_dataset)
    assert counts.calls <= 2 * 400 / 100 + 2 * datasets + 1  # pages come in waves: half of them may be in vain
    assert (counts.written, counts.fsyncs, len(diffs)) == (0, 0, 0)


def test_a_big_state_that_nobody_changed_is_read_by_three_calls(tmp_path: Path) -> None:
    project = Project(tmp_path, "ranges", 1_500)
    project.apply()
    _, full = project.plan()
    assert full.calls >= 1_500 / 100
    plan, counts = project.plan()
    assert plan.how == "what changed since the last refresh: 0 batches read, 1500 unchanged"
    assert not plan.has_changes
    assert counts.calls == 3  # what changed, whether that question is understood, and whether all are there
    _, applied = project.apply()
    assert applied.calls == 3
    project.world.objects.popitem()  # a batch is gone, and nothing else tells it
    plan, again = project.plan()
    assert again.calls >= 1_500 / 100  # everything is read after all
    assert [change.action for change in plan.changes] == [Action.CREATE]


def test_an_apply_without_changes_writes_nothing(tmp_path: Path) -> None:
    project = Project(tmp_path, "ranges", 200)
    project.apply()
    _, counts = project.apply()
    assert (counts.written, counts.fsyncs) == (0, 0)


def test_one_more_batch_costs_one_request_and_one_state(tmp_path: Path) -> None:
    more = []
    for size in SIZES[:2]:
        project = Project(tmp_path / str(size), "keys", size)
        project.apply()
        _, nothing = project.plan()
        extra = "dataset: extra\nid: 5c8c3c555033b814ffffffff\nbatches:\n  one-more:\n"
        (project.root / "manifests" / "extra.yaml").write_text(extra, encoding="utf-8")
        applied, counts = project.apply()
        assert applied.account is not None
        assert applied.account.created == 1
        assert counts.written <= project.state_size + 2048
        more.append((counts.calls - nothing.calls, counts.fsyncs))
    assert more[0] == more[1]
    assert more[0][0] <= 5


def test_what_is_shown_of_many_that_differ_alike_does_not_grow(tmp_path: Path) -> None:
    shown = []
    for size in SIZES[:2]:
        project = Project(tmp_path / str(size), "ranges", size)
        project.apply()
        manifest = project.root / "manifests" / "orders.yaml"
        text = manifest.read_text(encoding="utf-8").replace("format: json", "tags: {team: [crm]}\n    format: json")
        manifest.write_text(text, encoding="utf-8")
        plan, _ = project.plan()
        assert [change.action for change in plan.changes] == [Action.UPDATE] * size
        with diffs_counted() as diffs:
            lines = list(render_plan(replace(plan), color=False))
        shown.append((len(diffs), len(lines)))
    assert shown[0] == shown[1]
    assert 1 <= shown[0][0] <= 2
