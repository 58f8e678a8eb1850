"""The engine against AEP as a dictionary: what is durable when, what is settled by looking, what an account says."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from reconciler.apply.engine import carry_out
from reconciler.apply.ledger import Ledger
from reconciler.apply.run import Run, Slots, Stop
from reconciler.apply.settling import settle_at_once
from reconciler.core.batch import OnRemove, Spec
from reconciler.core.errors import OutcomeUnknown, StoreFailed
from reconciler.core.pace import Pace
from reconciler.core.plans.events import Account, Ending
from reconciler.core.states.journal import Done, Dropped, Intent, Void
from reconciler.core.states.replay import open_intents
from reconciler.core.states.state import State
from reconciler.ports import Platform
from tests.examples import ADDRESS, WHO, desired, observed, plan_of, recorded
from tests.shell.fake_platform import FakePlatform

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from reconciler.core.batch import Observed, Record
    from reconciler.core.plans.events import Event
    from reconciler.core.plans.plan import Plan
    from reconciler.core.states.journal import Entry
    from reconciler.ports import CreateRequest


NOW = 1_767_225_600_000
"""Epoch milliseconds by AEP's clock."""


@dataclass
class ListJournal:
    """A journal that is a list; it may break at the n-th append."""

    entries: list[Entry] = field(default_factory=list)
    breaks_at: int | None = None

    async def append(self, *entries: Entry) -> None:
        if self.breaks_at is not None and len(self.entries) >= self.breaks_at:
            raise StoreFailed("the disk is full")
        await asyncio.sleep(0)
        self.entries.extend(entries)


@dataclass
class Trial:
    """One apply: what came out of it."""

    account: Account
    records: dict[str, Record]
    journal: ListJournal
    events: list[Event]


def carry(
    plan: Plan,
    platform: FakePlatform,
    known: dict[str, Record] | None = None,
    *,
    journal: ListJournal | None = None,
    intents: tuple[Intent, ...] = (),
    settle: float = 0.3,
    stop_after: int | None = None,
    grace: float = 5.0,
) -> Trial:
    records: dict[str, Record] = dict(known or {})
    events: list[Event] = []
    journal = journal or ListJournal()

    async def run() -> Account:
        stop = Stop(grace)

        def listen(event: Event) -> None:
            events.append(event)
            if stop_after is not None and len(platform.created) >= stop_after:
                stop.request()

        pace = Pace(parallelism=4, settle=settle, first_look=0.005)
        opened = {intent.address: intent for intent in intents}
        ledger, slots = Ledger(journal, records), Slots(pace.parallelism, stop)
        run = Run(WHO, Platform(platform, platform), ledger, listen, stop, slots, pace, opened)
        return await carry_out(plan, run)

    return Trial(asyncio.run(run()), records, journal, events)


def intent(at: int, address: str = ADDRESS) -> Intent:
    return Intent(address, 1, WHO.external_ids(address).of(1), desired().dataset, OnRemove.FORGET, Spec(), at=at)


def test_an_intent_is_durable_before_its_request_and_the_outcome_before_it_counts() -> None:
    platform = FakePlatform()
    trial = carry(plan_of([desired()]), platform)
    assert [type(entry) for entry in trial.journal.entries] == [Intent, Done]
    assert trial.records[ADDRESS].id == "B1"
    assert trial.account.created == 1
    assert trial.account.is_whole


def test_a_lost_answer_is_settled_by_looking_and_nothing_is_made_twice() -> None:
    platform = FakePlatform(answers=["lost after"], lag=3)
    trial = carry(plan_of([desired()]), platform)
    assert len(platform.created) == 1
    assert trial.records[ADDRESS].id == "B1"
    assert trial.account.adopted == 1


def test_a_request_that_had_no_effect_is_sent_again_with_the_same_external_id() -> None:
    platform = FakePlatform(answers=["lost before"])
    trial = carry(plan_of([desired()]), platform, settle=0.02)
    assert [call for call in platform.calls if call.startswith("create")] == [
        f"create {WHO.external_ids(ADDRESS).of(1)}"
    ] * 2
    assert trial.account.created == 1


def test_a_refusal_after_a_lost_answer_means_that_the_batch_is_there() -> None:
    platform = FakePlatform(answers=["lost after", "taken"], lag=5)
    trial = carry(plan_of([desired()]), platform, settle=0.03)
    assert len(platform.created) == 1
    assert trial.records[ADDRESS].id == "B1"


