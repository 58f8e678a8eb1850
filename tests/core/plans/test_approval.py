"""That or less, never more: what a half-finished apply leaves may be finished, everything else is refused."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.core.batch import Lifecycle, Observed, OnRemove, Record, Spec, StatusClass
from reconciler.core.diagnostics import Place
from reconciler.core.errors import Refused, SettingsInvalid
from reconciler.core.manifests.project import Import, Move
from reconciler.core.plans.approval import compare, is_no_more, require_digest, require_flags
from reconciler.core.plans.plan import Action, Change, Plan, Withdrawal, WithdrawVerb
from reconciler.core.plans.planfile import parse_plan
from reconciler.core.plans.planner import Scope
from reconciler.views.plan_json import dump_plan
from tests.core.plans.test_planfile import mutated
from tests.examples import WHO, desired, observed, plan_of, recorded
from tests.golden.plans.examples import EXAMPLES, days, every_action

if TYPE_CHECKING:
    from reconciler.core.batch import Desired

PLACE = Place("manifests/loyalty.yaml", 0, ())
A = "loyalty/daily"


def approved(plan: Plan) -> Plan:
    """As it comes out of a plan file."""
    return parse_plan(dump_plan(plan).encode())


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_same_plan_is_allowed(name: str) -> None:
    plan = EXAMPLES[name]()
    comparison = compare(approved(plan), plan)
    assert comparison.allowed is plan
    assert comparison.no_longer_needed == ()


def test_what_is_no_longer_needed_is_named() -> None:
    before = plan_of([desired("l/a"), desired("l/b")])
    after = plan_of([desired("l/a"), desired("l/b")], [recorded("l/a")], [observed(address="l/a")])
    assert compare(approved(before), after).no_longer_needed == ("l/a",)


# -- the world, and an apply that may end anywhere


@dataclass(slots=True)
class World:
    """Manifests, state and Catalog, and how an apply changes the latter two."""

    wanted: list[Desired]
    records: dict[str, Record]
    seen: dict[str, Observed]

    def plan(self) -> Plan:
        return plan_of(
            self.wanted,
            self.records.values(),
            self.seen.values(),
            moves=(Move("l/from", "l/to", PLACE), Move("l/from-other", "l/to-other", PLACE)),
            imports=(Import("l/imported", "LEGACY", PLACE),),
        )

    def carry_out(self, change: Change, steps: int) -> None:
        """The first steps of a change: 1 create or retag, 2 record, 3 withdraw the first, 4 the others, 5 the rest."""
        after = change.after
        if after is not None and change.creates:
            after = replace(after, id=f"NEW-{change.address}-{after.generation}")
            if steps >= 1:
                self._exists(after, change.predecessors)
        elif after is not None and change.retags and steps >= 1:
            tags = {name: tuple(values) for name, values in after.spec.get("tags", {}).items()}
            self.seen[after.id] = replace(self.seen[after.id], tags={**self.seen[after.id].tags, **tags})
        if steps >= 2 and after is not None:
            self.records.pop(change.previous_address or "", None)
            self.records[change.address] = after
        for number, batch in enumerate(change.withdraw):
            if steps >= 3 + bool(number):
                self._withdraw(batch.id)
        if steps >= 5:
            if after is None:
                self.records.pop(change.address, None)
            else:
                self.records[change.address] = replace(after, deposed=())

    def _exists(self, record: Record, predecessors: tuple[str, ...]) -> None:
        made = observed(
            record.id,
            address=record.address,
            external_id=record.external_id,
            dataset=record.dataset,
            tags=record.spec.get("tags"),
            format=record.spec.get("format"),
            predecessors=predecessors,
        )
        self.seen[record.id] = made

    def _withdraw(self, batch: str) -> None:
        if batch in self.seen:
            status = "aborted" if self.seen[batch].status_class is StatusClass.OPEN else "deleted"
            self.seen[batch] = replace(self.seen[batch], status=status)


def world() -> World:
    """One address for each way in which a change can be left half done."""
    json = Spec(format="json", tags={"team": ["crm"]})
    deleted = OnRemove.DELETE
    wanted = [
        *(desired(f"l/{name}", spec=json) for name in ("fresh", "open", "done", "again", "to-other", "deposed")),
        *(desired(f"l/{name}") for name in ("lost", "imported", "to")),
        desired("l/tagged", spec=Spec(tags={"team": ["crm"]})),
        desired("l/rules", lifecycle=Lifecycle(on_remove=deleted)),
    ]
    known = [
        recorded("l/open", "OPEN"),
        recorded("l/done", "DONE"),
        recorded("l/again", "ABORTED", spec=json),
        recorded("l/from", "MOVED"),
        recorded("l/from-other", "OTHER"),
        recorded("l/tagged", "TAGGED"),
        recorded("l/rules", "RULES"),
        recorded("l/deposed", "SECOND", generation=2, spec=json, deposed=("FIRST",)),
        recorded("l/forgotten", "FORGOTTEN"),
        recorded("l/deleted", "DELETED", on_remove=deleted),
        recorded("l/both", "NEWER", generation=2, on_remove=deleted, deposed=("OLDER",)),
    ]
    seen = {each.id: observed(each.id, address=each.address, external_id=each.external_id) for each in known}
    seen["SECOND"] = replace(seen["SECOND"], format="json", tags={**seen["SECOND"].tags, "team": ("crm",)})
    seen["DONE"] = replace(seen["DONE"], status="success")
    seen["ABORTED"] = replace(seen["ABORTED"], status="aborted")
    seen["FIRST"] = observed("FIRST", address="l/deposed")
    seen["OLDER"] = observed("OLDER", address="l/both")
    seen["LOST"] = observed("LOST", address="l/lost")
    seen["LEGACY"] = replace(observed("LEGACY", external_id="LEGACY"), tags={})
    return World(wanted, {each.address: each for each in known}, seen)


ADDRESSES = [change.address for change in world().plan().changes]


def test_the_world_knows_every_action() -> None:
    assert {change.action for change in world().plan().changes} == set(Action)


@settings(max_examples=300)
@given(st.lists(st.integers(0, 5), min_size=len(ADDRESSES), max_size=len(ADDRESSES)))
def test_a_half_finished_apply_may_be_finished(steps: list[int]) -> None:
    """Wherever each address stopped, what is left is allowed, and doing it leaves nothing."""
    scene = world()
    first = scene.plan()
    reviewed = approved(first)
    for change, reached in zip(first.changes, steps, strict=True):
        scene.carry_out(change, reached)
    left = scene.plan()
    comparison = compare(reviewed, left)
    assert {*comparison.no_longer_needed} == {*ADDRESSES} - {change.address for change in left.changes}
    for change in comparison.allowed.changes:
        scene.carry_out(change, 5)
    assert not scene.plan().changes


def sent(change: Change) -> list[Withdrawal]:
    """What is asked of AEP for batches that go."""
    return [each for each in change.withdraw if each.verb is not WithdrawVerb.NONE]


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("steps", range(6))
def test_what_is_left_withdraws_and_creates_nothing_else(address: str, steps: int) -> None:
    scene = world()
    first = {change.address: change for change in scene.plan().changes}
    scene.carry_out(first[address], steps)
    for change in scene.plan().changes:
        if change.address == address:
            assert set(sent(change)) <= set(sent(first[address]))
            assert change.creates <= first[address].creates


# -- more than was approved


def change_of(plan: Plan) -> Change:
    (change,) = plan.changes
    return change


CREATE = plan_of([desired(A)])
REPLACE = plan_of([desired(A, spec=Spec(format="json"))], [recorded(A, "B1")], [observed("B1", address=A)])
UPDATE = plan_of(
    [desired(A, spec=Spec(tags={"t": ["new"]}))],
    [recorded(A, "B1", spec=Spec(tags={"t": ["old"]}))],
    [observed("B1", address=A, tags={"t": ["old"]})],
)
DELETE = plan_of([], [recorded(A, "B1", on_remove=OnRemove.DELETE)], [observed("B1", address=A)])
FORGET = plan_of([], [recorded(A, "B1")], [observed("B1", address=A)])
ADOPT = plan_of([desired(A)], [], [observed("B9", address=A)])

MORE = {
    "a create that nobody approved": (plan_of(), CREATE),
    "another format": (CREATE, plan_of([desired(A, spec=Spec(format="csv"))])),
    "another dataset": (CREATE, plan_of([desired(A, dataset="elsewhere")])),
    "another tag": (CREATE, plan_of([desired(A, spec=Spec(tags={"t": ["x"]}))])),
    "another rule for its removal": (CREATE, plan_of([desired(A, lifecycle=Lifecycle(on_remove=OnRemove.DELETE))])),
    "a delete where a forget was approved": (FORGET, DELETE),
    "a delete of another batch": (
        DELETE,
        plan_of([], [recorded(A, "B2", on_remove=OnRemove.DELETE)], [observed("B2", address=A)]),
    ),
    "a forget of another batch": (
        DELETE,
        plan_of([], [recorded(A, "B2", on_remove=OnRemove.DELETE)], [observed("B2", "aborted", address=A)]),
    ),
    "a forget where a replacement was approved": (REPLACE, FORGET),
    "a replacement where a create was approved": (CREATE, REPLACE),
    "a create where an adoption was approved": (ADOPT, CREATE),
    "an adoption of another batch": (ADOPT, plan_of([desired(A)], [], [observed("B8", address=A)])),
    "an adoption in place of an update": (UPDATE, ADOPT),
    "a replay of a batch that has data meanwhile": (
        REPLACE,
        plan_of([desired(A, spec=Spec(format="json"))], [recorded(A, "B1")], [observed("B1", "success", address=A)]),
    ),
    "a tag removed that was not there when it was reviewed": (
        UPDATE,
        plan_of(
            [desired(A, spec=Spec(tags={"t": ["new"]}))],
            [recorded(A, "B1", spec=Spec(tags={"t": ["old"], "more": ["x"]}))],
            [observed("B1", address=A, tags={"t": ["old"], "more": ["x"]})],
        ),
    ),
    "a later generation": (
        CREATE,
        plan_of([desired(A)], [recorded(A, "B1")], [observed("B1", "aborted", address=A)]),
    ),
    "a batch found with another format": (
        plan_of([desired(A, spec=Spec(format="json"))]),
        plan_of([desired(A, spec=Spec(format="json"))], [], [observed("B1", address=A, format="csv")]),
    ),
    "a batch found with other tags": (
        plan_of([desired(A, spec=Spec(tags={"t": ["x"]}))]),
        plan_of([desired(A, spec=Spec(tags={"t": ["x"]}))], [], [observed("B1", address=A, tags={"t": ["y"]})]),
    ),
}


@pytest.mark.parametrize("name", MORE)
def test_more_is_refused_and_shown(name: str) -> None:
    reviewed, now = MORE[name]
    assert len(now.changes) == 1
    with pytest.raises(Refused, match="beyond what was approved") as raised:
        compare(approved(reviewed), now)
    assert A in (raised.value.detail or "")
    assert raised.value.hint


def test_an_approved_replacement_may_end_as_a_create_when_the_old_batch_went_by_itself() -> None:
    wanted = [desired(A, spec=Spec(format="json"))]
    now = plan_of(wanted, [recorded(A, "B1")], [observed("B1", "aborted", address=A)])
    assert change_of(now).action is Action.CREATE
    assert compare(approved(REPLACE), now).allowed is now


def test_the_difference_is_folded_and_cut() -> None:
    many = plan_of([desired(f"l/{name}/{day}") for name in "abcdefghijklmnopqrstuvwxyz" for day in days(90)])
    with pytest.raises(Refused, match="2340 changes") as raised:
        compare(approved(plan_of()), many)
    lines = (raised.value.detail or "").splitlines()
    assert lines[0] == "+ l/a/2026-01-01 … 2026-03-31 (90): is not in the approved plan"
    assert len(lines) == 20
    assert lines[-1] == "… and more: 2340 changes in all"


def test_the_difference_says_in_what() -> None:
    with pytest.raises(Refused) as raised:
        compare(approved(CREATE), plan_of([desired(A, spec=Spec(format="csv"))]))
    assert raised.value.detail == f"+ {A}: differs from what was approved in `after.spec`"
    with pytest.raises(Refused) as raised:
        compare(approved(FORGET), DELETE)
    assert raised.value.detail == f"- {A}: approved is `forget`, now it would be `delete`"


@pytest.mark.parametrize("name", ["project", "environment", "org", "sandbox"])
def test_a_plan_for_another_target_is_refused(name: str) -> None:
    other = replace(CREATE, identity=replace(WHO, **{name: "other"}))
    with pytest.raises(Refused, match=f"is for another {name}"):
        compare(approved(other), CREATE)


@pytest.mark.parametrize(
    ("flag", "scope"), [("--destroy", Scope(destroy=True)), ("--refresh-only", Scope(refresh_only=True))]
)
def test_a_plan_of_another_kind_is_refused(flag: str, scope: Scope) -> None:
    with pytest.raises(Refused, match=f"with `{flag}`"):
        require_flags(approved(plan_of([desired()], scope=scope)), Scope())
    with pytest.raises(Refused, match=f"without `{flag}`"):
        require_flags(approved(CREATE), scope)


def test_a_tampered_file_never_allows_more() -> None:
    """Each value changed, one at a time, against the plan of now and against a larger one."""
    now = every_action()
    larger = replace(now, changes=(*now.changes, change_of(plan_of([desired("zzz/more")]))))
    effects = {json.dumps(change.effect, sort_keys=True) for change in now.changes}
    for path, data in mutated():
        try:
            reviewed = parse_plan(data)
        except Refused:
            continue
        for proposed in (now, larger):
            try:
                allowed = compare(reviewed, proposed).allowed
            except Refused:
                continue
            found = {json.dumps(change.effect, sort_keys=True) for change in allowed.changes}
            assert found <= effects, path


@given(st.data())
def test_less_is_told_by_effect_not_by_words(data: st.DataObject) -> None:
    """Of any two changes of the examples, one is covered by the other only if it asks AEP for no more."""
    changes = [change for example in EXAMPLES.values() for change in example().changes[:20]]
    was, now = data.draw(st.sampled_from(changes)), data.draw(st.sampled_from(changes))
    now = replace(now, address=was.address)
    if is_no_more(was, now):
        assert {*sent(now)} <= {*sent(was)}
        assert now.completes <= was.completes
        assert not now.creates or was.creates
        assert now.retags <= was.retags


# -- a digest alone


def test_a_digest_approves_exactly_its_plan() -> None:
    require_digest(CREATE, CREATE.digest)
    with pytest.raises(Refused) as raised:
        require_digest(CREATE, DELETE.digest)
    assert CREATE.digest in (raised.value.detail or "")
    assert "plan file" in (raised.value.hint or "")


def test_nothing_to_do_needs_no_approval() -> None:
    nothing = plan_of([desired()], [recorded()], [observed()])
    require_digest(nothing, DELETE.digest)  # raises `Refused` for any plan that has effects
    assert nothing.digest != DELETE.digest


@pytest.mark.parametrize("digest", ["", "abc", CREATE.digest[:12], CREATE.digest.upper(), f"{CREATE.digest}\n"])
def test_a_shortened_digest_is_none(digest: str) -> None:
    with pytest.raises(SettingsInvalid):
        require_digest(CREATE, digest)


def test_approving_changes_neither_plan() -> None:
    now = copy.deepcopy(CREATE)
    compare(approved(CREATE), now)
    assert now == CREATE
