"""Runs that race for one address: of all that they create one is completed, or a line names what to decide."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from reconciler.apply.engine import carry_out
from reconciler.apply.ledger import Ledger
from reconciler.apply.rivals import Standing, place_of
from reconciler.apply.run import Run, Slots, Stop
from reconciler.apply.settling import MOST_IN_DOUBT
from reconciler.core.batch import Stage
from reconciler.core.pace import Pace
from reconciler.core.plans.content import content_tag
from reconciler.core.plans.plan import Action
from reconciler.core.states.replay import replay
from reconciler.core.states.state import State
from reconciler.ports import Platform
from tests.examples import ADDRESS, WHO, observed, plan_of, recorded
from tests.shell.fake_platform import FakePlatform
from tests.shell.test_engine import ListJournal
from tests.shell.test_loading import FILES, Memory, wanted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from reconciler.core.batch import Desired, File, Observed, Record
    from reconciler.core.plans.events import Account
    from reconciler.ports import CreateRequest, Verb


def batch(name: str, created: int | None, status: str = "loading") -> Observed:
    return replace(observed(name, status), created=created)


STRANGER = replace(observed("B1"), external_id="else.1", tags={})


@pytest.mark.parametrize(
    ("batches", "standing", "kept"),
    [
        ([], Standing.HIDDEN, None),
        ([batch("X", 1)], Standing.HIDDEN, None),
        ([STRANGER], Standing.MISTAKEN, None),
        ([STRANGER, batch("X", 1)], Standing.MISTAKEN, "X"),
        ([STRANGER, batch("X", 1), batch("Y", 1)], Standing.MISTAKEN, None),
        ([replace(STRANGER, external_id="B1", tags=batch("B1", 1).tags)], Standing.HIDDEN, None),
        ([batch("B1", 2)], Standing.ALONE, None),
        ([batch("B1", 2), batch("X", 1, "aborted")], Standing.ALONE, None),
        ([batch("B1", 2), batch("X", 1, "failed")], Standing.ALONE, None),
        ([batch("B1", 2), replace(batch("X", 1), datasets=frozenset({"other"}))], Standing.ALONE, None),
        ([batch("B1", 2), batch("R", 1)], Standing.ALONE, None),  # a person decided against R
        ([batch("B1", 2), batch("X", 3)], Standing.FIRST, None),
        ([batch("B1", 2), batch("X", 1)], Standing.SECOND, "X"),
        ([batch("B1", 2), batch("A", 2)], Standing.SECOND, "A"),
        ([batch("B1", 2), batch("X", 1), batch("A", 0)], Standing.SECOND, "A"),
        ([batch("B1", 2), batch("X", 3, "loaded"), batch("A", 0)], Standing.SECOND, "X"),
        ([batch("B1", 2), batch("X", 3, "success"), batch("Y", 4, "staging")], Standing.UNDECIDED, None),
        ([batch("B1", 2), batch("X", None)], Standing.UNDECIDED, None),
        ([batch("B1", 2, "loaded"), batch("X", 1)], Standing.FIRST, None),
        ([batch("B1", 2, "loaded"), batch("X", 1, "success")], Standing.UNDECIDED, None),
    ],
)
def test_where_a_batch_stands(batches: list[Observed], standing: Standing, kept: str | None) -> None:
    listed = [each for each in batches if each.external_id == recorded().external_id]
    named = next((each for each in batches if each.id == "B1"), None)
    place = place_of(WHO, replace(recorded(), rivals=("R",)), listed, named)
    assert place.standing is standing
    assert (place.kept.id if place.kept else None) == kept


@dataclass
class Racing(FakePlatform):
    """Catalog shows what was created in the order in which it was, some looks late; COMPLETE takes its time."""

    unhelpful: bool = False
    """Whether it does not say when a batch was created."""

    def _make(self, request: CreateRequest) -> str:
        name = super()._make(request)
        self.batches[name] = replace(self.batches[name], created=None if self.unhelpful else len(self.created))
        return name

    async def batches_by_external_id(self, external_ids: Collection[str]) -> list[Observed]:
        await asyncio.sleep(0.001)
        return await super().batches_by_external_id(external_ids)

    @property
    def completed(self) -> list[str]:
        return [call.split()[1] for call in self.calls if call.startswith("COMPLETE")]


@dataclass
class Raced:
    """One of the runs."""

    account: Account
    records: dict[str, Record] = field(default_factory=dict)


def race(
    platform: FakePlatform, runs: int, declared: Desired, settle: float = 1.0, journal: ListJournal | None = None
) -> list[Raced]:
    """Run the same plan, made before any of them began, side by side."""
    plan = plan_of([declared])

    async def one() -> Raced:
        stop, records = Stop(), dict[str, "Record"]()
        pace = Pace(parallelism=2, settle=settle, first_look=0.005)
        slots = Slots(pace.parallelism, stop)
        ledger = Ledger(journal or ListJournal(), records)
        connected = Platform(platform, platform)
        run = Run(WHO, connected, ledger, lambda _: None, stop, slots, pace, contents=Memory())
        return Raced(await carry_out(plan, run), records)

    async def main() -> list[Raced]:
        return await asyncio.gather(*(one() for _ in range(runs)))

    return asyncio.run(main())


@pytest.mark.parametrize("lag", [0, 7])
@pytest.mark.parametrize("runs", [2, 3, 5])
def test_runs_that_race_with_files_complete_one_batch(runs: int, lag: int) -> None:
    platform = Racing(lag=lag)
    ended = race(platform, runs, wanted(*FILES))
    assert len(platform.created) == runs
    assert platform.completed == ["B1"]
    assert set(platform.files["B1"]) == {file.name for file in FILES}
    assert [each.account.is_whole for each in ended] == [True] * runs
    assert {each.records[ADDRESS].id for each in ended} == {"B1"}
    assert {each.records[ADDRESS].stage for each in ended} == {Stage.COMPLETED}
    assert sum(each.account.yielded for each in ended) == runs - 1
    assert sum(each.account.created for each in ended) == 1


@pytest.mark.parametrize("runs", [2, 3, 5])
def test_runs_that_race_without_completing_keep_one_batch(runs: int) -> None:
    platform = Racing(lag=3)
    ended = race(platform, runs, wanted(*FILES[:1], complete=False))
    assert {each.records[ADDRESS].id for each in ended} == {"B1"}
    assert [name for name, each in platform.batches.items() if each.status == "loading"] == ["B1"]
    assert all(each.account.is_whole for each in ended)
    yielded = [each.records[ADDRESS] for each in ended if each.account.yielded]
    assert all(record.files == () for record in yielded)  # theirs is filled by the other run, or by the next one


def test_where_catalog_does_not_say_who_was_first_nothing_is_completed_and_both_are_named() -> None:
    platform = Racing(unhelpful=True)
    ended = race(platform, 2, wanted(FILES[0]), settle=0.05)
    assert platform.completed == []
    for each in ended:
        assert {"`B1`, `B2`" in failure.error.summary for failure in each.account.failures} == {True}
        assert not each.account.is_whole


def test_a_pair_that_is_completed_already_is_named() -> None:
    platform = Racing()
    platform.batches["X"] = batch("X", 0, "loaded")
    platform.hidden["X"] = 2  # shown after our own: too late
    (ended,) = race(platform, 1, wanted(FILES[0]), settle=0.05)
    assert platform.completed == ["B1"]
    assert "`B1`, `X`" in ended.account.failures[0].error.summary
    assert not ended.account.is_whole


def test_a_rival_that_died_with_its_batch_open_is_named_by_the_first_and_adopted_by_the_second() -> None:
    later = Racing()
    later.batches["X"] = batch("X", 99)
    (first,) = race(later, 1, wanted(FILES[0]), settle=0.05)
    assert later.completed == []
    assert "`B1`, `X`" in first.account.failures[0].error.summary
    earlier = Racing()
    earlier.batches["X"] = batch("X", 0)
    (second,) = race(earlier, 1, wanted(FILES[0]), settle=0.05)
    assert earlier.completed == []
    assert earlier.batches["B1"].status == "aborted"
    assert "`X` first" in second.account.failures[0].error.summary
    record = second.records[ADDRESS]
    assert (record.id, record.files, record.stage, record.rivals) == ("X", (), Stage.OPEN, ("B1",))
    again = plan_of([wanted(FILES[0])], [record], earlier.batches.values())
    assert not again.conflicts
    assert again.changes[0].completes
    assert again.changes[0].uploads == FILES[:1]


def test_what_catalog_never_shows_is_not_completed() -> None:
    platform = Racing(lag=1_000)
    (ended,) = race(platform, 1, wanted(FILES[0]), settle=0.05)
    assert platform.completed == []
    assert "does not show batch `B1` yet" in ended.account.failures[0].error.summary
    assert ended.account.unlooked == [ADDRESS]
    assert ended.records[ADDRESS].files == FILES[:1]


def test_a_batch_that_is_second_gets_no_files() -> None:
    platform = Racing()
    platform.batches["X"] = batch("X", 0, "loaded")
    (ended,) = race(platform, 1, wanted(FILES[0]))
    assert platform.files == {}
    assert platform.batches["B1"].status == "aborted"
    assert ended.records[ADDRESS].id == "X"
    assert ended.account.is_whole


def test_the_search_at_the_end_gives_every_batch_its_time_whatever_aborting_costs() -> None:
    """Aborts go side by side, and only pauses count."""

    @dataclass
    class Slow(Racing):
        side_by_side: int = 0
        most: int = 0

        async def act(self, batch: str, verb: Verb, *, in_doubt: bool = False) -> None:
            self.side_by_side += 1
            self.most = max(self.most, self.side_by_side)
            await asyncio.sleep(0.05)
            self.side_by_side -= 1
            await super().act(batch, verb, in_doubt=in_doubt)

    platform = Slow(lag=6)
    names = [f"loyalty/b{number:02}" for number in range(30)]
    for number, name in enumerate(names):
        platform.batches[f"X{number}"] = replace(observed(f"X{number}", address=name), created=0)
        platform.hidden[f"X{number}"] = 1 + number % 6
    plan = plan_of([wanted(address=name, complete=False) for name in names])

    async def main() -> Account:
        stop, pace = Stop(), Pace(parallelism=4, settle=0.3, first_look=0.005)
        ledger = Ledger(ListJournal(), {})
        run = Run(WHO, Platform(platform, platform), ledger, lambda _: None, stop, Slots(4, stop), pace)
        return await carry_out(plan, run)

    account = asyncio.run(main())
    assert account.yielded == len(names)
    assert not account.unlooked
    assert platform.most > 1


@dataclass
class Misleading(Racing):
    """Answers the first create with the id of a batch of another hand."""

    async def create(self, request: CreateRequest, *, about_to_send: Callable[[], Awaitable[None]]) -> str:
        await super().create(request, about_to_send=about_to_send)
        return "X"


@pytest.mark.parametrize("lag", [0, 2, 1_000])
@pytest.mark.parametrize("files", [FILES[:1], ()])
def test_a_batch_that_an_answer_named_by_mistake_is_not_kept(lag: int, files: tuple[File, ...]) -> None:
    """Where the one that was made is shown it is recorded; else its create is in doubt again."""
    platform = Misleading(lag=lag)
    platform.batches["X"] = replace(STRANGER, id="X")
    declared = wanted(*files, complete=bool(files))
    journal = ListJournal()
    (ended,) = race(platform, 1, declared, settle=0.05, journal=journal)
    assert not [call for call in platform.calls if " X" in call]
    (failure,) = ended.account.failures
    assert "`X`, which is another one" in failure.error.summary
    known = replay(State(WHO), journal.entries)
    if lag == 1_000:
        assert failure.unknown
        assert not ended.records
        assert [intent.in_doubt for intent in known.open_intents] == [MOST_IN_DOUBT]
    else:
        assert ended.records[ADDRESS].id == "B1"
        assert not ended.records[ADDRESS].files
        assert not known.open_intents
    assert dict(known.state.records) == ended.records


@pytest.mark.parametrize("status", ["loading", "success"])
def test_a_rival_that_was_made_for_other_files_is_not_taken_to_hold_these(status: str) -> None:
    platform = Racing()
    first = batch("X", 0, status)
    tags = {name: tuple(values) for name, values in content_tag(FILES[1:]).items()}
    platform.batches["X"] = replace(first, tags={**first.tags, **tags})
    (ended,) = race(platform, 1, wanted(FILES[0]), settle=0.02)
    assert platform.batches["B1"].status == "aborted"
    assert "with these files" in ended.account.failures[0].error.summary
    record = ended.records[ADDRESS]
    assert (record.id, record.files, record.stage) == ("X", (), Stage.OPEN)
    again = plan_of([wanted(FILES[0])], [record], platform.batches.values())
    assert [change.action for change in again.changes] == [Action.REPLACE]
