"""The decision table of design §7, row by row: values in, values out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.core.address import Globs
from reconciler.core.batch import STATUS_CLASSES, Lifecycle, OnRemove, Record, Spec, StatusClass
from reconciler.core.diagnostics import Place
from reconciler.core.manifests.project import Import, Move
from reconciler.core.plans.plan import Action, Reason, Withdrawal, WithdrawVerb
from reconciler.core.plans.planner import Scope
from tests.examples import ADDRESS, DATASET, WHO, desired, observed, plan_of, recorded

LIVE = sorted(
    word for word, kind in STATUS_CLASSES.items() if kind in {StatusClass.OPEN, StatusClass.IN_FLIGHT, StatusClass.DONE}
)
DONE = ["active", "success"]
IN_FLIGHT = sorted(word for word, kind in STATUS_CLASSES.items() if kind is StatusClass.IN_FLIGHT)
HERE = Place("manifests/loyalty.yaml", 0, ("imports", 0))


def actions(plan: object) -> list[tuple[str, str]]:
    return [(change.action.value, change.address) for change in plan.changes]  # type: ignore[attr-defined]


def test_unmanaged_batches_are_never_touched() -> None:
    foreign = replace(observed("X", external_id="someone.else"), tags={})
    plan = plan_of([], [], [foreign])
    assert not plan.has_changes
    assert not plan.orphans


def test_declared_only_is_created() -> None:
    plan = plan_of([desired(spec=Spec(format="json"))])
    (change,) = plan.changes
    assert change.action is Action.CREATE
    assert change.after is not None
    assert change.after.id == ""
    assert change.after.generation == 1
    assert change.after.external_id == WHO.external_ids(ADDRESS).of(1)
    assert plan.summary.add == 1


@pytest.mark.parametrize("status", [*LIVE, "failed", "failure", "stalled", "a-new-word"])
def test_declared_and_found_by_external_id_is_adopted(status: str) -> None:
    plan = plan_of([desired()], [], [observed("B7", status)])
    (change,) = plan.changes
    assert change.action is Action.ADOPT
    assert change.after is not None
    assert change.after.id == "B7"
    assert plan.summary.adopt == 1


@pytest.mark.parametrize("status", ["aborted", "abandoned", "inactive", "deleted"])
def test_declared_and_found_dead_is_created_as_the_next_generation(status: str) -> None:
    (change,) = plan_of([desired()], [], [observed("B7", status)]).changes
    assert change.action is Action.CREATE
    assert change.after is not None
    assert change.after.generation == 2


def test_declared_and_found_in_another_dataset_is_a_conflict() -> None:
    plan = plan_of([desired()], [], [observed("B7", dataset="another")])
    assert not plan.changes
    assert "belongs to dataset `another`" in plan.conflicts[0].message
    assert plan.conflicts[0].ids == ("B7",)


def test_two_with_one_external_id_are_named_and_nobody_guesses() -> None:
    plan = plan_of([desired()], [], [observed("B7"), observed("B8")])
    assert not plan.changes
    assert plan.conflicts[0].ids == ("B7", "B8")
    assert "`B7`" in plan.conflicts[0].message
    assert "`B8`" in plan.conflicts[0].message


def test_of_two_with_one_external_id_the_only_live_one_is_adopted() -> None:
    (change,) = plan_of([desired()], [], [observed("B7", "aborted"), observed("B8")]).changes
    assert change.after is not None
    assert change.after.id == "B8"


def test_a_rival_of_a_recorded_batch_is_a_conflict_until_a_person_decides() -> None:
    sides = [observed("B1"), observed("B2")]
    assert plan_of([desired()], [recorded()], sides).conflicts[0].ids == ("B1", "B2")
    decided = plan_of([desired()], [recorded(rivals=("B2",))], sides)
    assert not decided.conflicts
    assert not decided.has_changes


def test_a_rival_stands_in_when_the_recorded_batch_is_gone() -> None:
    (change,) = plan_of([desired()], [recorded()], [observed("B2")]).changes
    assert change.action is Action.ADOPT
    assert change.reason is Reason.SURVIVOR


def test_an_import_is_recorded() -> None:
    stranger = replace(observed("01LEGACY", external_id="01LEGACY"), tags={})
    plan = plan_of([desired()], [], [stranger], imports=(Import(ADDRESS, "01LEGACY", HERE),))
    (change,) = plan.changes
    assert change.action is Action.IMPORT
    assert change.after is not None
    assert change.after.id == "01LEGACY"
    assert plan.summary.imported == 1


def test_an_import_that_is_recorded_already_is_nothing() -> None:
    stranger = observed("01LEGACY", external_id="01LEGACY")
    known = recorded(id="01LEGACY", external_id="01LEGACY")
    assert not plan_of([desired()], [known], [stranger], imports=(Import(ADDRESS, "01LEGACY", HERE),)).has_changes


@pytest.mark.parametrize(
    ("seen", "known", "words"),
    [
        ([], [], "is not in this sandbox"),
        ([observed("I", dataset="another", external_id="I")], [], "belongs to dataset"),
        ([observed("I", external_id="I"), observed("B1")], [recorded()], "is recorded here"),
        (
            [observed("I", external_id="I", address="loyalty/other")],
            [recorded("loyalty/other", "I", external_id="I")],
            "which is recorded at `loyalty/other`",
        ),
    ],
)
def test_an_import_that_cannot_be_is_a_conflict_at_its_line(seen: list, known: list, words: str) -> None:  # type: ignore[type-arg]
    plan = plan_of([desired()], known, seen, imports=(Import(ADDRESS, "I", HERE),))
    (conflict,) = plan.conflicts
    assert words in conflict.message
    assert conflict.place == HERE


def test_an_import_that_differs_in_what_only_creation_sets_is_a_conflict() -> None:
    seen = observed("I", external_id="I", format="csv")
    plan = plan_of([desired(spec=Spec(format="json"))], [], [seen], imports=(Import(ADDRESS, "I", HERE),))
    assert "differs in `format`" in plan.conflicts[0].message
    assert not plan.changes


@pytest.mark.parametrize("status", LIVE)
def test_as_recorded_and_live_is_nothing(status: str) -> None:
    plan = plan_of([desired()], [recorded()], [observed(status=status)])
    assert not plan.has_changes
    assert not plan.drift


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        ([], Reason.MISSING),
        ([observed(status="aborted")], Reason.ABORTED),
        ([observed(status="abandoned")], Reason.ABANDONED),
    ],
)
def test_gone_by_itself_is_created_again(seen: list, reason: Reason) -> None:  # type: ignore[type-arg]
    plan = plan_of([desired()], [recorded()], seen)
    (change,) = plan.changes
    assert change.action is Action.CREATE
    assert change.reason is reason
    assert change.after is not None
    assert change.after.generation == 2
    assert change.after.external_id == WHO.external_ids(ADDRESS).of(2)
    assert len(plan.drift) == 1


def test_gone_is_only_reported_when_the_rules_say_so() -> None:
    plan = plan_of([desired(lifecycle=Lifecycle(recreate_when=()))], [recorded()], [])
    assert not plan.changes
    assert plan.drift[0].status == "missing"


@pytest.mark.parametrize(
    ("status", "word"),
    [
        ("failed", "failed"),
        ("failure", "failed"),
        ("inactive", "withdrawn"),
        ("deleted", "withdrawn"),
        ("archived", "withdrawn"),
        ("retained", "withdrawn"),
    ],
)
def test_failed_and_withdrawn_are_drift_unless_asked_to_be_made_again(status: str, word: str) -> None:
    seen = [observed(status=status, errors=("106: empty",))]
    silent = plan_of([desired()], [recorded()], seen)
    assert not silent.changes
    assert silent.drift[0].status == status
    asked = Lifecycle(recreate_when=("failed", "withdrawn"))
    (change,) = plan_of([desired(lifecycle=asked)], [recorded()], seen).changes
    assert change.reason.name.lower() == word
    assert change.after is not None
    assert change.after.generation == 2


def test_stalled_is_drift() -> None:
    plan = plan_of([desired()], [recorded()], [observed(status="stalled")])
    assert not plan.changes
    assert "stalled" in plan.drift[0].message


def test_a_batch_that_the_platform_consolidated_is_followed_by_its_tag() -> None:
    asked = Lifecycle(recreate_when=("withdrawn", "missing"))
    seen = [
        observed(status="inactive", tags={"acp_successor": ["Y"]}),
        replace(observed("Y", "success", external_id="Y"), tags={}),
    ]
    plan = plan_of([desired(lifecycle=asked)], [recorded()], seen)
    assert not plan.changes
    assert "consolidated" in plan.drift[0].message


def test_a_batch_that_the_platform_consolidated_is_followed_by_the_replay_reason() -> None:
    asked = Lifecycle(recreate_when=("withdrawn", "missing"))
    merged = observed("Y", "success", external_id="Y", predecessors=("B1",), replay_reason="consolidation")
    plan = plan_of([desired(lifecycle=asked)], [recorded()], [observed(status="inactive"), merged])
    assert not plan.changes


def test_what_the_platform_consolidated_is_neither_replayed_nor_deleted_under_its_old_id() -> None:
    """The data stands in another batch: a replay of the old one would double it, and nothing would be deleted."""
    seen = [
        observed(status="inactive", tags={"acp_successor": ["Y"]}),
        replace(observed("Y", "success", external_id="Y"), tags={}),
    ]
    replaced = plan_of([desired(spec=Spec(format="csv"))], [recorded()], seen)
    deleted = plan_of([], [recorded(on_remove=OnRemove.DELETE)], seen)
    for plan in (replaced, deleted):
        assert not plan.changes
        assert "another batch in the place of `B1`" in plan.conflicts[0].message
        assert "--refresh-only" in plan.conflicts[0].hint
    assert [change.action for change in plan_of([], [recorded()], seen).changes] == [Action.FORGET]


@pytest.mark.parametrize("status", LIVE)
def test_own_tags_are_updated_in_place(status: str) -> None:
    want = Spec(tags={"team": ["crm"]})
    had = Spec(tags={"team": ["eu"], "old": ["x"]})
    seen = observed(status=status, tags={"team": ["eu"], "old": ["x"], "acp_producer": ["acme"]})
    plan = plan_of([desired(spec=want)], [recorded(spec=had)], [seen])
    (change,) = plan.changes
    assert change.action is Action.UPDATE
    assert change.after is not None
    assert change.after.spec == want
    assert change.after.id == "B1"
    assert plan.summary.change == 1


def test_tags_changed_by_another_hand_are_drift_and_are_put_back() -> None:
    spec = Spec(tags={"team": ["crm"]})
    plan = plan_of([desired(spec=spec)], [recorded(spec=spec)], [observed(tags={"team": ["hacked"]})])
    assert actions(plan) == [("update", ADDRESS)]
    assert "`team`" in plan.drift[0].message


WRITTEN = ["EMEA ", "crm", "apac", "crm"]


@pytest.mark.parametrize(
    "shown",
    [
        ["apac", "crm", "crm", "EMEA "],
        ["EMEA ", "crm", "apac"],
        ["EMEA", "crm", "apac", "crm"],
        ["apac", "crm", "emea"],
    ],
    ids=["sorted", "once each", "trimmed", "all of it in lower case"],
)
@pytest.mark.parametrize("records", [[recorded(spec=Spec(tags={"team": WRITTEN}))], []], ids=["recorded", "to adopt"])
def test_tags_that_aep_spells_otherwise_are_no_difference(shown: list[str], records: list[Record]) -> None:
    plan = plan_of([desired(spec=Spec(tags={"team": WRITTEN}))], records, [observed(tags={"team": shown})])
    assert not any(change.retags for change in plan.changes)
    assert actions(plan) == ([] if records else [("adopt", ADDRESS)])
    assert not plan.drift
    again = [change.after or recorded() for change in plan.changes] or records
    assert again[0].spec == Spec(tags={"team": WRITTEN})


def test_the_order_of_values_in_a_manifest_says_nothing_and_their_case_does() -> None:
    known, seen = recorded(spec=Spec(tags={"team": ["a", "b"]})), observed(tags={"team": ["a", "b"]})
    assert not plan_of([desired(spec=Spec(tags={"team": ["b", "a", "a"]}))], [known], [seen]).has_changes
    assert actions(plan_of([desired(spec=Spec(tags={"team": ["A", "b"]}))], [known], [seen])) == [("update", ADDRESS)]


@pytest.mark.parametrize(
    ("shown", "done"),
    [
        ({"team": ["a_b"]}, []),
        ({"team": ["a:b"]}, []),
        ({"team": ["other"]}, [("update", ADDRESS)]),
        ({}, [("update", ADDRESS)]),
    ],
    ids=["as AEP kept them", "as written after all", "by another hand", "taken off"],
)
def test_what_aep_made_of_written_tags_is_a_fact(shown: dict[str, list[str]], done: list[tuple[str, str]]) -> None:
    want = Spec(tags={"team": ["a:b"]})
    known = replace(recorded(spec=want), kept_tags={"team": ["a_b"]})
    plan = plan_of([desired(spec=want)], [known], [observed(tags=shown)])
    assert (actions(plan), bool(plan.drift)) == (done, bool(done))


def test_other_tags_in_the_manifest_are_written_whatever_aep_made_of_the_old_ones() -> None:
    known = replace(recorded(spec=Spec(tags={"team": ["a:b"]})), kept_tags={"team": ["a_b"]})
    (change,) = plan_of([desired(spec=Spec(tags={"team": ["c"]}))], [known], [observed(tags={"team": ["a_b"]})]).changes
    assert change.retags
    assert change.after is not None
    assert (change.after.spec, change.after.kept_tags) == (Spec(tags={"team": ["c"]}), None)


@pytest.mark.parametrize(
    ("spec", "tag", "shown", "is_said"),
    [
        (Spec(partial_ingestion_percent=5), "acp_partialIngestionPercent", ["0"], True),
        (Spec(partial_ingestion_percent=5), "acp_partialIngestionPercent", [" 5"], False),
        (Spec(partial_ingestion_percent=5), "acp_partialIngestionPercent", [], False),
        (Spec(partial_ingestion_percent=5), "acp_partialIngestionPercent", ["x" * 25_000], True),
        (Spec(error_diagnostics=True), "acp_enableErrorDiagnostics", ["false"], True),
        (Spec(error_diagnostics=True), "acp_enableErrorDiagnostics", ["True"], False),
        (Spec(), "acp_enableErrorDiagnostics", ["true"], False),
    ],
)
def test_an_option_that_aep_took_otherwise_is_said(spec: Spec, tag: str, shown: list[str], is_said: bool) -> None:
    plan = plan_of([desired(spec=spec)], [recorded(spec=spec)], [observed(tags={tag: shown})])
    assert not plan.has_changes
    assert len(plan.drift) == is_said
    assert all(len(drift.message) < 200 and next(iter(spec)) in drift.message for drift in plan.drift)


def test_ignored_tags_are_never_compared() -> None:
    rules = Lifecycle(ignore_tags=True)
    plan = plan_of([desired(spec=Spec(tags={"a": ["1"]}), lifecycle=rules)], [recorded()], [observed()])
    assert not plan.has_changes


def test_system_tags_and_unset_fields_make_no_phantom_differences() -> None:
    seen = observed(format="json", tags={"acp_producer": ["x"], "aep/siphon/partitions/paths": []})
    assert not plan_of([desired()], [recorded()], [seen]).has_changes


def test_a_changed_rule_is_written_down() -> None:
    rules = Lifecycle(on_remove=OnRemove.DELETE)
    (change,) = plan_of([desired(lifecycle=rules)], [recorded()], [observed()]).changes
    assert change.action is Action.UPDATE
    assert change.reason is Reason.RULES_CHANGED
    assert change.after is not None
    assert change.after.on_remove is OnRemove.DELETE


def test_other_differences_of_an_open_batch_replace_it_and_abort_the_old() -> None:
    plan = plan_of([desired(spec=Spec(format="csv"))], [recorded(spec=Spec(format="json"))], [observed()])
    (change,) = plan.changes
    assert change.action is Action.REPLACE
    assert change.withdraw == (Withdrawal("B1", WithdrawVerb.ABORT),)
    assert change.predecessors == ()
    assert change.after is not None
    assert change.after.generation == 2
    assert change.after.deposed == ("B1",)
    assert (plan.summary.add, plan.summary.destroy) == (1, 1)


@pytest.mark.parametrize("status", DONE)
def test_other_differences_of_a_done_batch_replay_it(status: str) -> None:
    plan = plan_of([desired(spec=Spec(format="csv"))], [recorded(spec=Spec(format="json"))], [observed(status=status)])
    (change,) = plan.changes
    assert change.action is Action.REPLACE
    assert change.predecessors == ("B1",)
    assert change.withdraw == ()


@pytest.mark.parametrize("status", IN_FLIGHT)
def test_a_batch_in_flight_cannot_be_replaced(status: str) -> None:
    plan = plan_of([desired(spec=Spec(format="csv"))], [recorded()], [observed(status=status)])
    assert not plan.changes
    assert "still processing" in plan.conflicts[0].message


def test_a_field_taken_out_of_the_manifest_goes_back_to_its_default() -> None:
    assert actions(plan_of([desired()], [recorded(spec=Spec(format="json"))], [observed()])) == [("replace", ADDRESS)]
    assert not plan_of([desired()], [recorded(spec=Spec(format="parquet"))], [observed()]).has_changes


def test_prevent_replace_is_a_conflict() -> None:
    rules = Lifecycle(prevent_replace=True)
    plan = plan_of([desired(spec=Spec(format="csv"), lifecycle=rules)], [recorded()], [observed()])
    assert "`prevent_replace` forbids" in plan.conflicts[0].message


def test_replace_can_be_asked_for() -> None:
    plan = plan_of([desired()], [recorded()], [observed()], scope=Scope(replace=frozenset({ADDRESS})))
    assert actions(plan) == [("replace", ADDRESS)]
    assert plan.changes[0].reason is Reason.REQUESTED


def test_a_replacement_that_died_halfway_is_finished() -> None:
    known = recorded(id="B2", generation=2, deposed=("B1",))
    (change,) = plan_of([desired()], [known], [observed("B1"), observed("B2", generation=2)]).changes
    assert change.action is Action.DELETE
    assert change.withdraw == (Withdrawal("B1", WithdrawVerb.ABORT),)
    assert change.after is not None


def test_a_lost_record_of_a_later_generation_is_adopted_and_the_open_old_one_aborted() -> None:
    (change,) = plan_of([desired()], [recorded()], [observed("B1"), observed("B2", generation=2)]).changes
    assert change.action is Action.ADOPT
    assert change.after is not None
    assert (change.after.id, change.after.generation) == ("B2", 2)
    assert change.withdraw == (Withdrawal("B1", WithdrawVerb.ABORT),)


def test_moved_renames_the_record() -> None:
    move = Move("loyalty/first", ADDRESS, HERE)
    known = recorded("loyalty/first", "B1")
    plan = plan_of([desired()], [known], [observed(address="loyalty/first")], moves=(move,))
    (change,) = plan.changes
    assert change.action is Action.MOVE
    assert change.previous_address == "loyalty/first"
    assert change.after is not None
    assert (change.after.address, change.after.id) == (ADDRESS, "B1")
    assert plan.summary.move == 1


def test_a_chain_of_moves_is_followed_and_a_done_move_is_nothing() -> None:
    moves = (Move("loyalty/a", "loyalty/b", HERE), Move("loyalty/b", ADDRESS, HERE))
    known = recorded("loyalty/a", "B1")
    seen = observed(address="loyalty/a")
    assert plan_of([desired()], [known], [seen], moves=moves).changes[0].previous_address == "loyalty/a"
    done = replace(known, address=ADDRESS)
    assert not plan_of([desired()], [done], [seen], moves=moves).has_changes


def test_a_move_onto_a_recorded_address_is_a_conflict() -> None:
    move = Move("loyalty/first", ADDRESS, HERE)
    known = [recorded("loyalty/first", "B0"), recorded()]
    plan = plan_of([desired()], known, [observed("B0", address="loyalty/first"), observed()], moves=(move,))
    assert plan.conflicts[0].ids == ("B0", "B1")


def test_a_moved_batch_whose_record_is_lost_is_found_by_its_old_name() -> None:
    move = Move("loyalty/first", ADDRESS, HERE)
    (change,) = plan_of([desired()], [], [observed(address="loyalty/first")], moves=(move,)).changes
    assert change.action is Action.ADOPT


def test_an_address_taken_up_again_after_a_move_does_not_steal_the_moved_batch() -> None:
    first = desired("loyalty/first")
    known = recorded(id="B1", external_id=WHO.external_ids("loyalty/first").of(1))
    (change,) = plan_of([desired(), first], [known], [observed(address="loyalty/first")]).changes
    assert (change.action, change.address) == (Action.CREATE, "loyalty/first")
    assert change.after is not None
    assert change.after.generation == 2


def test_removed_is_forgotten() -> None:
    plan = plan_of([], [recorded()], [observed()])
    assert actions(plan) == [("forget", ADDRESS)]
    assert plan.summary.forget == 1


@pytest.mark.parametrize("status", ["loading", *DONE])
def test_removed_is_deleted_when_the_record_says_so(status: str) -> None:
    plan = plan_of([], [recorded(on_remove=OnRemove.DELETE)], [observed(status=status)])
    (change,) = plan.changes
    assert change.action is Action.DELETE
    verb = WithdrawVerb.ABORT if status == "loading" else WithdrawVerb.REVERT
    assert change.withdraw == (Withdrawal("B1", verb),)
    assert plan.summary.destroy == 1


@pytest.mark.parametrize("status", [*IN_FLIGHT, "stalled"])
def test_removed_in_flight_is_refused(status: str) -> None:
    plan = plan_of([], [recorded(on_remove=OnRemove.DELETE)], [observed(status=status)])
    assert not plan.changes
    assert len(plan.conflicts) == 1


@pytest.mark.parametrize("status", ["failed", "aborted", "abandoned", "inactive", "deleted"])
def test_removed_and_gone_is_forgotten(status: str) -> None:
    plan = plan_of([], [recorded(on_remove=OnRemove.DELETE)], [observed(status=status)])
    assert plan.changes[0].reason is Reason.ALREADY_GONE


def test_destroy_deletes_what_is_declared_too() -> None:
    plan = plan_of([desired()], [recorded()], [observed()], scope=Scope(destroy=True))
    assert actions(plan) == [("delete", ADDRESS)]


def test_target_leaves_the_rest_alone() -> None:
    other = desired("loyalty/other")
    assert actions(plan_of([desired(), other], scope=Scope(targets=Globs(("loyalty/o*",))))) == [
        ("create", "loyalty/other")
    ]


def test_refresh_only_reports_and_writes_down_but_makes_nothing() -> None:
    spec = Spec(tags={"team": ["crm"]})
    plan = plan_of(
        [desired(spec=spec), desired("loyalty/new")],
        [recorded(spec=spec)],
        [observed(tags={"team": ["eu"]})],
        scope=Scope(refresh_only=True),
    )
    (change,) = plan.changes
    assert not change.retags
    assert change.after is not None
    assert change.after.spec == Spec(tags={"team": ["eu"]})


def test_refresh_only_counts_drift_as_a_change() -> None:
    plan = plan_of([desired()], [recorded()], [], scope=Scope(refresh_only=True))
    assert not plan.changes
    assert plan.has_changes


def test_without_a_refresh_the_record_is_believed() -> None:
    assert not plan_of([desired()], [recorded()], None).has_changes
    assert actions(plan_of([desired()], [], None)) == [("create", ADDRESS)]


def test_our_marker_without_a_record_is_an_orphan() -> None:
    plan = plan_of([], [], [observed("B9", address="loyalty/ghost")])
    assert [(orphan.id, orphan.address) for orphan in plan.orphans] == [("B9", "loyalty/ghost")]
    assert not plan.has_changes


def test_a_predecessor_that_its_replay_has_not_yet_replaced_is_no_orphan() -> None:
    seen = [observed("B1", "success"), observed("B2", generation=2, predecessors=("B1",))]
    assert plan_of([desired()], [recorded(id="B2", generation=2)], seen).orphans == ()


def test_a_batch_that_holds_data_elsewhere_does_not_follow_its_dataset() -> None:
    plan = plan_of([desired(dataset="other")], [recorded()], [observed(status="success")])
    assert "holds data" in plan.conflicts[0].message


def test_an_external_id_of_the_manifest_is_numbered_in_later_generations() -> None:
    wanted = desired(external_id="crm-2026")
    known = recorded(external_id="crm-2026")
    seen = observed(status="aborted", external_id="crm-2026")
    (change,) = plan_of([wanted], [known], [seen]).changes
    assert change.after is not None
    assert change.after.external_id == "crm-2026.2"
    again = replace(known, id="B2", generation=2, external_id="crm-2026.2")
    later = observed("B2", external_id="crm-2026.2")
    assert not plan_of([wanted], [again], [seen, later]).has_changes


def test_the_plan_does_not_depend_on_any_order() -> None:
    wanted = [desired(f"loyalty/b{n}") for n in range(5)]
    seen = [observed(f"B{n}", address=f"loyalty/b{n}") for n in range(3)]
    forwards = plan_of(wanted, [], seen)
    backwards = plan_of(reversed(wanted), [], reversed(seen))
    assert forwards == backwards
    assert forwards.digest == backwards.digest


def test_the_digest_is_of_effects_only() -> None:
    one, two = plan_of([desired()]), plan_of([desired()])
    assert one.digest == two.digest
    assert one.digest != plan_of([desired(spec=Spec(format="csv"))]).digest
    assert replace(one, how="otherwise", recorded=7).digest == one.digest
    assert DATASET in str(one.changes[0].effect)
