"""A record is a claim: nothing is planned on a batch that is not the record's, whatever was edited in a state file."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.address import Globs
from reconciler.core.batch import Observed, OnRemove, Record, Spec
from reconciler.core.diagnostics import Place
from reconciler.core.manifests.project import Import
from reconciler.core.plans.observation import Observation
from reconciler.core.plans.planner import PlanInputs, Scope, make_plan
from reconciler.core.states.state import clashes
from tests.examples import DATASET, TODAY, WHO, desired, observed, plan_of, recorded

if TYPE_CHECKING:
    from reconciler.core.plans.plan import Change, Plan

A, B, C = "loyalty/a", "loyalty/b", "loyalty/c"
HERE = Place("manifests/loyalty.yaml", 0, ("moved", 0))
STRANGER = replace(observed("S", external_id="someone.else"), tags={})

BOTH = [observed("A1", "success", address=A), observed("B1", "success", address=B)]
SWAPPED = [recorded(A, "B1"), recorded(B, "A1")]
"""Two lines whose ids were swapped."""
RENAMED = [replace(recorded(B, "B1"), address=A), replace(recorded(A, "A1"), address=B)]
"""Two lines whose addresses were swapped: as if each batch had been moved to the place of the other."""

SCOPES = {
    "plan": Scope(),
    "--destroy": Scope(destroy=True),
    "--refresh-only": Scope(refresh_only=True),
    "--target": Scope(Globs((A,))),
    "--replace": Scope(replace=frozenset({A})),
}


def said(plan: Plan, address: str) -> str:
    (message,) = [conflict.message for conflict in plan.conflicts if conflict.address == address]
    return message


@pytest.mark.parametrize("lines", [SWAPPED, RENAMED], ids=["ids", "addresses"])
@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("declared", [[A, B], [B], []], ids=["both", "one", "none"])
def test_swapped_lines_are_a_conflict_that_names_both(lines: list[Record], scope: str, declared: list[str]) -> None:
    known = [replace(each, on_remove=OnRemove.DELETE) for each in lines]
    wanted = [
        desired(address, lifecycle=replace(desired().lifecycle, on_remove=OnRemove.DELETE)) for address in declared
    ]
    plan = plan_of(wanted, known, BOTH, scope=SCOPES[scope])
    assert "batch `B1`" in said(plan, A)
    assert f"`{B}`" in said(plan, A)
    assert not plan.changes
    assert not plan.drift


def test_swapped_addresses_are_seen_although_only_one_was_read() -> None:
    """`apply --no-refresh` reads what its changes rest on, and knows the other records."""
    inputs = PlanInputs(WHO, {}, {A: RENAMED[0]}, Observation.of(BOTH[1:]), others={B: RENAMED[1]})
    assert f"of `{B}`" in said(make_plan(inputs, today=TODAY, scope=Scope(destroy=True)), A)


def test_batches_that_were_moved_one_behind_the_other_are_none_of_it() -> None:
    moved = [replace(recorded(A, "A1"), address=B), replace(recorded(B, "B1"), address=C)]
    assert not plan_of([desired(B), desired(C)], moved, BOTH).conflicts
    later = [*BOTH, observed("A2", address=A, generation=2)]
    again = [*moved, recorded(A, "A2", generation=2)]
    assert not plan_of([desired(A), desired(B), desired(C)], again, later).conflicts


@pytest.mark.parametrize("rule", OnRemove)
def test_a_line_that_was_renamed_does_not_take_the_batch_of_a_declared_address(rule: OnRemove) -> None:
    """It would be forgotten or reverted under the other name, and the declared address would get a second batch."""
    plan = plan_of([desired(A)], [replace(recorded(A, "A1", on_remove=rule), address=B)], BOTH[:1])
    assert f"is by its tags of `{A}`" in said(plan, B)


def test_a_batch_of_another_dataset_is_a_conflict_and_no_forgetting_helps() -> None:
    plan = plan_of([], [recorded(A, "A1", dataset="another")], BOTH)
    assert f"belongs to dataset `{DATASET}`" in said(plan, A)
    assert "state rm" in plan.conflicts[0].hint


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        (replace(STRANGER, id="X"), "earlier one of this address"),
        (observed("X", address=C), "earlier one of this address"),
        (observed("X", address=A, generation=5), "is of generation 5"),
        (observed("X", "success", address=A, dataset="another"), "belongs to dataset `another`"),
    ],
)
@pytest.mark.parametrize("declared", [True, False])
def test_a_deposed_batch_must_be_an_earlier_one_of_the_address(batch: Observed, words: str, declared: bool) -> None:
    known = recorded(A, "A1", generation=2, deposed=("X",), on_remove=OnRemove.DELETE)
    plan = plan_of([desired(A)] * declared, [known], [observed("A1", address=A, generation=2), batch])
    assert words in said(plan, A)
    assert not plan.changes
    gone = replace(batch, status="aborted")
    assert not plan_of([desired(A)], [known], [observed("A1", address=A, generation=2), gone]).conflicts


def test_what_is_replayed_must_be_the_records_own() -> None:
    spec = Spec(replaces=[B])
    plan = plan_of([desired(A, spec=spec)], SWAPPED[1:], BOTH, scope=Scope(Globs((A,))))
    assert "batch `A1`" in said(plan, B)
    elsewhere = plan_of([desired(C, spec=Spec(replaces=["S"]))], [], [replace(STRANGER, datasets=frozenset({"other"}))])
    assert "belongs to dataset `other`" in said(elsewhere, C)


def test_a_batch_of_another_project_is_neither_adopted_nor_imported() -> None:
    foreign = observed("X", external_id="load", tags={"reconciler_environment": ["prod"]})
    adopted = plan_of([desired(external_id="load")], [], [foreign])
    assert "is tagged `reconciler_environment: prod`" in adopted.conflicts[0].message
    imported = plan_of([desired(C)], [], [foreign], imports=(Import(C, "X", HERE),))
    assert imported.conflicts[0].place == HERE
    assert not adopted.changes
    assert not imported.changes


def test_a_consolidation_is_followed_within_its_dataset_only() -> None:
    old = replace(observed("A1", "inactive", address=A), tags={**BOTH[0].tags, "acp_successor": ("N",)})
    new = replace(STRANGER, id="N", status="success", replay_reason="consolidation", predecessors=("A1",))
    assert not plan_of([desired(A)], [recorded(A, "A1")], [old, new]).conflicts
    assert not plan_of([desired(A)], [replace(recorded(A), id="N")], [old, new]).conflicts
    elsewhere = replace(new, datasets=frozenset({"other"}))
    assert "belongs to dataset `other`" in said(plan_of([desired(A)], [recorded(A, "A1")], [old, elsewhere]), A)
    of_others = replace(new, predecessors=("B1",))
    edited = plan_of([desired(A)], [replace(recorded(A), id="N")], [BOTH[1], of_others])
    assert "made of others" in said(edited, A)


# -- whatever is edited

OWNERS = {
    A: [observed("A1", address=A), observed("A2", "success", address=A, generation=2)],
    B: [observed("B1", "success", address=B)],
    C: [observed("C1", external_id="own.id", address=C)],
    "loyalty/legacy": [STRANGER],
}
LINES = [
    recorded(A, "A2", generation=2, deposed=("A1",), on_remove=OnRemove.DELETE),
    recorded(B, "B1", on_remove=OnRemove.DELETE),
    recorded(C, "C1", external_id="own.id", on_remove=OnRemove.DELETE),
    recorded("loyalty/legacy", "S", external_id="someone.else", on_remove=OnRemove.DELETE),
]
FOREIGN = [
    replace(STRANGER, id="F1", external_id="F1", status="success"),
    observed("F2", "success", external_id="their.id", tags={"reconciler_project": ["other"]}),
    observed("F3", "success", address=B, dataset="another"),
]
FIELDS = ["id", "external_id", "dataset", "generation", "address", "deposed", "rivals"]
EDITS = st.one_of(
    st.tuples(st.just("swap"), st.sampled_from(FIELDS), st.integers(0, 3), st.integers(0, 3)),
    st.tuples(st.just("id"), st.sampled_from(["F1", "F2", "F3", "A1", "B1"]), st.integers(0, 3), st.just(0)),
    st.tuples(st.just("deposed"), st.sampled_from(["F1", "F2", "F3", "S", "C1"]), st.integers(0, 3), st.just(0)),
)


def edited(edits: list[tuple[str, str, int, int]]) -> list[Record]:
    lines = list(LINES)
    for kind, what, one, other in edits:
        if kind == "swap":
            mine, theirs = getattr(lines[one], what), getattr(lines[other], what)
            lines[one], lines[other] = changed(lines[one], what, theirs), changed(lines[other], what, mine)
        else:
            lines[one] = changed(lines[one], kind, what if kind == "id" else (what,))
    return lines


def changed(record: Record, name: str, value: Any) -> Record:
    return replace(record, **{name: value})


def acts_on(change: Change) -> set[str]:
    """The batches that a change does something to at AEP."""
    ids = set(change.destroys)
    if change.after is not None and (change.retags or change.uploads or change.completes):
        ids.add(change.after.id)
    return ids - {""}


def test_unedited_lines_are_planned_upon() -> None:
    batches = [batch for own in OWNERS.values() for batch in own]
    plan = plan_of([], LINES, batches)
    assert not plan.conflicts
    assert {change.address: acts_on(change) for change in plan.changes} == {
        address: {batch.id for batch in own} for address, own in OWNERS.items()
    }


@given(
    st.lists(EDITS, min_size=1, max_size=3),
    st.sets(st.sampled_from(sorted(OWNERS))),
    st.sampled_from([Scope(), Scope(destroy=True), Scope(replace=frozenset(OWNERS)), Scope(Globs((A, B)))]),
)
def test_no_edit_makes_a_plan_act_on_the_batch_of_another(
    edits: list[tuple[str, str, int, int]], declared: set[str], scope: Scope
) -> None:
    lines = edited(edits)
    if clashes(lines):
        return  # refused when the file is read
    wanted = [desired(address, external_id="own.id" if address == C else None) for address in sorted(declared)]
    batches = [*FOREIGN, *(batch for own in OWNERS.values() for batch in own)]
    plan = plan_of([replace(each, spec=Spec(tags={"team": ["crm"]})) for each in wanted], lines, batches, scope=scope)
    if plan.conflicts:
        return  # refused as a whole
    for change in plan.changes:
        own = {batch.id for batch in OWNERS[change.address]}
        if change.before is not None and change.before.id == "S":
            own = {"S"}  # an imported batch has no name: where it was imported, the record alone says
        assert acts_on(change) <= own, change