def test_a_definite_no_is_void_and_stops_nobody_else() -> None:
    platform = FakePlatform(answers=["refused"])
    trial = carry(plan_of([desired("loyalty/a"), desired("loyalty/b")]), platform)
    assert [failure.address for failure in trial.account.failures] == ["loyalty/a"]
    assert Void("loyalty/a", 1) in trial.journal.entries
    assert set(trial.records) == {"loyalty/b"}
    assert not trial.account.is_whole


@pytest.mark.parametrize("answer", ["throttled", "never sent"])
def test_what_was_never_served_is_void(answer: str) -> None:
    trial = carry(plan_of([desired()]), FakePlatform(answers=[answer]))  # type: ignore[list-item]
    assert Void(ADDRESS, 1) in trial.journal.entries
    assert trial.account.unknown == 0


def test_what_stays_without_a_verdict_is_unknown_and_its_intent_stays_open() -> None:
    platform = FakePlatform(answers=["lost before"] * 4)
    trial = carry(plan_of([desired()]), platform, settle=0.01)
    assert trial.account.unknown == 1
    assert isinstance(trial.account.failures[0].error, OutcomeUnknown)
    assert {type(entry) for entry in trial.journal.entries} == {Intent}


def test_an_open_intent_of_an_earlier_run_is_looked_for_before_anything_is_sent() -> None:
    platform = FakePlatform(batches={"B9": observed("B9")}, hidden={"B9": 2}, clock=NOW)
    trial = carry(plan_of([desired()]), platform, intents=(intent(NOW),))
    assert trial.records[ADDRESS].id == "B9"
    assert not platform.created


def test_an_open_intent_of_a_removed_address_is_not_forgotten() -> None:
    platform = FakePlatform(batches={"B9": observed("B9")}, hidden={"B9": 2}, clock=NOW)
    trial = carry(plan_of(), platform, intents=(intent(NOW),))
    assert trial.records[ADDRESS].id == "B9"


SETTLE = 30.0
OLD = NOW - int(SETTLE * 1000)


def stranger(updated: int) -> Observed:
    """Somebody else's batch, which says only how far Catalog is."""
    return replace(observed("S", external_id="theirs"), updated=updated)


@pytest.mark.parametrize("at", [0, OLD - 86_400_000, OLD, NOW + 86_400_000])
def test_settling_at_once_records_what_is_there_and_takes_no_absence_for_a_proof(at: int) -> None:
    """Whatever AEP's clock said then and says now: it may have jumped."""
    absent, there = intent(at, "loyalty/absent"), intent(at, "loyalty/there")
    batches = {"B1": observed("B1", address="loyalty/there"), "S": stranger(NOW)}
    platform = FakePlatform(batches=batches, clock=NOW)
    settled = asyncio.run(settle_at_once(platform, WHO, [absent, there], known=()))
    assert settled.undecided == (absent,)
    assert settled.entries == (Done(there.record("B1")),)


def test_in_an_outage_one_run_sends_a_create_twice_at_most() -> None:
    """504 after the effect, and Catalog lags behind for longer than the settle time."""
    platform = FakePlatform(answers=["timeout after"] * 4, lag=1_000, clock=NOW)
    trial = carry(plan_of([desired()]), platform, settle=0.02)
    assert len(platform.created) == 2
    assert trial.account.unknown == 1
    last = trial.journal.entries[-1]
    assert isinstance(last, Intent)
    assert last.in_doubt == 2


def test_a_create_that_timed_out_twice_is_sent_again_only_once_catalog_is_seen_to_be_fresh() -> None:
    open_one = replace(intent(OLD), in_doubt=2)
    for clock in (OLD + 1, None):
        lagging = FakePlatform(batches={"S": stranger(OLD)}, clock=clock)
        trial = carry(plan_of([desired()]), lagging, intents=(open_one,), settle=0.02)
        assert trial.account.unknown == 1
        assert not lagging.created
        assert trial.journal.entries == []
    fresh = FakePlatform(batches={"S": stranger(OLD + 1)}, clock=OLD + 1)
    trial = carry(plan_of([desired()]), fresh, intents=(open_one,), settle=0.02)
    assert trial.account.created == 1
    assert len(fresh.created) == 1


