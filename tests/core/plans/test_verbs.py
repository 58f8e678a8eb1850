"""The verb at AEP is part of what is approved: by what Catalog shows, in every form of a plan, and bounded by each."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from reconciler.core.batch import STATUS_CLASSES, OnRemove, Spec, Stage, StatusClass
from reconciler.core.errors import Refused
from reconciler.core.plans.approval import compare
from reconciler.core.plans.plan import Action, Withdrawal, WithdrawVerb, verb_for
from reconciler.core.plans.planfile import parse_plan
from reconciler.views.plan_json import dump_plan
from reconciler.views.plan_markdown import render_plan as markdown
from reconciler.views.plan_text import render_plan as text
from tests.core.plans.test_content import A as FILE
from tests.core.plans.test_content import known, wanted
from tests.examples import ADDRESS, desired, observed, plan_of, recorded

if TYPE_CHECKING:
    from reconciler.core.batch import Record
    from reconciler.core.plans.plan import Plan

ABORT, REVERT, NONE, UNKNOWN = WithdrawVerb
DELETED = recorded(on_remove=OnRemove.DELETE)
JSON = Spec(format="json")


def removal(status: str | None) -> Plan:
    return plan_of([], [DELETED], None if status is None else [observed(status=status)] if status != "missing" else [])


def halfway(status: str) -> Plan:
    """An earlier generation that is still there beside the new one."""
    known = recorded(id="B2", generation=2, deposed=("B1",))
    there = [observed(status=status)] if status != "missing" else []
    return plan_of([desired()], [known], [*there, observed("B2", generation=2)])


STATUSES = [*STATUS_CLASSES, "missing"]


@pytest.mark.parametrize("status", STATUSES)
def test_the_verb_follows_the_status(status: str) -> None:
    found = STATUS_CLASSES.get(status, StatusClass.MISSING)
    (change,) = halfway(status).changes
    assert change.withdraw == (Withdrawal("B1", verb_for(found)),)
    assert change.action is (Action.UPDATE if verb_for(found) is NONE else Action.DELETE)
    if found not in {StatusClass.IN_FLIGHT, StatusClass.STUCK}:
        (change,) = removal(status).changes
        assert change.withdraw == (Withdrawal("B1", verb_for(found)),)
        assert change.action is (Action.FORGET if verb_for(found) is NONE else Action.DELETE)
    assert verb_for(None) is UNKNOWN


MORE = {(ABORT, REVERT), (REVERT, ABORT), (NONE, ABORT), (NONE, REVERT), (UNKNOWN, REVERT)}
"""What was approved, and what would be beyond it."""

OF = {"loading": ABORT, "success": REVERT, "aborted": NONE, "missing": NONE, None: UNKNOWN}


@pytest.mark.parametrize("now", [each for each in OF if each is not None])
@pytest.mark.parametrize("was", OF)
def test_an_approval_covers_its_verb_or_less(was: str | None, now: str) -> None:
    """Among it: what was planned without reading Catalog never reverts."""
    pair = (OF[was], OF[now])
    approved = parse_plan(dump_plan(removal(was)).encode())
    if pair in MORE:
        with pytest.raises(Refused, match="beyond what was approved") as raised:
            compare(approved, removal(now))
        assert ADDRESS in (raised.value.detail or "")
    else:
        assert compare(approved, removal(now)).allowed.changes


@pytest.mark.parametrize("now", ["loading", "success", "aborted", "missing"])
@pytest.mark.parametrize("was", ["loading", "success", "aborted", "missing"])
def test_an_approval_covers_an_earlier_generation_by_its_verb(was: str, now: str) -> None:
    if (OF[was], OF[now]) in MORE:
        with pytest.raises(Refused, match="beyond what was approved"):
            compare(halfway(was), halfway(now))
    else:
        compare(halfway(was), halfway(now))  # raises `Refused` for more


def test_a_replacement_planned_without_catalog_is_an_abort_and_never_a_replay() -> None:
    wish, known = [desired(spec=JSON)], [recorded()]
    approved = plan_of(wish, known, None)
    assert [each.withdraw for each in approved.changes] == [(Withdrawal("B1", UNKNOWN),)]
    assert compare(approved, plan_of(wish, known, [observed()])).allowed.changes
    with pytest.raises(Refused):
        compare(approved, plan_of(wish, known, [observed(status="success")]))


@pytest.mark.parametrize(("status", "word"), [("loading", "aborts"), ("success", "reverts")])
def test_every_form_of_a_plan_says_the_verb(status: str, word: str) -> None:
    plan = removal(status)
    assert f"{word} B1" in "\n".join(text(plan, color=False))
    assert f"{word} B1" in markdown(plan)
    document = json.loads(dump_plan(plan))
    assert document["resource_changes"][0]["effect"]["withdraw"] == [["B1", word[:-1]]]
    assert document["format_version"] == "1.1"


def test_the_verb_is_in_the_digest() -> None:
    assert len({removal(status).digest for status in ("loading", "success", "aborted", None)}) == 4


def test_verbs_are_not_mixed_in_one_row() -> None:
    known = [recorded(f"l/b{n:02}", f"B{n}", on_remove=OnRemove.DELETE) for n in range(20)]
    words = ["success" if n % 2 else "loading" for n in range(20)]
    seen = [observed(r.id, word, address=r.address) for r, word in zip(known, words, strict=True)]
    shown = list(text(plan_of([], known, seen), color=False))
    assert [line.strip() for line in shown if "10 batches" in line] == ["aborts 10 batches", "reverts 10 batches"]


def test_completing_a_batch_that_exists_is_part_of_the_effect() -> None:
    """A record that says less of a batch than when it was reviewed does not make an apply send more."""
    (opened,) = plan_of([wanted(FILE)], [known(FILE)], [observed()]).changes
    assert opened.effect.get("completes") is True
    (created,) = plan_of([wanted(FILE)]).changes
    assert "completes" not in created.effect
    deleting = recorded(on_remove=OnRemove.DELETE)
    rules = [wanted(FILE)]
    was = plan_of(rules, [_filled(deleting, Stage.COMPLETED)], [observed(status="success")])
    now = plan_of(rules, [_filled(deleting, Stage.OPEN)], [observed()])
    assert was.digest != now.digest
    with pytest.raises(Refused):
        compare(was, now)


def _filled(record: Record, stage: Stage) -> Record:
    return replace(record, files=(FILE,), stage=stage)


def test_a_plan_that_says_nothing_new_keeps_its_format() -> None:
    for plan in (plan_of([desired()]), plan_of([], [recorded()], [observed()]), plan_of([wanted(FILE)])):
        assert json.loads(dump_plan(plan))["format_version"] == "1.0"


def test_a_file_of_an_older_version_that_withdraws_is_refused_in_one_sentence() -> None:
    document = json.loads(dump_plan(removal("loading")))
    document["format_version"] = "1.0"
    document["resource_changes"][0]["effect"]["withdraw"] = ["B1"]
    with pytest.raises(Refused, match="or an older reconciler made it") as raised:
        parse_plan(json.dumps(document).encode())
    assert "plan --out" in (raised.value.hint or "")
