"""Folding a journal into a state: facts count once, history is harmless, and two witnesses must agree."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.errors import StateCorrupt
from reconciler.core.states.journal import Done, Dropped, Entry, Void
from reconciler.core.states.replay import open_intents, replay
from reconciler.core.states.state import State
from tests.core.states.test_journal import intent_of
from tests.examples import WHO, recorded

if TYPE_CHECKING:
    from reconciler.core.batch import Record

A, B = "loyalty/a", "loyalty/b"
A1, A2, B1 = recorded(A, "X1"), recorded(A, "X2", generation=2), recorded(B, "Y1")


def state_of(*records: Record) -> State:
    return State(WHO, {each.address: each for each in records})


ROWS: dict[str, tuple[tuple[Record, ...], tuple[Entry, ...], tuple[Record, ...]]] = {
    "a create": ((), (intent_of(A1), Done(A1)), (A1,)),
    "a create that is in the state already": ((A1,), (intent_of(A1), Done(A1)), (A1,)),
    "an adopt beside others": ((B1,), (Done(A1),), (A1, B1)),
    "an update": ((A1,), (Done(replace(A1, spec={"format": "csv"})),), (replace(A1, spec={"format": "csv"}),)),
    "a replacement": ((A1,), (intent_of(A2), Done(A2)), (A2,)),
    "a replacement that is in the state already": ((A2,), (Done(A1), intent_of(A2), Done(A2)), (A2,)),
    "history of an older generation": ((A2,), (Done(A1),), (A2,)),
    "history within the journal": ((), (Done(A2), Done(A1)), (A2,)),
    "a removal": ((A1, B1), (Dropped(A, "X1"),), (B1,)),
    "a removal of what is gone": ((B1,), (Dropped(A, "X1"),), (B1,)),
    "a removal of an earlier batch": ((A2,), (Dropped(A, "X1"),), (A2,)),
    "the same batch comes back": ((A1,), (Dropped(A, "X1"), Done(A1)), (A1,)),
    "another batch after a removal": ((A1,), (Dropped(A, "X1"), Done(replace(A1, id="X9"))), (replace(A1, id="X9"),)),
    "another batch after a removal, in the state already": (
        (replace(A1, id="X9"),),
        (Done(A1), Dropped(A, "X1"), Done(replace(A1, id="X9"))),
        (replace(A1, id="X9"),),
    ),
    "replaced, then removed": ((), (Done(A1), Done(A2), Dropped(A, "X2")), ()),
    "replaced, then removed, begun on the first": ((A1,), (Done(A2), Dropped(A, "X2")), ()),
    "a move": ((A1,), (Done(replace(A1, address=B)), Dropped(A, "X1")), (replace(A1, address=B),)),
    "a move cut in half": ((A1,), (Done(replace(A1, address=B)),), (replace(A1, address=B),)),
    "a move and a new batch at its origin": (
        (A1,),
        (Done(replace(A1, address=B)), Dropped(A, "X1"), Done(A2)),
        (A2, replace(A1, address=B)),
    ),
    "a person chose among rivals": (
        (A1,),
        (Done(replace(A1, id="X9", rivals=("X1",))),),
        (replace(A1, id="X9", rivals=("X1",)),),
    ),
    "a person chose among rivals, in the state already": (
        (replace(A1, id="X9", rivals=("X1",)),),
        (Done(A1),),
        (replace(A1, id="X9", rivals=("X1",)),),
    ),
    "the later word of one journal": ((), (Done(A1), Done(replace(A1, id="X9"))), (replace(A1, id="X9"),)),
    "nothing": ((A1, B1), (), (A1, B1)),
}


@pytest.mark.parametrize("row", ROWS)
def test_what_is_recorded_after_a_journal(row: str) -> None:
    before, entries, after = ROWS[row]
    replayed = replay(state_of(*before), entries)
    assert replayed.state == state_of(*after)
    assert replayed.open_intents == ()
    assert replay(replayed.state, entries) == replayed


OPEN: dict[str, tuple[tuple[Record, ...], tuple[Entry, ...], int]] = {
    "an intent alone": ((), (intent_of(A1),), 1),
    "one written twice": ((), (intent_of(A1), intent_of(A1, at=7)), 1),
    "done": ((), (intent_of(A1), Done(A1)), 0),
    "void": ((), (intent_of(A1), Void(A, 1)), 0),
    "void, then tried again": ((), (intent_of(A1), Void(A, 1), intent_of(A1)), 1),
    "another generation is void": ((), (intent_of(A2), Void(A, 1)), 1),
    "another generation is done": ((), (intent_of(A2), Done(A1)), 1),
    "a later generation is done": ((), (intent_of(A1), Done(A2)), 0),
    "done before it": ((), (Done(A1), Dropped(A, "X1"), intent_of(A1)), 1),
    "another address is done": ((), (intent_of(A1), Done(B1)), 1),
    "the old batch is recorded": ((A1,), (intent_of(A2),), 1),
    "the state has it already": ((A2,), (intent_of(A2),), 0),
    "the state is further": ((A2,), (intent_of(A1),), 0),
    "two at one address": ((), (intent_of(A2), intent_of(A1)), 2),
}


@pytest.mark.parametrize("row", OPEN)
def test_which_intents_stay_open(row: str) -> None:
    before, entries, count = OPEN[row]
    replayed = replay(state_of(*before), entries)
    assert len(replayed.open_intents) == count
    assert replay(replayed.state, entries) == replayed
    assert open_intents(replayed.state, entries) == replayed.open_intents
    assert list(replayed.open_intents) == sorted(replayed.open_intents, key=lambda i: (i.address, i.generation))


def test_the_later_of_two_equal_intents_counts() -> None:
    (found,) = replay(state_of(), [intent_of(A1, at=1), intent_of(A1, at=2)]).open_intents
    assert found.at == 2


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (Done(replace(B1, id="X1")), "batch `X1`: the state has it at `loyalty/a`"),
        (Done(replace(A1, dataset="another")), "in dataset"),
        (Done(replace(A1, address="loyalty/c", external_id="E")), "the journal at `loyalty/c` with `E`"),
        (
            Done(recorded("loyalty/c", "Z", deposed=("X1",))),
            "id `X1` is at `loyalty/a` and in `deposed` of `loyalty/c`",
        ),
        (Done(replace(A1, address="loyalty/c", id="Z")), "external id"),
    ],
)
def test_an_entry_that_names_the_batch_of_another_record_contradicts_it(entry: Done, said: str) -> None:
    with pytest.raises(StateCorrupt) as caught:
        replay(state_of(A1), [entry])
    assert said in (caught.value.detail or "")


def test_contradictions_name_both_and_come_all_at_once() -> None:
    entries = [Done(replace(A1, id="X9")), Done(replace(B1, id="Y9"))]
    with pytest.raises(StateCorrupt) as caught:
        replay(state_of(A1, B1), entries)
    assert caught.value.detail == (
        "generation 1 at `loyalty/a`: the state has batch `X1`, the journal batch `X9`\n"
        "generation 1 at `loyalty/b`: the state has batch `Y1`, the journal batch `Y9`"
    )
    assert caught.value.hint


FACTS = st.builds(
    Done,
    st.builds(
        recorded,
        st.sampled_from([A, B, "loyalty/c"]),
        st.sampled_from("pqrs"),
        generation=st.integers(1, 3),
        rivals=st.sampled_from([(), ("p",), ("q", "r")]),
    ),
) | st.builds(Dropped, st.sampled_from([A, B, "loyalty/c"]), st.sampled_from("pqrs"))
INTENTIONS = st.builds(
    intent_of, st.builds(recorded, st.sampled_from([A, B]), generation=st.integers(1, 3))
) | st.builds(Void, st.sampled_from([A, B]), st.integers(1, 3))


@given(st.lists(FACTS | INTENTIONS, max_size=6), st.lists(FACTS | INTENTIONS, max_size=10))
def test_folding_twice_changes_nothing(earlier: list[Entry], entries: list[Entry]) -> None:
    try:
        before = replay(state_of(), earlier).state
        replayed = replay(before, entries)
    except StateCorrupt:
        return
    assert replay(replayed.state, entries) == replayed
    ids = [record.id for record in replayed.state.records.values()]
    assert len(ids) == len(set(ids))
    assert all(address == record.address for address, record in replayed.state.records.items())


@dataclass
class Run:
    """What engines do to their records, entry by entry, over several runs that never cleared the journal."""

    records: dict[str, Record] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    made: int = 0

    def create(self, address: str) -> None:
        self.made += 1
        record = recorded(address, f"N{self.made}", generation=self.made)  # no external id is used twice
        self.entries += [intent_of(record), Done(record)]
        self.records[address] = record

    def drop(self, address: str) -> None:
        there = self.records.pop(address, None)
        if there is not None:
            self.entries.append(Dropped(address, there.id))

    def move(self, origin: str, target: str) -> None:
        if origin in self.records and target not in self.records:
            there = replace(self.records.pop(origin), address=target)
            self.entries += [Done(there), Dropped(origin, there.id)]
            self.records[target] = there

    def update(self, address: str) -> None:
        if address in self.records:
            self.records[address] = replace(self.records[address], spec={"format": f"f{len(self.entries)}"})
            self.entries.append(Done(self.records[address]))


PLACES = st.sampled_from([A, B, "loyalty/c"])
STEPS = st.one_of(
    st.tuples(st.just(Run.create), PLACES),
    st.tuples(st.just(Run.drop), PLACES),
    st.tuples(st.just(Run.move), PLACES, PLACES),
    st.tuples(st.just(Run.update), PLACES),
)


@given(st.lists(STEPS, max_size=6), st.lists(STEPS, max_size=12))
def test_a_fold_is_what_the_engine_did(earlier: list[tuple[object, ...]], steps: list[tuple[object, ...]]) -> None:
    run = Run()
    for step, *places in earlier:
        assert callable(step)
        step(run, *places)
    before, run.entries = state_of(*run.records.values()), []
    for step, *places in steps:
        assert callable(step)
        step(run, *places)
    after = state_of(*run.records.values())
    assert replay(before, run.entries).state == after
    assert replay(after, run.entries).state == after
    assert replay(after, run.entries).open_intents == ()