@pytest.mark.parametrize("clock", [None, NOW - 7_200_000, NOW, NOW + 7_200_000])
def test_what_catalog_shows_while_a_create_is_in_doubt_does_not_make_it_fresh(clock: int | None) -> None:
    """AEP's clock may be silent, or another one than that of Catalog's stamps."""
    platform = FakePlatform(batches={"S": stranger(NOW)}, answers=["timeout after"] * 4, lag=1_000, clock=clock)
    first = carry(plan_of([desired()]), platform, settle=0.02)
    (open_one,) = open_intents(State(WHO), first.journal.entries)
    assert open_one.in_doubt == 2
    again = carry(plan_of([desired()]), platform, intents=(open_one,), settle=0.02)
    assert len(platform.created) == 2
    hint = again.account.failures[0].error.hint or ""
    assert "once another batch of this sandbox was changed" in hint
    assert ("run again 0 s from now" in hint) is (clock is not None)


def test_a_create_in_doubt_is_sent_again_after_ten_settle_times_where_nothing_else_happens() -> None:
    open_one = replace(intent(OLD), in_doubt=2)
    fresh = FakePlatform(clock=NOW)
    trial = carry(plan_of([desired()]), fresh, intents=(open_one,), settle=0.02)
    assert trial.account.created == 1
    assert len(fresh.created) == 1


def test_a_create_that_died_once_is_sent_once_more() -> None:
    """A killed run: whether its request left is unknown, and in a sandbox of its own nothing newer ever shows."""
    platform = FakePlatform(answers=["lost before"] * 3, clock=NOW)
    trial = carry(plan_of([desired()]), platform, intents=(intent(OLD),), settle=0.02)
    assert len([call for call in platform.calls if call.startswith("create")]) == 1
    assert trial.account.unknown == 1


def test_a_second_request_that_never_left_leaves_the_first_in_doubt() -> None:
    platform = FakePlatform(answers=["timeout after", "never sent"], lag=1_000, clock=NOW)
    trial = carry(plan_of([desired()]), platform, settle=0.02)
    last = trial.journal.entries[-1]
    assert isinstance(last, Intent)
    assert last.in_doubt == 1


@pytest.mark.parametrize(
    "found",
    [
        observed("X", dataset="another"),
        observed("X", tags={"reconciler_project": ["other"]}),
        replace(observed("X", address="loyalty/other"), external_id=intent(0).external_id),
    ],
    ids=["dataset", "project", "address"],
)
def test_what_is_found_must_be_what_was_asked_for(found: Observed) -> None:
    platform = FakePlatform(batches={"X": found}, answers=["lost before"])
    trial = carry(plan_of([desired()]), platform, settle=0.0)
    assert "is carried by batch `X`, which" in trial.account.failures[0].error.summary
    assert not trial.records
    assert len(platform.created) == 0
    leftover = carry(plan_of(), platform, intents=(intent(0),))
    assert "is carried by batch `X`, which" in leftover.account.failures[0].error.summary
    settled = asyncio.run(settle_at_once(platform, WHO, (intent(0),), known=()))
    assert settled.undecided == (intent(0),)


@pytest.mark.parametrize("known", [recorded("loyalty/other", "B1"), recorded("loyalty/other", "Y", deposed=("B1",))])
def test_an_answer_that_names_a_known_batch_is_an_outcome_unknown(known: Record) -> None:
    platform = FakePlatform()
    trial = carry(plan_of([desired()]), platform, {known.address: known}, settle=0.0)
    assert ADDRESS not in trial.records
    assert not trial.account.created
    assert trial.account.failures


def test_two_batches_for_one_lost_answer_are_both_named() -> None:
    platform = FakePlatform(batches={"X": observed("X")}, answers=["lost after"])
    trial = carry(plan_of([desired()]), platform)
    assert "`B1`, `X`" in trial.account.failures[0].error.summary


def test_a_replacement_aborts_the_old_one_after_the_new_one_stands() -> None:
    known = recorded(spec=Spec(format="json"))
    platform = FakePlatform(batches={"B1": observed("B1")})
    platform.created.append(None)  # type: ignore[arg-type]  # B1 exists: the next one is B2
    plan = plan_of([desired(spec=Spec(format="csv"))], [known], [observed("B1")])
    trial = carry(plan, platform, {ADDRESS: known})
    kinds = [type(entry) for entry in trial.journal.entries]
    assert kinds == [Intent, Done, Done]
    after = plan.changes[0].after
    assert after is not None
    assert trial.journal.entries[1] == Done(replace(after, id="B2"))
    assert trial.records[ADDRESS].deposed == ()
    assert platform.batches["B1"].status == "aborted"


