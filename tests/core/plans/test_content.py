"""The rows of the table that contents add: one test a row (design §7, §10)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.core.batch import Desired, File, Lifecycle, OnRemove, Record, Spec, Stage
from reconciler.core.plans.approval import is_no_more
from reconciler.core.plans.bookmark import is_as_recorded
from reconciler.core.plans.content import content_tag
from reconciler.core.plans.observation import Observation
from reconciler.core.plans.plan import Action, Change, Plan, Reason, Withdrawal, WithdrawVerb
from reconciler.core.plans.planner import PlanInputs, make_plan
from reconciler.core.states.journal import Done, Encoder, JournalHeader, Staged, Uploaded, Uploading, decode
from reconciler.core.states.replay import replay
from reconciler.core.states.state import State, dump, parse
from tests.examples import ADDRESS, TODAY, WHO, desired, observed, plan_of, recorded

A, A2 = File("a.json", 3, "a" * 64), File("a.json", 3, "b" * 64)
B = File("dir/b.json", 5, "c" * 64)


def wanted(
    *content: File, complete: bool = True, lifecycle: Lifecycle | None = None, spec: Spec | None = None
) -> Desired:
    base = desired(lifecycle=lifecycle, spec=spec)
    return replace(base, globs=("*",), content=content, complete=complete)


def known(*files: File, begun: tuple[File, ...] = (), stage: Stage = Stage.OPEN, spec: Spec | None = None) -> Record:
    return replace(recorded(spec=spec), files=files, begun=begun, stage=stage)


def only(plan: Plan) -> Change:
    assert not plan.conflicts
    (change,) = plan.changes
    return change


def test_a_new_batch_is_created_filled_and_completed() -> None:
    change = only(plan_of([wanted(A, B)]))
    assert (change.action, change.uploads, change.completes) == (Action.CREATE, (A, B), True)


@pytest.mark.parametrize("status", ["loading", "loaded", "staging", "success"])
def test_what_is_there_and_completed_is_left_alone(status: str) -> None:
    plan = plan_of([wanted(A, B)], [known(A, B, stage=Stage.COMPLETED)], [observed(status=status)])
    assert not plan.changes
    assert not plan.conflicts


@pytest.mark.parametrize("begun", [(), (B,)])
def test_an_open_batch_gets_what_it_lacks(begun: tuple[File, ...]) -> None:
    change = only(plan_of([wanted(A, B)], [known(A, begun=begun)], [observed()]))
    assert (change.action, change.uploads, change.completes) == (Action.UPDATE, (B,), True)


def test_a_changed_file_of_an_open_batch_is_uploaded_again() -> None:
    change = only(plan_of([wanted(A2, B, complete=False)], [known(A, B)], [observed()]))
    assert (change.action, change.uploads, change.completes) == (Action.UPDATE, (A2,), False)


@pytest.mark.parametrize("holds", [known(A, B), known(A, begun=(B,))])
def test_a_removed_file_of_an_open_batch_needs_another_batch(holds: Record) -> None:
    change = only(plan_of([wanted(A)], [holds], [observed()]))
    assert (change.action, change.withdraw, change.predecessors) == (
        Action.REPLACE,
        (Withdrawal("B1", WithdrawVerb.ABORT),),
        (),
    )
    assert change.uploads == (A,)


@pytest.mark.parametrize("content", [(A2, B), (A,), (A, B, File("c.json", 1, "d" * 64))])
def test_other_files_in_a_done_batch_replay_it(content: tuple[File, ...]) -> None:
    change = only(plan_of([wanted(*content)], [known(A, B, stage=Stage.COMPLETED)], [observed(status="success")]))
    assert (change.action, change.predecessors, change.withdraw) == (Action.REPLACE, ("B1",), ())
    assert change.uploads == content


@pytest.mark.parametrize("status", ["loading", "staging"])
def test_other_files_wait_while_aep_works_on_the_old_ones(status: str) -> None:
    plan = plan_of([wanted(A2)], [known(A, stage=Stage.COMPLETED)], [observed(status=status)])
    assert len(plan.conflicts) == 1


@pytest.mark.parametrize("status", ["loading", "staging", "success"])
def test_a_completion_without_verdict_is_brought_to_an_end_first(status: str) -> None:
    change = only(plan_of([wanted(A2)], [known(A, stage=Stage.COMPLETING)], [observed(status=status)]))
    assert (change.action, change.uploads, change.completes) == (Action.UPDATE, (), True)


@pytest.mark.parametrize("stage", [Stage.COMPLETING, Stage.COMPLETED])
def test_a_line_alone_completes_nothing(stage: Stage) -> None:
    """Users fill this batch themselves: only the manifest says that it is to be completed."""
    stays = replace(observed(), created=1, updated=1)
    record = replace(recorded(), stage=stage)
    inputs = PlanInputs(WHO, {ADDRESS: desired()}, {ADDRESS: record}, Observation.of([stays], now=NOW))
    assert not make_plan(inputs, today=TODAY).changes


def test_a_failed_batch_is_recreated_only_with_other_files_and_only_if_the_rules_say_so() -> None:
    again = Lifecycle(recreate_when=("failed",))
    failed, there = [observed(status="failed")], [known(A, stage=Stage.COMPLETED)]
    assert not plan_of([wanted(A, lifecycle=again)], there, failed).changes
    assert not plan_of([wanted(A2)], there, failed).changes
    change = only(plan_of([wanted(A2, lifecycle=again)], there, failed))
    assert (change.action, change.uploads) == (Action.CREATE, (A2,))
    assert plan_of([wanted(A)], there, [observed(status="failed", errors=("106: empty",))]).drift[0].errors


def test_an_aborted_batch_is_followed_by_one_with_all_files() -> None:
    change = only(plan_of([wanted(A, B)], [known(A)], [observed(status="aborted")]))
    assert (change.action, change.uploads) == (Action.CREATE, (A, B))


def test_a_found_open_batch_is_filled_anew_and_a_found_done_one_is_taken_as_declared() -> None:
    change = only(plan_of([wanted(A)], [], [observed()]))
    assert (change.action, change.uploads, change.completes) == (Action.ADOPT, (A,), True)
    change = only(plan_of([wanted(A)], [], [observed(status="success")]))
    assert (change.action, change.uploads, change.completes) == (Action.ADOPT, (), False)


def test_a_batch_whose_files_are_no_longer_declared_is_left_alone() -> None:
    assert not plan_of([desired()], [known(A)], [observed()]).changes


def test_an_explicit_replay_names_addresses_and_ids_and_the_replayed_one_may_go() -> None:
    old = replace(desired("loyalty/old"))
    new = desired(spec=Spec(replaces=["loyalty/old", "01XYZ"]))
    change = only(plan_of([old, new], [recorded("loyalty/old")], [observed(address="loyalty/old")]))
    assert change.predecessors == ("loyalty/old", "01XYZ")
    done = [recorded("loyalty/old"), recorded(id="B2", spec=new.spec)]
    seen = [observed(address="loyalty/old", status="inactive"), observed("B2", "success")]
    again = replace(old, lifecycle=Lifecycle(recreate_when=("withdrawn",)))
    plan = plan_of([again, new], done, seen)
    assert not plan.changes
    assert not plan.drift


def test_the_content_is_part_of_what_is_approved() -> None:
    assert plan_of([wanted(A)]).digest != plan_of([wanted(A2)]).digest
    assert plan_of([wanted(A)]).digest != plan_of([wanted(A, complete=False)]).digest


@pytest.mark.parametrize(
    "holds", [known(), known(A), known(A, begun=(B,)), known(A, B), known(A, B, stage=Stage.COMPLETING)]
)
def test_the_rest_of_an_approved_change_is_no_more_than_was_approved(holds: Record) -> None:
    approved = only(plan_of([wanted(A, B)]))
    rest = only(plan_of([wanted(A, B)], [holds], [observed()]))
    assert is_no_more(approved, rest)
    first = only(plan_of([wanted(A, B)], [known()], [observed()]))
    assert is_no_more(first, rest)
    other = only(plan_of([wanted(A2, B)], [known()], [observed()]))
    assert not is_no_more(approved, other)
    assert not is_no_more(first, other)


def test_a_record_with_content_is_read_as_it_is_written() -> None:
    record = known(A, begun=(B,), stage=Stage.COMPLETING)
    state = State(WHO, {ADDRESS: record})
    assert parse(dump(state), WHO, "x") == state
    assert b"stage" not in dump(State(WHO, {ADDRESS: known()}))


def test_steps_in_the_journal_are_facts_that_fold_into_the_record() -> None:
    steps = (
        Uploading(ADDRESS, "B1", A),
        Uploaded(ADDRESS, "B1", A),
        Uploading(ADDRESS, "B1", B),
        Staged(ADDRESS, "B1", Stage.COMPLETING),
        Uploaded(ADDRESS, "another batch", B),
    )
    encoder = Encoder()
    data = encoder.header(JournalHeader(WHO, "0" * 64)) + encoder.encode(Done(known()), *steps)
    decoded = decode(data, "journal")
    assert decoded.entries == (Done(known()), *steps)
    expected = known(A, begun=(B,), stage=Stage.COMPLETING)
    for state in (State(WHO), State(WHO, {ADDRESS: known()}), State(WHO, {ADDRESS: expected})):
        replayed = replay(state, decoded.entries)
        assert replayed.state.records == {ADDRESS: expected}
        assert replay(replayed.state, decoded.entries).state == replayed.state
    whole = replay(State(WHO), (*decoded.entries, Done(known(A, B, stage=Stage.COMPLETED))))
    assert whole.state.records[ADDRESS] == known(A, B, stage=Stage.COMPLETED)


def test_a_later_generation_begins_without_files() -> None:
    change = only(plan_of([wanted(A2)], [known(A, stage=Stage.COMPLETED)], [observed(status="success")]))
    assert change.after is not None
    assert change.after.on_remove is OnRemove.FORGET
    assert (change.after.files, change.after.generation) == ((A2,), 2)


HOUR = 3_600_000
NOW = 1_767_225_600_000


@pytest.mark.parametrize(
    ("updated", "now", "is_overdue"),
    [
        (NOW - HOUR - 1, NOW, True),
        (NOW - HOUR, NOW, False),
        (None, NOW, False),  # Catalog does not say since when
        (NOW - 5 * HOUR, None, False),  # AEP does not say what time it is
        (NOW + HOUR, NOW, False),
    ],
)
def test_a_completed_batch_that_stays_open_for_an_hour_is_told_and_completed_again(
    updated: int | None, now: int | None, *, is_overdue: bool
) -> None:
    record = known(A, stage=Stage.COMPLETED)
    stays = replace(observed(), created=updated and updated - HOUR, updated=updated)
    inputs = PlanInputs(WHO, {ADDRESS: wanted(A)}, {ADDRESS: record}, Observation.of([stays], now=now))
    plan = make_plan(inputs, today=TODAY)
    assert bool(plan.drift) is is_overdue
    assert plan.has_changes is is_overdue
    if is_overdue:
        change = only(plan)
        assert (change.action, change.reason, change.completes) == (Action.UPDATE, Reason.INCOMPLETE, True)
        assert change.after == record
        assert not change.uploads
        assert "still open" in plan.drift[0].message


def test_a_completed_batch_that_is_still_open_is_never_trusted_unread() -> None:
    record = known(A, stage=Stage.COMPLETED)
    assert not is_as_recorded(record, observed())
    assert is_as_recorded(record, observed(status="loaded"))


@pytest.mark.parametrize(
    ("made_for", "status", "action", "verbs"),
    [
        ((A, B), "loading", Action.ADOPT, ()),
        ((), "loading", Action.ADOPT, ()),  # no tag: nothing speaks against it
        (
            (A,),
            "loading",
            Action.REPLACE,
            (WithdrawVerb.ABORT,),
        ),  # whoever made it may still fill it
        ((A2, B), "loading", Action.REPLACE, (WithdrawVerb.ABORT,)),
        ((A, B), "success", Action.ADOPT, ()),
        ((A2, B), "success", Action.REPLACE, ()),
    ],
)
@pytest.mark.parametrize("chosen", [False, True])
def test_a_batch_that_another_run_made_for_other_files_is_not_filled(
    made_for: tuple[File, ...], status: str, action: Action, verbs: tuple[WithdrawVerb, ...], *, chosen: bool
) -> None:
    """Lost by its record, or recorded when this run's own gave way to it."""
    there = observed(status=status, tags=content_tag(made_for))
    plan = plan_of([wanted(A, B)], [replace(known(), rivals=("X",))] if chosen and status == "loading" else [], [there])
    change = only(plan)
    if action is Action.REPLACE:
        assert (change.action, tuple(each.verb for each in change.withdraw)) == (action, verbs)
        assert change.predecessors == (() if verbs else ("B1",))
        assert change.uploads == (A, B)
    else:
        assert not change.withdraw
        assert not change.predecessors


def test_the_tag_of_a_content_says_names_and_bytes() -> None:
    tags = [content_tag(each) for each in ([A], [A2], [A._replace(name="b.json")], [A, B])]
    assert len({str(tag) for tag in tags}) == len(tags)
    assert content_tag([]) == {}
