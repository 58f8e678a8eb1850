"""Refresh against AEP as a dictionary: the cheapest reads, two witnesses for a create, patience with a lag."""

from __future__ import annotations

import asyncio

import pytest

from reconciler.core.errors import StateMismatch
from reconciler.core.plans.plan import Action
from reconciler.core.plans.planner import Scope, Sides
from reconciler.refresh import Look, Patience, Refreshed, refresh
from tests.examples import ADDRESS, DATASET, TODAY, WHO, desired, observed, recorded
from tests.shell.fake_platform import FakePlatform


def read(
    platform: FakePlatform,
    wanted: list = (),  # type: ignore[type-arg,assignment]
    known: list = (),  # type: ignore[type-arg,assignment]
    *,
    state_age: float | None = 3600.0,
    accept: bool = False,
) -> Refreshed:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    sides = Sides(WHO, {each.address: each for each in wanted}, {each.address: each for each in known}, None)
    look = Look(sides, Scope(), TODAY, Patience(30.0, state_age, sleep), accept_all_missing=accept)
    return asyncio.run(refresh(platform, look))


def many(count: int) -> list[str]:
    return [f"loyalty/daily/{number:04}" for number in range(count)]


def test_one_listing_serves_all_batches_of_a_dataset() -> None:
    addresses = many(500)
    platform = FakePlatform({f"B{n}": observed(f"B{n}", address=a) for n, a in enumerate(addresses)})
    known = [recorded(a, f"B{n}") for n, a in enumerate(addresses)]
    refreshed = read(platform, [desired(a) for a in addresses], known)
    assert platform.calls == [f"list {DATASET}"]
    assert not refreshed.plan.has_changes


def test_no_create_on_one_witness_alone() -> None:
    platform = FakePlatform()
    refreshed = read(platform, [desired()])
    assert platform.calls == [f"list {DATASET}", "external 1", f"dataset {DATASET}"]
    assert refreshed.plan.changes[0].action is Action.CREATE


def test_what_the_listing_does_not_show_is_found_by_its_external_id() -> None:
    import dataclasses

    unmarked = dataclasses.replace(observed("B7"), tags={})
    platform = FakePlatform({"B7": unmarked})
    assert read(platform, [desired()]).plan.changes[0].action is Action.ADOPT


def test_every_generation_is_looked_up_before_the_next_is_made() -> None:
    import dataclasses

    dead = [dataclasses.replace(observed(f"B{g}", "aborted", generation=g), tags={}) for g in (1, 2, 3)]
    platform = FakePlatform({batch.id: batch for batch in dead})
    (change,) = read(platform, [desired()]).plan.changes
    assert change.after is not None
    assert change.after.generation == 4


def test_a_fresh_record_that_lags_is_not_missing() -> None:
    platform = FakePlatform({"B1": observed()}, hidden={"B1": 3})
    assert not read(platform, [desired()], [recorded()], state_age=1.0).plan.has_changes


def test_an_old_record_that_is_missing_is_missing() -> None:
    platform = FakePlatform({"B2": observed("B2", address="loyalty/other")})
    known = [recorded(), recorded("loyalty/other", "B2")]
    refreshed = read(platform, [desired(), desired("loyalty/other")], known)
    assert [change.address for change in refreshed.plan.changes] == [ADDRESS]


def test_nothing_that_is_recorded_can_be_found_is_never_drift() -> None:
    known = [recorded(a, f"B{n}") for n, a in enumerate(many(3))]
    with pytest.raises(StateMismatch, match="none of the 3 recorded batches"):
        read(FakePlatform(), [desired(each.address) for each in known], known)
    accepted = read(FakePlatform(), [desired(each.address) for each in known], known, accept=True)
    assert len(accepted.plan.changes) == 3


def test_a_dataset_that_does_not_exist_is_named() -> None:
    assert read(FakePlatform(datasets=set()), [desired()]).absent_datasets == {DATASET}


def test_consolidation_without_a_tag_is_found_through_the_replays() -> None:
    gone = observed("B1", "inactive")
    merged = observed("Y", "success", external_id="Y", predecessors=("B1",), replay_reason="consolidation")
    import dataclasses

    platform = FakePlatform({"B1": gone, "Y": dataclasses.replace(merged, tags={})})
    refreshed = read(platform, [desired()], [recorded()])
    assert f"replays {DATASET}" in platform.calls
    assert "consolidated" in refreshed.plan.drift[0].message