@pytest.mark.parametrize(("status", "call"), [("loading", "ABORT B1"), ("success", "REVERT B1")])
def test_a_delete_aborts_what_is_open_and_reverts_what_is_done(status: str, call: str) -> None:
    known = recorded(on_remove=OnRemove.DELETE)
    platform = FakePlatform(batches={"B1": observed("B1", status)})
    trial = carry(plan_of([], [known], [observed("B1", status)]), platform, {ADDRESS: known})
    assert call in platform.calls
    assert trial.records == {}
    assert Dropped(ADDRESS, "B1") in trial.journal.entries


def test_a_delete_that_came_in_flight_meanwhile_fails_and_the_record_stays() -> None:
    known = recorded(on_remove=OnRemove.DELETE)
    platform = FakePlatform(batches={"B1": observed("B1", "staging")})
    trial = carry(plan_of([], [known], [observed("B1")]), platform, {ADDRESS: known})
    assert trial.records == {ADDRESS: known}
    assert len(trial.account.failures) == 1


def test_forget_asks_nothing_of_aep() -> None:
    platform = FakePlatform()
    trial = carry(plan_of([], [recorded()], [observed()]), platform, {ADDRESS: recorded()})
    assert platform.calls == []
    assert trial.records == {}


def test_tags_are_changed_and_old_ones_removed() -> None:
    known = recorded(spec=Spec(tags={"old": ["x"], "team": ["a"]}))
    platform = FakePlatform(batches={"B1": observed(tags={"old": ["x"], "team": ["a"]})})
    plan = plan_of([desired(spec=Spec(tags={"team": ["b"]}))], [known], platform.batches.values())
    trial = carry(plan, platform, {ADDRESS: known})
    assert platform.calls == ["external 1", "tags B1 +team -old"]
    assert trial.records[ADDRESS].spec == Spec(tags={"team": ["b"]})


def test_tags_that_do_not_stick_are_told_once_and_never_written_again() -> None:
    want, known = desired(spec=Spec(tags={"team": ["a:b"]})), recorded()
    platform = FakePlatform(batches={"B1": observed()}, colon="_")
    trial = carry(plan_of([want], [known], [observed()]), platform, {ADDRESS: known})
    (failure,) = trial.account.failures
    assert "otherwise" in failure.error.summary
    assert "ignore: [tags]" in (failure.error.hint or "")
    kept = trial.records[ADDRESS]
    assert (kept.spec, kept.kept_tags) == (Spec(tags={"team": ["a:b"]}), {"team": ["a_b"]})
    again = plan_of([want], [kept], [platform.batches["B1"]])
    assert not again.has_changes
    assert not again.drift


def test_a_stop_lands_what_flies_and_starts_nothing_new() -> None:
    wanted = [desired(f"loyalty/b{number:03}") for number in range(100)]
    platform = FakePlatform()
    trial = carry(plan_of(wanted), platform, stop_after=5)
    assert trial.account.ending is Ending.INTERRUPTED
    assert len(trial.records) == len(platform.created) == trial.account.created < 100
    assert trial.account.skipped == 100 - trial.account.created


@dataclass
class Hanging(FakePlatform):
    """A service that never answers one create, whose batch it made."""

    stuck: str = "loyalty/b007"

    async def create(self, request: CreateRequest, *, about_to_send: Callable[[], Awaitable[None]]) -> str:
        batch = await super().create(request, about_to_send=about_to_send)
        if request.marker["reconciler_address"] == [self.stuck]:
            await asyncio.Event().wait()
        return batch


def test_after_a_stop_what_hangs_is_given_up_and_the_next_run_finds_it() -> None:
    wanted = [desired(f"loyalty/b{number:03}") for number in range(40)]
    platform = Hanging()
    trial = carry(plan_of(wanted), platform, stop_after=20, grace=0.02)
    assert trial.account.ending is Ending.INTERRUPTED
    assert [failure.address for failure in trial.account.failures if failure.unknown] == [platform.stuck]
    assert len(trial.records) == len(platform.created) - 1
    done = {entry.record.address for entry in trial.journal.entries if isinstance(entry, Done)}
    opened = [entry for entry in trial.journal.entries if isinstance(entry, Intent) and entry.address not in done]
    assert [each.address for each in opened] == [platform.stuck]
    assert set(trial.account.unlooked) == set(trial.records)


