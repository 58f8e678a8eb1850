"""A refresh from a bookmark finds what a full one finds, whatever happened to batches, manifests and records since.

That is what "provably as good" means here. Three things it rests on are Catalog's: a change stamps `updated`, what is
there can be counted, and a change shows before the settle time has passed.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from hypothesis import given, note, settings
from hypothesis import strategies as st

from reconciler.core.batch import Lifecycle, OnRemove, Spec
from reconciler.core.plans.bookmark import dump, parse
from reconciler.core.plans.plan import Action
from reconciler.core.plans.planner import PlanInputs
from reconciler.refresh import Refreshed, RefreshRequest, refresh
from tests.examples import TODAY, WHO, desired, observed, recorded
from tests.shell.fake_platform import FakePlatform

if TYPE_CHECKING:
    from reconciler.core.batch import Desired, Observed, Record
    from reconciler.core.plans.bookmark import Bookmark

SETTLE = 30.0
LAGS = [0, 10_000, int(SETTLE * 1000)]
"""Milliseconds until Catalog shows a change."""
ADDRESSES = [f"loyalty/b{number}" for number in range(6)]
STATUSES = ["loading", "success", "staging", "aborted", "abandoned", "failed", "inactive", "stalled", "unheard-of"]
TEAMS = ["crm", "eu"]
RULES = [Lifecycle(), Lifecycle(on_remove=OnRemove.DELETE, recreate_when=("missing", "failed"), ignore_tags=True)]


def lag_of(batch: str) -> int:
    """Not the same everywhere: a later change may show earlier."""
    return LAGS[sum(batch.encode()) % len(LAGS)]


@dataclass
class World:
    """Manifests, records, and a Catalog with a clock of its own."""

    wanted: dict[str, Desired] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)
    platform: FakePlatform = field(default_factory=lambda: FakePlatform(clock=1_000))
    hidden: list[tuple[int, Observed]] = field(default_factory=list)
    """Changes that it does not show yet, and when it will."""

    @property
    def clock(self) -> int:
        assert self.platform.clock is not None
        return self.platform.clock

    def pass_by(self, milliseconds: int) -> None:
        self.platform.clock = self.clock + milliseconds

    def stamp(self) -> int:
        self.pass_by(7_000)
        return self.clock

    def put(self, batch: Observed) -> None:
        changed = replace(batch, updated=self.stamp())
        self.hidden.append((self.clock + lag_of(batch.id), changed))

    def show(self) -> None:
        """Catalog shows what is due; of two changes of one batch the later one stays."""
        due = [batch for at, batch in self.hidden if at <= self.clock]
        self.hidden = [(at, batch) for at, batch in self.hidden if at > self.clock]
        for batch in sorted(due, key=lambda each: each.updated or 0):
            there = self.platform.batches.get(batch.id)
            if there is None or (there.updated or 0) <= (batch.updated or 0):
                self.platform.batches[batch.id] = batch

    def look(self, bookmark: Bookmark | None) -> Refreshed:
        async def sleep(_: float) -> None:
            return

        self.show()
        inputs = PlanInputs(WHO, dict(self.wanted), dict(self.records), None)
        request = RefreshRequest(inputs, TODAY, settle=SETTLE, accept_all_missing=True, bookmark=bookmark, sleep=sleep)
        return asyncio.run(refresh(self.platform, request))

    def commit(self, seen: Refreshed) -> Bookmark | None:
        """Write down what the plan found, as an apply does, and set it apart."""
        before = dict(self.records)
        for change in seen.plan.changes:
            if change.action is Action.FORGET:
                del self.records[change.address]
            elif change.action in {Action.ADOPT, Action.IMPORT, Action.UPDATE} and change.after is not None:
                self.records[change.address] = change.after
        return seen.bookmark.after(before, self.records) if seen.bookmark else None


SPECS = st.builds(
    lambda form, team: Spec(format=form, tags={"team": [team]}),
    st.sampled_from(["json", "csv"]),
    st.sampled_from(TEAMS),
)
PLACES = st.sampled_from(ADDRESSES)
EVENTS = st.one_of(
    st.tuples(st.just("declare"), PLACES, SPECS, st.sampled_from(RULES)),
    st.tuples(st.just("undeclare"), PLACES),
    st.tuples(st.just("status"), st.integers(0, 20), st.sampled_from(STATUSES)),
    st.tuples(st.just("tags"), st.integers(0, 20), st.sampled_from(TEAMS)),
    st.tuples(st.just("unmark"), st.integers(0, 20)),
    st.tuples(st.just("delete"), st.integers(0, 20)),
    st.tuples(st.just("new"), PLACES, st.integers(1, 3), st.sampled_from(STATUSES)),
    st.tuples(st.just("foreign")),
    st.tuples(st.just("pause"), st.sampled_from([1, 2_999, 60_000])),
    st.tuples(st.just("commit")),
)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    world = World()
    for number, address in enumerate(ADDRESSES):
        spec = draw(SPECS)
        if draw(st.integers(0, 4)):
            world.wanted[address] = desired(address, spec=spec, lifecycle=draw(st.sampled_from(RULES)))
        if draw(st.integers(0, 4)):
            world.records[address] = recorded(address, f"B{number}", spec=spec)
            status = draw(st.sampled_from(["success", "loading", "loading", *STATUSES]))
            world.put(observed(f"B{number}", status, address=address, tags=dict(spec["tags"])))
    world.pass_by(LAGS[-1])
    return world


def happen(world: World, event: tuple[object, ...]) -> None:  # noqa: C901  (a table)
    world.show()
    batches = world.platform.batches
    kind, *rest = event
    chosen = sorted(batches)[rest[0] % len(batches)] if rest and isinstance(rest[0], int) and batches else None
    match kind, rest:
        case "declare", [str(address), spec, rules]:
            world.wanted[address] = desired(address, spec=spec, lifecycle=rules)  # type: ignore[arg-type]
        case "undeclare", [address]:
            world.wanted.pop(str(address), None)
        case "new", [str(address), int(generation), str(status)]:
            world.put(observed(f"N{len(batches)}{world.stamp()}", status, address=address, generation=generation))
        case "pause", [int(milliseconds)]:
            world.pass_by(milliseconds)
        case "foreign", _:
            world.put(replace(observed(f"F{world.stamp()}", external_id="someone.else"), tags={}))
        case _ if chosen is None:
            return
        case "status", [_, str(status)]:
            world.put(replace(batches[chosen], status=status))
        case "tags", [_, str(team)]:
            world.put(replace(batches[chosen], tags={**batches[chosen].tags, "team": (team,)}))
        case "unmark", _:
            world.put(replace(batches[chosen], tags={}))
        case "delete", _:
            del batches[chosen]
            world.hidden = [(at, batch) for at, batch in world.hidden if batch.id != chosen]
        case _:
            raise AssertionError(event)


@settings(max_examples=400, deadline=None)
@given(worlds(), st.lists(st.lists(EVENTS, max_size=4), min_size=1, max_size=4))
def test_a_refresh_from_a_bookmark_finds_what_a_full_one_finds(
    world: World, rounds: list[list[tuple[object, ...]]]
) -> None:
    seen = world.look(None)
    bookmark = seen.bookmark
    for events in rounds:
        committed = False
        for event in events:
            note(str(event))
            if event[0] != "commit":
                happen(world, event)
            elif not committed:
                bookmark, committed = world.commit(seen), True
        full, seen = world.look(None), world.look(parse(dump(bookmark)) if bookmark else None)
        for side in ("changes", "drift", "conflicts", "orphans"):
            assert getattr(seen.plan, side) == getattr(full.plan, side)
        bookmark = seen.bookmark


def test_nothing_new_is_a_listing_and_a_count() -> None:
    world = World()
    for number in range(50):
        address = f"loyalty/b{number}"
        world.wanted[address], world.records[address] = desired(address), recorded(address, f"B{number}")
        world.put(observed(f"B{number}", address=address))
    world.pass_by(60_000)
    bookmark = world.look(None).bookmark
    world.platform.calls.clear()
    seen = world.look(bookmark)
    assert bookmark is not None
    newest = world.clock - 60_000
    assert world.platform.calls == [f"changes since {newest + 1}", f"any change since {newest}", "count 50"]
    assert seen.plan.how == "what changed since the last refresh: 0 batches read, 50 unchanged"


def test_only_what_changed_is_read_and_the_plan_rests_on_it() -> None:
    world = World()
    for number in range(50):
        address = f"loyalty/b{number}"
        world.wanted[address], world.records[address] = desired(address), recorded(address, f"B{number}")
        world.put(observed(f"B{number}", address=address))
    world.pass_by(60_000)
    bookmark = world.look(None).bookmark
    world.put(observed("B7", "aborted", address="loyalty/b7"))
    world.pass_by(60_000)
    world.wanted["loyalty/b8"] = desired("loyalty/b8", spec=Spec(tags={"team": ["eu"]}))
    world.platform.calls.clear()
    changes = world.look(bookmark).plan.changes
    assert [(each.address, each.action) for each in changes] == [
        ("loyalty/b7", Action.CREATE),
        ("loyalty/b8", Action.UPDATE),
    ]
    assert "ids 1" in world.platform.calls  # the batch whose tags are to be changed is looked at after all
    assert not any(call.startswith("list ") for call in world.platform.calls)


def test_a_change_that_shows_late_is_seen_though_later_ones_were_seen_before() -> None:
    world = World()
    for number in range(6):
        address = f"loyalty/b{number}"
        world.wanted[address], world.records[address] = desired(address), recorded(address, f"B{number}")
        world.put(observed(f"B{number}", address=address))
    world.pass_by(60_000)
    late, quick = (next(n for n in range(6) if lag_of(f"B{n}") == lag) for lag in (LAGS[-1], 0))
    first = world.look(None)
    world.put(observed(f"B{late}", "failed", address=f"loyalty/b{late}"))
    world.put(observed(f"B{quick}", "success", address=f"loyalty/b{quick}"))
    second = world.look(first.bookmark)
    assert not second.plan.drift
    world.pass_by(60_000)
    third = world.look(second.bookmark)
    assert third.plan.how.startswith("what changed")
    assert [drift.address for drift in third.plan.drift] == [f"loyalty/b{late}"]
