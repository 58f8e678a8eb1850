"""Refresh against AEP as a dictionary: the cheapest reads, two witnesses for a create, patience with a lag."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from reconciler.core.address import Globs
from reconciler.core.batch import Spec
from reconciler.core.errors import StateMismatch
from reconciler.core.manifests.project import Move
from reconciler.core.plans.observation import CatalogRead
from reconciler.core.plans.plan import Action
from reconciler.core.plans.planner import PlanInputs, Scope
from reconciler.refresh import Refreshed, RefreshRequest, refresh
from tests.examples import ADDRESS, DATASET, TODAY, WHO, desired, observed, recorded
from tests.shell.fake_platform import FakePlatform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.core.batch import Record


def read(
    platform: FakePlatform,
    wanted: list = (),  # type: ignore[type-arg,assignment]
    known: list = (),  # type: ignore[type-arg,assignment]
    *,
    accept: bool = False,
    scope: Scope | None = None,
    moves: Sequence[Move] = (),
) -> Refreshed:
    async def sleep(_: float) -> None:
        return

    inputs = PlanInputs(
        WHO, {each.address: each for each in wanted}, {each.address: each for each in known}, None, moves
    )
    request = RefreshRequest(inputs, TODAY, scope or Scope(), accept_all_missing=accept, sleep=sleep)
    return asyncio.run(refresh(platform, request))


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


def test_a_record_that_lags_is_not_missing() -> None:
    """Whatever the times of files say: they are of this machine's clock, which may have jumped."""
    platform = FakePlatform({"B1": observed()}, hidden={"B1": 3})
    assert not read(platform, [desired()], [recorded()]).plan.has_changes


def test_a_record_that_stays_missing_is_missing() -> None:
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


# -- targets


def catalog_of(addresses: list[str]) -> tuple[FakePlatform, list[Record]]:
    """A Catalog with a batch for each address, and the records of them."""
    platform = FakePlatform({f"B{n}": observed(f"B{n}", address=a) for n, a in enumerate(addresses)})
    return platform, [recorded(a, f"B{n}") for n, a in enumerate(addresses)]


def targets(*patterns: str) -> Scope:
    return Scope(Globs(patterns))


def test_a_few_targets_of_a_big_dataset_are_read_one_by_one() -> None:
    addresses = many(500)
    platform, known = catalog_of(addresses)
    refreshed = read(platform, [desired(a) for a in addresses], known, scope=targets(addresses[7], addresses[8]))
    assert platform.calls == [f"list {DATASET}", f"list {DATASET}"]
    assert platform.told == 2
    assert refreshed.plan.read is CatalogRead.TARGETS
    assert not refreshed.plan.has_changes
    assert refreshed.bookmark is None


def test_many_targets_are_read_by_the_dataset() -> None:
    addresses = many(500)
    platform, known = catalog_of(addresses)
    read(platform, [desired(a) for a in addresses], known, scope=targets("loyalty/daily/000*"))
    assert platform.calls == [f"list {DATASET}"]


def test_a_dataset_without_a_target_is_not_read() -> None:
    platform, known = catalog_of(many(3))
    elsewhere = desired("orders/a", dataset="OTHER")
    read(platform, [elsewhere, *(desired(each.address) for each in known)], known, scope=targets("loyalty/*"))
    assert platform.calls == [f"list {DATASET}"]


def test_a_target_needs_two_witnesses_too() -> None:
    platform, known = catalog_of(many(300))
    refreshed = read(platform, [desired("loyalty/new"), *map(desired, many(300))], known, scope=targets("loyalty/new"))
    assert platform.calls == [f"list {DATASET}", "external 1", f"dataset {DATASET}"]
    assert [change.address for change in refreshed.plan.changes] == ["loyalty/new"]


def test_a_moved_target_is_read_under_its_old_name() -> None:
    platform, known = catalog_of(["loyalty/old", *many(300)])
    moves = [Move("loyalty/old", "loyalty/new", desired().place)]
    wanted = [desired("loyalty/new"), *map(desired, many(300))]
    (change,) = read(platform, wanted, known, scope=targets("loyalty/new"), moves=moves).plan.changes
    assert (change.action, change.previous_address) == (Action.MOVE, "loyalty/old")


def test_a_moved_target_without_a_record_is_found_under_its_old_name() -> None:
    platform, known = catalog_of(["loyalty/old", *many(300)])
    moves = [Move("loyalty/old", "loyalty/new", desired().place)]
    wanted = [desired("loyalty/new"), *map(desired, many(300))]
    (change,) = read(platform, wanted, known[1:], scope=targets("loyalty/new"), moves=moves).plan.changes
    assert change.action is Action.ADOPT


def test_what_a_target_replays_is_read_whatever_the_order() -> None:
    platform, known = catalog_of(many(300))
    first, second, third = many(300)[:3]
    wanted = [desired(a) for a in many(300)[3:]]
    wanted += [
        desired(third, spec=Spec(replaces=[second])),
        desired(second, spec=Spec(replaces=[first])),
        desired(first),
    ]
    calls = []
    for each in (wanted, wanted[::-1]):
        platform.calls.clear()
        platform.told = 0
        read(platform, each, known, scope=targets(third))
        calls.append((list(platform.calls), platform.told))
    assert calls[0] == calls[1]
    assert calls[0] == ([f"list {DATASET}", f"list {DATASET}", "external 1"], 2)


def test_a_few_others_that_are_gone_do_not_speak_for_all() -> None:
    platform, known = catalog_of(many(300))
    by_id = sorted(each.id for each in known)
    for gone in by_id[:60]:
        del platform.batches[gone]
    target = next(each.address for each in known if each.id == by_id[0])
    assert read(platform, [desired(each.address) for each in known], known, scope=targets(target)).plan.changes


def test_targets_that_are_gone_are_missing_as_long_as_others_are_there() -> None:
    platform, known = catalog_of(many(300))
    del platform.batches["B0"], platform.batches["B1"]
    wanted = [desired(each.address) for each in known]
    refreshed = read(platform, wanted, known, scope=targets(known[0].address, known[1].address))
    assert len(refreshed.plan.changes) == 2
    platform.batches.clear()
    with pytest.raises(StateMismatch, match="none of 52 of the 300 recorded batches"):
        read(platform, wanted, known, scope=targets(known[0].address, known[1].address))