def test_a_stop_while_nothing_answers_is_an_interrupt_however_many_hang() -> None:
    @dataclass
    class Dead(FakePlatform):
        async def create(self, request: CreateRequest, *, about_to_send: Callable[[], Awaitable[None]]) -> str:
            batch = await super().create(request, about_to_send=about_to_send)
            if len(self.created) > 10:
                await asyncio.Event().wait()
            return batch

    platform = Dead()
    wanted = [desired(f"loyalty/b{number:03}") for number in range(100)]
    trial = carry(plan_of(wanted), platform, stop_after=10, grace=0.02)
    assert trial.account.ending is Ending.INTERRUPTED
    assert trial.account.unknown == len(platform.created) - len(trial.records) > 0
    assert trial.account.cause is None


def test_what_is_cut_while_it_is_written_down_counts_all_the_same() -> None:
    """The journal writes on what was given to it: the record must not be missing when the journal is cleared."""

    @dataclass
    class Slow(ListJournal):
        async def append(self, *entries: Entry) -> None:
            self.entries.extend(entries)
            if any(isinstance(entry, Done) and entry.record.address == "loyalty/a" for entry in entries):
                await asyncio.Event().wait()

    plan = plan_of([desired("loyalty/a"), desired("loyalty/b")])
    trial = carry(plan, FakePlatform(), journal=Slow(), stop_after=2, grace=0.02)
    assert trial.account.ending is Ending.INTERRUPTED
    assert set(trial.records) == {"loyalty/a", "loyalty/b"}


def test_a_broken_disk_ends_the_run_and_names_the_ids_that_it_could_not_write() -> None:
    wanted = [desired(f"loyalty/b{number:03}") for number in range(100)]
    platform = FakePlatform()
    trial = carry(plan_of(wanted), platform, journal=ListJournal(breaks_at=30))
    assert trial.account.ending is Ending.BROKEN
    assert len(platform.created) < 100
    named = {batch for _, batch in trial.account.unrecorded} | {record.id for record in trial.records.values()}
    assert named == set(platform.batches)


def test_many_addresses_go_side_by_side_but_no_wider_than_allowed() -> None:
    wanted = [desired(f"loyalty/b{number:03}") for number in range(200)]
    platform = FakePlatform()
    trial = carry(plan_of(wanted), platform)
    assert trial.account.created == 200
    assert 1 < platform.widest <= 16


@pytest.mark.parametrize(("theirs_at", "is_kept"), [(1, False), (3, True)])
def test_of_two_runs_that_raced_the_later_one_gives_its_batch_up(theirs_at: int, *, is_kept: bool) -> None:
    @dataclass
    class Racing(FakePlatform):
        """Another run's batch shows up right after ours."""

        def _make(self, request: CreateRequest) -> str:
            batch = super()._make(request)
            self.batches[batch] = replace(self.batches[batch], created=2)
            self.batches["X"] = replace(observed("X"), created=theirs_at)
            return batch

    platform = Racing()
    trial = carry(plan_of([desired()]), platform)
    assert platform.batches["B1"].status == ("loading" if is_kept else "aborted")
    assert trial.records[ADDRESS].id == ("B1" if is_kept else "X")
    assert trial.records[ADDRESS].rivals == (() if is_kept else ("B1",))
    assert platform.batches["X"].status == "loading"
    assert (trial.account.created, trial.account.adopted) == ((1, 0) if is_kept else (0, 1))


def test_rivals_are_looked_for_until_catalog_shows_our_own_batch() -> None:
    @dataclass
    class Lagging(FakePlatform):
        """Catalog shows nothing of either run at first."""

        def _make(self, request: CreateRequest) -> str:
            batch = super()._make(request)
            self.batches[batch] = replace(self.batches[batch], created=2)
            self.batches["X"] = replace(observed("X"), created=1)
            self.hidden |= {batch: 2, "X": 2}
            return batch

    platform = Lagging()
    trial = carry(plan_of([desired()]), platform)
    assert platform.batches["B1"].status == "aborted"
    assert trial.records[ADDRESS].id == "X"
    assert platform.calls.count("external 1") == 3
