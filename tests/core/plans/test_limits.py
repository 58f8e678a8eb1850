"""Limits count batches: whatever a plan aborts, reverts or, by a replay, deactivates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reconciler.core.batch import OnRemove, Spec
from reconciler.core.manifests.project import Limits
from reconciler.core.plans.planner import Scope
from reconciler.core.plans.policy import check_limits
from reconciler.views.plan_text import summary_line
from tests.examples import desired, observed, plan_of, recorded

if TYPE_CHECKING:
    from reconciler.core.plans.plan import Plan

JSON = Spec(format="json")


def replaced(*deposed: str, status: str = "loading", of_deposed: str = "loading") -> Plan:
    record = recorded(id="OWN", generation=4, deposed=deposed)
    earlier = [observed(each, of_deposed, generation=number + 1) for number, each in enumerate(deposed)]
    return plan_of([desired(spec=JSON)], [record], [observed("OWN", status, generation=4), *earlier])


def removed(count: int, *, destroy: bool = False) -> Plan:
    known = [recorded(f"l/b{number}", f"B{number}", on_remove=OnRemove.DELETE) for number in range(count)]
    seen = [observed(each.id, "success", address=each.address) for each in known]
    known, seen = [*known, recorded("m/kept", "KEPT")], [*seen, observed("KEPT", address="m/kept")]
    return plan_of([desired("m/kept")], known, seen, scope=Scope(destroy=destroy))


def merging(*names: str) -> Plan:
    return plan_of([desired(spec=Spec(replaces=list(names)))])


PLANS = {
    "a replacement of an open batch": (replaced(), 1, 1, 0),
    "a replacement of a done batch": (replaced(status="success"), 1, 1, 0),
    "a replacement that deposes three more": (replaced("A", "B", "C"), 4, 1, 3),
    "a replacement that reverts two more": (replaced("A", "B", of_deposed="success"), 3, 1, 2),
    "a replacement whose earlier batches are gone": (replaced("A", "B", of_deposed="aborted"), 1, 1, 0),
    "a batch that replays foreign ids": (merging("01X", "01Y", "01Z"), 3, 0, 3),
    "a batch that replays an address": (merging("loyalty/other"), 1, 0, 1),
    "removals": (removed(3), 3, 0, 3),
    "everything": (removed(3, destroy=True), 4, 0, 4),
    "a create": (plan_of([desired()]), 0, 0, 0),
}


@pytest.mark.parametrize("name", PLANS)
def test_each_batch_that_goes_counts(name: str) -> None:
    plan, destroy, replace, delete = PLANS[name]
    assert plan.summary.destroy == destroy
    assert f" {destroy} to destroy" in summary_line(plan)
    assert check_limits(plan, Limits(create=1, replace=replace, delete=delete)) is None
    if replace:
        problem = check_limits(plan, Limits(replace=replace - 1))
        assert f"it would replace {replace}, and `limits.replace`" in str(problem)
    if delete:
        problem = check_limits(plan, Limits(delete=delete - 1))
        assert f"it would delete {delete}, and `limits.delete`" in str(problem)
