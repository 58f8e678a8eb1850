"""The phases of a run, one after the other in one process, each measured apart.

Run as a child process: `python -m tests.benchmarks.phases ROOT …` prints the costs as JSON. The project is there; the
state is made here: by the commit that is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

from reconciler.apply.engine import carry_out
from reconciler.apply.ledger import Ledger
from reconciler.apply.run import Run, Slots, Stop
from reconciler.cli import COLLECTOR
from reconciler.core.batch import Record
from reconciler.core.pace import Pace
from reconciler.core.plans.planner import PlanInputs, make_plan
from reconciler.core.states.state import State
from reconciler.platform import Retries, open_platform
from reconciler.refresh import RefreshRequest, refresh
from reconciler.session import open_store
from reconciler.settings import Endpoints, ReadyToken, Secret
from reconciler.storage.store import Store
from reconciler.views.plan_text import render_plan
from reconciler.workspace import Workspace, load_declared
from tests.benchmarks.measure import Cost, CountingDisk, measured
from tests.benchmarks.server import served

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from reconciler.core.batch import Desired
    from reconciler.core.plans.plan import Plan
    from reconciler.ports import Platform
    from reconciler.workspace import Declared

TODAY = date(2026, 3, 31)
UNLIMITED = 100_000_000
LIMIT = 2_000
"""Creations a minute that AEP allows one user (aep-api.md §9)."""


class Bench:
    """One project of one size: what its phases share."""

    def __init__(self, root: Path, parallelism: int, most: int, paced: float = 0.0) -> None:
        self.root = root
        self.parallelism = parallelism
        self.most = most
        self.paced = paced
        self.disk = CountingDisk()
        self.costs: list[Cost] = []
        self.workspace = Workspace(root, root / "manifests", TODAY, disk=self.disk)

    def run(self) -> list[Cost]:
        """All phases, in the order of a project's life."""
        with measured("parse and expand", self.costs):
            declared = load_declared(self.workspace)
        store = open_store(self.workspace, declared.identity)
        made = State(
            declared.identity,
            {each.address: _record(declared, each, n) for n, each in enumerate(declared.desired.values())},
        )
        with measured("commit", self.costs, self.disk):
            store.commit(made)
        del made
        with measured("load state", self.costs):
            loaded = store.load()
        records = dict(loaded.state.records)
        with measured("plan", self.costs):
            nothing = _planned(declared, records)
        assert not nothing.changes
        with measured("render", self.costs):
            _shown(nothing)
        with served(store.path) as url:
            asyncio.run(self.refreshed(declared, records, url))
        everything = _planned(declared, {})
        with measured("render creates", self.costs):
            _shown(everything)
        with served() as url:
            asyncio.run(self.applied(declared, everything, url))
        if self.paced:
            with served() as url:
                asyncio.run(self.applied_at_the_limit(declared, everything, url))
        return self.costs

    def platform(self, declared: Declared, url: str, rate: int = UNLIMITED) -> AbstractAsyncContextManager[Platform]:
        token = ReadyToken(Secret("token"), Secret("key"))
        return open_platform(
            token,
            declared.environment,
            endpoints=Endpoints(url, url),
            pace=Pace(parallelism=self.parallelism, rate=rate),
            retries=Retries(),
        )

    def a_run(self, declared: Declared, platform: Platform, ledger: Ledger) -> Run:
        """What an apply of this width works with."""
        stop, pace = Stop(), Pace(self.parallelism)
        return Run(declared.identity, platform, ledger, _deaf, stop, Slots(self.parallelism, stop), pace)

    async def refreshed(self, declared: Declared, records: dict[str, Record], url: str) -> None:
        """Everything is recorded and in Catalog: the refresh of an ordinary day."""
        inputs = PlanInputs(declared.identity, declared.desired, records, None)
        request = RefreshRequest(inputs, TODAY, settle=0.0)
        async with self.platform(declared, url) as platform:
            with measured("refresh", self.costs) as cost:
                found = await refresh(platform.catalog, request)
            assert not found.plan.changes
            cost.calls = calls(url)
            with measured("refresh, unchanged", self.costs) as again:
                found = await refresh(platform.catalog, replace(request, bookmark=found.bookmark))
            assert not found.plan.changes
            again.calls = calls(url) - cost.calls

    async def applied(self, declared: Declared, plan: Plan, url: str) -> None:
        """The first apply: every batch is created, as far as `most` goes."""
        plan = replace(plan, changes=plan.changes[: self.most])
        store = Store(self.root / "state" / "applied.jsonl", declared.identity, self.disk)
        records: dict[str, Record] = {}
        async with self.platform(declared, url) as platform:
            with measured("apply", self.costs, self.disk) as cost:
                async with store.open_journal() as journal:
                    account = await carry_out(plan, self.a_run(declared, platform, Ledger(journal, records)))
        assert account.created == len(plan.changes), account
        cost.calls = calls(url)
        cost.notes["created"] = account.created
        with measured("commit applied", self.costs, self.disk):
            store.commit(State(declared.identity, records))

    async def applied_at_the_limit(self, declared: Declared, plan: Plan, url: str) -> None:
        """As many creates as the API allows in some seconds: how much of the rate is used."""
        wanted = int(LIMIT * self.paced / 60)
        plan = replace(plan, changes=plan.changes[:wanted])
        store = Store(self.root / "state" / "paced.jsonl", declared.identity, self.disk)
        async with self.platform(declared, url, LIMIT) as platform:
            with measured(f"apply, {LIMIT} a minute", self.costs, self.disk) as cost:
                async with store.open_journal() as journal:
                    account = await carry_out(plan, self.a_run(declared, platform, Ledger(journal, {})))
        cost.calls = calls(url)
        cost.notes["share_of_rate"] = account.created / cost.seconds / (LIMIT / 60)


def calls(url: str) -> int:
    """How many requests a server has answered."""
    with urlopen(f"{url}/stats") as answer:
        requests: dict[str, Any] = json.load(answer)
    return sum(requests.values())


def _record(declared: Declared, each: Desired, number: int) -> Record:
    external_id = each.external_id or declared.identity.external_ids(each.address).of(1)
    batch = f"01J{number:023}"
    return Record(each.address, batch, each.dataset, external_id, 1, each.lifecycle.on_remove, each.spec)


def _planned(declared: Declared, records: dict[str, Record]) -> Plan:
    return make_plan(PlanInputs(declared.identity, declared.desired, records, None), today=TODAY)


def _shown(plan: Plan) -> None:
    for line in render_plan(plan, color=False):
        assert line is not None


def _deaf(event: object) -> None:
    """Hear nothing."""


def main() -> None:
    """Measure the phases of one project."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("--parallelism", type=int, default=8)
    parser.add_argument("--most", type=int, default=10_000)
    parser.add_argument("--paced", type=float, default=0.0)
    arguments = parser.parse_args()
    gc.set_threshold(*COLLECTOR)  # as the command line does
    costs = Bench(arguments.root, arguments.parallelism, arguments.most, arguments.paced).run()
    json.dump([cost.to_json() for cost in costs], sys.stdout)


if __name__ == "__main__":
    main()
