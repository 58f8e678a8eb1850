"""Merging two histories of a state: facts are joined, contradictions named, and the sides are equals."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.batch import OnRemove, Record
from reconciler.core.errors import StateMismatch
from reconciler.core.states.merge import merge
from reconciler.core.states.state import State, dump, parse
from tests.examples import WHO, recorded

A, B, C = "loyalty/a", "loyalty/b", "loyalty/c"
A1, A2, B1, C1 = recorded(A, "X1"), recorded(A, "X2", generation=2), recorded(B, "Y1"), recorded(C, "Z1")
YIELDED = replace(A1, rivals=("X9",))
TAGGED = replace(A1, spec={"tags": {"team": ["crm"]}})


def state_of(*records: Record) -> State:
    return State(WHO, {each.address: each for each in records})


Side = tuple[Record, ...]
JOINED: dict[str, tuple[Side, Side, Side, Side]] = {
    "both add": ((A1,), (A1, B1), (A1, C1), (A1, B1, C1)),
    "both add the same": ((), (A1,), (A1,), (A1,)),
    "one removes, one adds": ((A1,), (), (A1, B1), (B1,)),
    "both remove": ((A1, B1), (B1,), (B1,), (B1,)),
    "each removes another": ((A1, B1), (B1,), (A1,), ()),
    "one replaces": ((A1,), (A2,), (A1,), (A2,)),
    "both replace by the same": ((A1,), (A2,), (A2,), (A2,)),
    "one updates, one adds": ((A1,), (TAGGED,), (A1, B1), (TAGGED, B1)),
    "one moves": ((A1,), (replace(A1, address=C),), (A1, B1), (replace(A1, address=C), B1)),
    "two runs raced and one gave up": ((), (A1,), (YIELDED,), (YIELDED,)),
    "one run gave up what the other still records": ((), (replace(A1, id="X9"),), (YIELDED,), (YIELDED,)),
    "both gave something up": (
        (),
        (replace(A1, rivals=("X8",)),),
        (YIELDED,),
        (replace(A1, rivals=("X8", "X9")),),
    ),
    "nothing happens": ((A1,), (A1,), (A1,), (A1,)),
}


@pytest.mark.parametrize("row", JOINED)
def test_facts_of_both_sides_are_joined(row: str) -> None:
    base, ours, theirs, merged = (state_of(*side) for side in JOINED[row])
    assert merge(base, ours, theirs) == merged
    assert merge(base, theirs, ours) == merged


REFUSED: dict[str, tuple[Side, Side, Side, str]] = {
    "two batches at one generation": (
        (),
        (A1,),
        (replace(A1, id="X9"),),
        "`loyalty/a`: ours has batch `X1` of generation 1, theirs has batch `X9` of generation 1",
    ),
    "two generations": (
        (A1,),
        (A2,),
        (replace(A2, id="X3", generation=3),),
        "`loyalty/a`: ours has batch `X2` of generation 2, theirs has batch `X3` of generation 3",
    ),
    "removed and changed": (
        (A1,),
        (),
        (A2,),
        "`loyalty/a`: ours removed it, theirs has batch `X2` of generation 2",
    ),
    "one batch, two facts": (
        (A1,),
        (TAGGED,),
        (replace(A1, on_remove=OnRemove.DELETE, spec={"format": "csv"}),),
        "`loyalty/a`: batch `X1` on both sides, but they differ in on_remove, spec",
    ),
    "one batch moved to two addresses": (
        (A1,),
        (replace(A1, address=B),),
        (replace(A1, address=C),),
        f"id `X1` is at `loyalty/b` and `loyalty/c`\nexternal id `{A1.external_id}` is at `loyalty/b` and `loyalty/c`",
    ),
    "two at once": (
        (),
        (A1, B1),
        (replace(A1, id="X9"), replace(B1, id="Y9")),
        (
            "`loyalty/a`: ours has batch `X1` of generation 1, theirs has batch `X9` of generation 1\n"
            "`loyalty/b`: ours has batch `Y1` of generation 1, theirs has batch `Y9` of generation 1"
        ),
    ),
}


@pytest.mark.parametrize("row", REFUSED)
def test_a_contradiction_is_refused_and_names_both(row: str) -> None:
    base, ours, theirs, said = REFUSED[row]
    with pytest.raises(StateMismatch) as caught:
        merge(state_of(*base), state_of(*ours), state_of(*theirs))
    assert caught.value.detail == said
    assert caught.value.hint


def test_without_a_common_ancestor_only_additions_and_agreement_are_joined() -> None:
    assert merge(None, state_of(A1, B1), state_of(A1, C1)) == state_of(A1, B1, C1)
    with pytest.raises(StateMismatch):
        merge(None, state_of(A1), state_of(TAGGED))


@pytest.mark.parametrize("field", ["project", "environment", "org", "sandbox"])
def test_states_of_different_environments_are_not_merged(field: str) -> None:
    changed = {name: getattr(WHO, name) for name in WHO.__slots__} | {field: "other"}
    other = State(type(WHO)(**changed))
    for base, ours, theirs in ((None, state_of(), other), (other, state_of(), state_of())):
        with pytest.raises(StateMismatch, match="different environments"):
            merge(base, ours, theirs)


SIDES = st.lists(st.sampled_from([A1, A2, TAGGED, B1, C1, replace(C1, address="loyalty/d")]), max_size=4).map(
    lambda records: state_of(*records)
)


@given(SIDES, SIDES)
def test_one_changed_side_wins_whole(base: State, changed: State) -> None:
    try:
        dump(changed)
    except StateMismatch:
        return
    assert merge(base, changed, base) == changed
    assert merge(base, base, changed) == changed


@given(SIDES, SIDES, SIDES)
def test_the_sides_are_equals_and_the_result_can_be_read(base: State, ours: State, theirs: State) -> None:
    try:
        merged = merge(base, ours, theirs)
    except StateMismatch:
        with pytest.raises(StateMismatch):
            merge(base, theirs, ours)
        return
    assert merge(base, theirs, ours) == merged
    assert parse(dump(merged), WHO, "state/dev.jsonl") == merged
