"""Each batch is looked at right before it is written to: what is otherwise than was approved is left as it is."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from reconciler.apply.settling import settle_at_once
from reconciler.core.batch import STATUS_CLASSES, OnRemove, Spec, Stage, StatusClass
from reconciler.core.errors import OutcomeUnknown, Refused
from reconciler.core.plans.plan import Action
from reconciler.core.states.journal import Done, Intent, Void
from reconciler.core.states.replay import replay
from reconciler.core.states.state import State
from tests.examples import ADDRESS, WHO, desired, observed, plan_of, recorded
from tests.shell.fake_platform import FakePlatform
from tests.shell.test_engine import ListJournal, Trial, carry, intent
from tests.shell.test_loading import FILES, known, wanted
from tests.shell.test_loading import carry as load

if TYPE_CHECKING:
    from collections.abc import Collection

    from reconciler.core.batch import Desired, Observed, Record
    from reconciler.core.plans.plan import Plan
    from reconciler.ports import CreateRequest

JSON, CSV = Spec(format="json"), Spec(format="csv")
DELETED = recorded(on_remove=OnRemove.DELETE)

GONE = {StatusClass.FAILED, StatusClass.UNFINISHED, StatusClass.WITHDRAWN}


def writes(platform: FakePlatform) -> list[str]:
    """What was asked of AEP but for reads."""
    reads = ("ids ", "external ", "dataset ", "list ", "replays ")
    return [call for call in platform.calls if not call.startswith(reads)]


def said(trial: Trial) -> str:
    """Why the only address failed."""
    (failure,) = trial.account.failures
    assert isinstance(failure.error, Refused)
    assert failure.error.hint
    return failure.error.summary


def removal(status: str) -> Plan:
    return plan_of([], [DELETED], [observed(status=status)])


@pytest.mark.parametrize("now", sorted(STATUS_CLASSES))
@pytest.mark.parametrize(("reviewed", "verb"), [("loading", "ABORT"), ("success", "REVERT"), ("aborted", None)])
def test_a_verb_is_sent_only_as_it_was_approved(reviewed: str, verb: str | None, now: str) -> None:
    platform = FakePlatform(batches={"B1": observed(status=now)})
    trial = carry(removal(reviewed), platform, {ADDRESS: DELETED})
    status = STATUS_CLASSES[now]
    if status in GONE:
        assert (writes(platform), trial.records) == ([], {})
    elif {"ABORT": StatusClass.OPEN, "REVERT": StatusClass.DONE}.get(verb or "") is status:
        assert (writes(platform), trial.records) == ([f"{verb} B1"], {})
    else:
        assert "`B1`" in said(trial)
        assert (writes(platform), trial.records) == ([], {ADDRESS: DELETED})
        assert not trial.account.is_whole


@pytest.mark.parametrize("now", sorted(STATUS_CLASSES))
def test_an_open_batch_that_is_no_longer_open_is_not_replaced(now: str) -> None:
    """The data would be there twice if the next generation came first and the old one proved to be loaded then."""
    old = recorded(spec=JSON)
    platform = made_before(observed(status=now))
    trial = carry(plan_of([desired(spec=CSV)], [old], [observed()]), platform, {ADDRESS: old})
    if now in {"loading", "aborted", "abandoned", "failed", "failure"}:
        assert trial.account.created == 1
        assert writes(platform)[1:] == (["ABORT B1"] if now == "loading" else [])
    else:
        assert "`B1`" in said(trial)
        assert (writes(platform), trial.records) == ([], {ADDRESS: old})


@pytest.mark.parametrize("now", sorted({*STATUS_CLASSES} - {"success", "active"}))
def test_a_batch_that_is_no_longer_done_is_not_replayed(now: str) -> None:
    old = recorded(spec=JSON)
    platform = made_before(observed(status=now))
    trial = carry(plan_of([desired(spec=CSV)], [old], [observed(status="success")]), platform, {ADDRESS: old})
    assert f"`B1` was to be replayed, and is `{now}` now" in said(trial)
    assert (writes(platform), trial.records) == ([], {ADDRESS: old})


@pytest.mark.parametrize("now", ["loading", "staging", "success", "stalled"])
@pytest.mark.parametrize("seen", [[], [observed(status="aborted")]], ids=["missing", "aborted"])
def test_a_batch_that_is_there_again_is_not_followed_by_another_one(seen: list[Observed], now: str) -> None:
    platform = made_before(observed(status=now))
    trial = carry(plan_of([desired()], [recorded()], seen), platform, {ADDRESS: recorded()})
    assert "`B1` was gone" in said(trial)
    assert (writes(platform), trial.records) == ([], {ADDRESS: recorded()})


def made_before(*batches: Observed) -> FakePlatform:
    """A platform whose next batch is `B2`."""
    platform = FakePlatform(batches={each.id: each for each in batches})
    platform.created.append(None)  # type: ignore[arg-type]
    return platform


# -- absence has two witnesses


def test_a_batch_that_is_hidden_for_a_moment_is_not_gone() -> None:
    platform = FakePlatform(batches={"B1": observed()}, hidden={"B1": 3})
    trial = carry(removal("loading"), platform, {ADDRESS: DELETED})
    assert (writes(platform), trial.records) == (["ABORT B1"], {})


@dataclass
class OneEyed(FakePlatform):
    """One of the two ways of looking shows nothing, as long as the test lasts."""

    sees_ids: bool = True

    async def batches_by_id(self, ids: Collection[str]) -> dict[str, Observed]:
        return await super().batches_by_id(ids) if self.sees_ids else {}

    async def batches_by_external_id(self, external_ids: Collection[str]) -> list[Observed]:
        return [] if self.sees_ids else await super().batches_by_external_id(external_ids)


@pytest.mark.parametrize("sees_ids", [True, False])
def test_one_witness_is_enough_for_being_there(*, sees_ids: bool) -> None:
    platform = OneEyed(batches={"B1": observed()}, sees_ids=sees_ids)
    trial = carry(removal("loading"), platform, {ADDRESS: DELETED})
    assert (writes(platform), trial.records) == (["ABORT B1"], {})


@pytest.mark.parametrize("sees_ids", [True, False])
def test_one_witness_is_enough_for_an_earlier_generation(*, sees_ids: bool) -> None:
    new = recorded(id="B2", generation=2, deposed=("B1",))
    both = {"B1": observed(), "B2": observed("B2", generation=2)}
    platform = OneEyed(batches=both, sees_ids=sees_ids)
    trial = carry(plan_of([desired()], [new], both.values()), platform, {ADDRESS: new})
    assert (writes(platform), trial.records) == (["ABORT B1"], {ADDRESS: replace(new, deposed=())})


def test_what_nobody_shows_as_long_as_catalog_may_lag_is_gone() -> None:
    platform = FakePlatform()
    trial = carry(removal("loading"), platform, {ADDRESS: DELETED}, settle=0.02)
    assert (writes(platform), trial.records) == ([], {})
    assert platform.calls.count("external 1") > 1


def test_an_interrupted_look_decides_nothing() -> None:
    platform = FakePlatform()
    trial = carry(removal("loading"), platform, {ADDRESS: DELETED}, settle=60, stop_after=0)
    assert (trial.records, trial.account.skipped) == ({ADDRESS: DELETED}, 1)


# -- a record is a claim

SWAPPED = {
    "another dataset": observed(dataset="elsewhere", external_id=DELETED.external_id),
    "another external id": observed(address="loyalty/other"),
    "another marker": observed(tags={"reconciler_project": ["other"]}),
}


@pytest.mark.parametrize("seen", SWAPPED.values(), ids=SWAPPED)
@pytest.mark.parametrize(
    ("wish", "record"),
    [
        ([], DELETED),
        ([desired(spec=CSV)], recorded(spec=JSON)),
        ([desired(spec=Spec(tags={"t": ["new"]}))], recorded()),
        ([wanted(FILES[0], complete=False)], known()),
        ([wanted(FILES[0])], known(FILES[0])),
    ],
    ids=["delete", "replace", "tags", "upload", "complete"],
)
def test_nothing_is_done_to_a_batch_that_is_another_one(wish: list[Desired], record: Record, seen: Observed) -> None:
    platform = made_before(seen)
    plan = plan_of(wish, [record], [observed()])
    assert len(plan.changes) == 1
    trial = load(plan, platform, record)
    assert "`B1`" in said(trial)
    assert writes(platform) == []
    assert trial.records[ADDRESS].id == "B1"


@pytest.mark.parametrize("seen", SWAPPED.values(), ids=SWAPPED)
def test_an_address_that_is_replayed_names_its_own_batch(seen: Observed) -> None:
    platform = made_before(seen)
    wish = [desired(), desired("loyalty/merging", spec=Spec(replaces=[ADDRESS]))]
    trial = carry(plan_of(wish, [recorded()], [observed(status="success")]), platform, {ADDRESS: recorded()})
    assert "`B1`" in said(trial)
    assert writes(platform) == []


@pytest.mark.parametrize(
    "seen",
    [
        observed("X", address="loyalty/other"),
        observed("X", generation=3),
        replace(observed("X", external_id="01FOREIGN"), tags={}),
        observed("X", tags={"reconciler_project": ["other"]}),
    ],
    ids=["of another address", "of a later generation", "foreign", "of another project"],
)
def test_a_deposed_batch_is_an_earlier_one_of_its_address(seen: Observed) -> None:
    record = recorded(id="B2", generation=2, deposed=("X",))
    there = [observed("B2", generation=2), seen]
    plan = plan_of([desired()], [record], [there[0], observed("X")])
    platform = FakePlatform(batches={each.id: each for each in there})
    trial = carry(plan, platform, {ADDRESS: record})
    assert "`X`" in said(trial)
    assert (writes(platform), trial.records) == ([], {ADDRESS: record})


def test_a_replacement_is_not_filled_beside_an_old_batch_that_was_completed_meanwhile() -> None:
    """The old one is looked at again, and is gone before the first file of the new one."""

    @dataclass
    class Busy(FakePlatform):
        """A job completes the old batch while the new one is created."""

        def _make(self, request: CreateRequest) -> str:
            self.set_status("B1", "success")
            return super()._make(request)

    old = replace(known(FILES[0]), spec=JSON)
    platform = Busy(batches={"B1": observed()})
    platform.created.append(None)  # type: ignore[arg-type]
    trial = load(plan_of([wanted(FILES[1])], [old], [observed()]), platform, old)
    assert "`B1` was to be aborted, and is `success` now" in said(trial)
    assert [call.split()[0] for call in writes(platform)] == ["create"]
    assert trial.records[ADDRESS].deposed == ("B1",)


def test_an_old_batch_goes_before_the_new_one_is_filled() -> None:
    old = replace(known(FILES[0]), spec=JSON)
    platform = FakePlatform(batches={"B1": observed()})
    platform.created.append(None)  # type: ignore[arg-type]
    load(plan_of([wanted(FILES[1])], [old], [observed()]), platform, old)
    assert [call.split()[0] for call in writes(platform)] == ["create", "ABORT", "upload", "COMPLETE"]


def test_all_that_goes_is_looked_at_before_the_first_of_it_goes() -> None:
    record = recorded(id="B2", generation=2, deposed=("B1",), on_remove=OnRemove.DELETE)
    seen = [observed("B1"), observed("B2", generation=2)]
    platform = FakePlatform(batches={"B1": seen[0], "B2": replace(seen[1], status="success")})
    trial = carry(plan_of([], [record], seen), platform, {ADDRESS: record})
    assert "`B2` was to be aborted, and is `success` now" in said(trial)
    assert writes(platform) == []


def test_a_batch_that_takes_no_more_files_gets_none() -> None:
    platform = FakePlatform(batches={"B1": observed(status="success")})
    trial = load(plan_of([wanted(FILES[0])], [known()], [observed()]), platform, known())
    assert "takes no more files" in said(trial)
    assert writes(platform) == []


@pytest.mark.parametrize("status", ["aborted", "failed", "inactive"])
def test_a_batch_that_is_dead_is_not_completed(status: str) -> None:
    platform = FakePlatform(batches={"B1": observed(status=status)})
    trial = load(plan_of([wanted(FILES[0])], [known(FILES[0])], [observed()]), platform, known(FILES[0]))
    assert f"is `{status}` now and cannot be completed" in said(trial)
    assert writes(platform) == []
    assert trial.records[ADDRESS].stage is Stage.OPEN


# -- replays are read back


@dataclass
class Echo(FakePlatform):
    """Shows other predecessors than were asked for, or cannot be read once the new batch is there."""

    shown: tuple[str, ...] = ()
    odd: tuple[str, ...] = ()
    unread: bool = False

    def _make(self, request: CreateRequest) -> str:
        batch = super()._make(request)
        changed = replace(self.batches[batch], predecessors=self.shown, odd_predecessors=self.odd)
        self.batches[batch] = changed
        return batch

    async def batches_by_external_id(self, external_ids: Collection[str]) -> list[Observed]:
        if self.unread and len(self.created) > 1:
            raise OutcomeUnknown("Catalog is down")
        return await super().batches_by_external_id(external_ids)


ECHOES = {"none": ((), ()), "foreign": (("X",), ()), "more": (("B1", "X"), ()), "dollar": (("B1",), ("$B1",))}


def replaying(name: str) -> Echo:
    shown, odd = ECHOES[name]
    platform = Echo(batches={"B1": observed(status="success")}, shown=shown, odd=odd)
    platform.created.append(None)  # type: ignore[arg-type]
    return platform


OLD = known(FILES[0], stage=Stage.COMPLETED)


@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize("name", ECHOES)
def test_a_replay_that_is_not_understood_is_aborted_and_the_old_one_stays(name: str, *, complete: bool) -> None:
    platform = replaying(name)
    wish = wanted(FILES[1], complete=complete)
    trial = load(plan_of([wish], [OLD], [observed(status="success")]), platform, OLD)
    shown, odd = ECHOES[name]
    seen = "`$B1`" if odd else ", ".join(f"`{each}`" for each in shown) or "none"
    assert f"`B2` was to replay `B1`, and Catalog shows {seen}" in said(trial)
    assert writes(platform) == [f"create {WHO.external_ids(ADDRESS).of(2)}", "ABORT B2"]
    assert trial.records == {ADDRESS: OLD}
    assert [type(entry) for entry in trial.journal.entries] == [Intent, Void]
    assert platform.batches["B1"].status == "success"
    again = plan_of([wish], [OLD], platform.batches.values())
    assert [(each.action, each.after and each.after.generation) for each in again.changes] == [(Action.REPLACE, 3)]


@pytest.mark.parametrize("status", ["inactive", "aborted"])
def test_what_was_to_be_reverted_and_went_by_itself_holds_nothing_up(status: str) -> None:
    record = recorded(id="B2", generation=2, spec=JSON, deposed=("B1",))
    seen = [observed(status="success"), observed("B2", generation=2)]
    platform = FakePlatform(batches={"B1": observed(status=status), "B2": seen[1]})
    platform.created += [None, None]  # type: ignore[list-item]
    trial = carry(plan_of([desired(spec=CSV)], [record], seen), platform, {ADDRESS: record})
    assert trial.account.is_whole
    assert writes(platform)[1:] == ["ABORT B2"]


def test_a_replay_that_is_understood_is_completed() -> None:
    platform = Echo(batches={"B1": observed(status="success")}, shown=("B1",))
    platform.created.append(None)  # type: ignore[arg-type]
    trial = load(plan_of([wanted(FILES[1])], [OLD], [observed(status="success")]), platform, OLD)
    assert trial.account.is_whole
    assert writes(platform)[-1] == "COMPLETE B2"


@pytest.mark.parametrize("name", ECHOES)
def test_a_replay_that_could_not_be_read_back_is_decided_by_the_next_run(name: str) -> None:
    """Until then the old batch stays recorded: it is the one that the next replay has to name."""
    platform = replaying(name)
    platform.unread = True
    wish = wanted(FILES[1])
    trial = load(plan_of([wish], [OLD], [observed(status="success")]), platform, OLD)
    assert trial.account.unknown == 1
    assert trial.records == {ADDRESS: OLD}
    (opened,) = [entry for entry in trial.journal.entries if isinstance(entry, Intent)]
    platform.unread = False
    settled = asyncio.run(settle_at_once(platform, WHO, [opened], known=()))
    assert settled.undecided == (opened,)
    plan = plan_of([wish], [OLD], platform.batches.values())
    assert [each.action for each in plan.changes] == [Action.ADOPT]
    platform.calls.clear()
    later = carry(plan, platform, {ADDRESS: OLD}, intents=(opened,), journal=ListJournal([opened]))
    assert "`B2` was to replay `B1`" in said(later)
    assert (writes(platform), later.records) == (["ABORT B2"], {ADDRESS: OLD})
    assert later.journal.entries[-1] == Void(ADDRESS, 2)


def test_a_replay_that_is_understood_is_settled_by_one_look() -> None:
    opened = replace(intent(0), generation=2, external_id=WHO.external_ids(ADDRESS).of(2), predecessors=("B1",))
    platform = FakePlatform(batches={"B2": observed("B2", generation=2, predecessors=("B1",))})
    settled = asyncio.run(settle_at_once(platform, WHO, [opened], known=()))
    assert settled.entries == (Done(opened.record("B2")),)


@pytest.mark.parametrize(("shown", "is_taken"), [((), False), (("X",), False), (("B1",), True)])
def test_a_later_generation_beside_loaded_data_is_adopted_only_if_it_replays_it(
    shown: tuple[str, ...], *, is_taken: bool
) -> None:
    seen = [observed(status="success"), observed("B2", generation=2, predecessors=shown)]
    platform = FakePlatform(batches={each.id: each for each in seen})
    plan = plan_of([desired()], [recorded()], seen)
    assert [each.action for each in plan.changes] == [Action.ADOPT]
    trial = carry(plan, platform, {ADDRESS: recorded()})
    assert trial.records[ADDRESS].id == ("B2" if is_taken else "B1")
    assert bool(trial.account.failures) is not is_taken
    assert writes(platform) == []


def test_a_create_that_was_answered_with_the_batch_of_a_stranger_records_the_one_that_it_made() -> None:
    foreign = replace(observed("S", "success", external_id="someone.else"), tags={})
    trial = carry(plan_of([desired()]), FakePlatform({"S": foreign}, answers=["another"]), settle=0.02)
    assert trial.records[ADDRESS].id == "B1"
    assert "AEP answered the create with batch `S`, which is another one" in said(trial)
    assert replay(State(WHO), trial.journal.entries).state.records == trial.records


def test_a_stranger_that_nothing_tells_of_stays_for_a_person() -> None:
    """Both look like ours: of which one the record is, nobody can say."""
    rival = observed("S")
    trial = carry(plan_of([desired()]), FakePlatform({"S": rival}, answers=["another"]), settle=0.02)
    assert trial.records[ADDRESS].id == "S"
    assert "2 live batches" in said(trial)
