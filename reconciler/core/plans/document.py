"""A plan as a JSON document, in the field names of Terraform's JSON plan: policies and tools for that carry over.

Made for machines: words that code may branch on, nothing worded for people. Holds no secret: a plan knows none.
`planfile` reads it back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.core.batch import Stage
from reconciler.core.plans.plan import Action
from reconciler.core.states import lines

if TYPE_CHECKING:
    from reconciler.core.batch import Json, Record
    from reconciler.core.plans.plan import Change, Conflict, Drift, Orphan, Plan

    Object = dict[str, Json]

FORMAT_VERSION = "1.0"
"""Major and minor; a new major means that old readers must refuse."""

TYPE = "aep_batch"

ACTIONS: dict[Action, list[Json]] = {
    Action.CREATE: ["create"],
    Action.ADOPT: ["no-op"],
    Action.IMPORT: ["no-op"],
    Action.UPDATE: ["update"],
    Action.REPLACE: ["create", "delete"],
    Action.MOVE: ["no-op"],
    Action.FORGET: ["forget"],
    Action.DELETE: ["delete"],
}
"""Terraform's words for each action (design §9)."""


def head_of(plan: Plan) -> Object:
    """Everything but the lists, which may be long."""
    who, count = plan.identity, plan.summary
    return {
        "declared": plan.declared,
        "destroys_all": plan.destroys_all,
        "digest": plan.digest,
        "environment": who.environment,
        "format_version": FORMAT_VERSION,
        "how": plan.how,
        "org": who.org,
        "project": who.project,
        "recorded": plan.recorded,
        "refresh_only": plan.refresh_only,
        "replaced": list(plan.replaced),
        "sandbox": who.sandbox,
        "summary": {
            "add": count.add,
            "adopt": count.adopt,
            "change": count.change,
            "destroy": count.destroy,
            "drift": count.drift,
            "forget": count.forget,
            "import": count.imported,
            "move": count.move,
        },
        "targets": list(plan.targets),
        "today": plan.today.isoformat(),
        "unsettled": plan.unsettled,
    }


def resource_change(change: Change) -> Object:
    """One change: what a person or a policy reads, and under `effect` exactly what is approved."""
    after = change.after
    unknown = after is not None and not after.id
    imports = change.action in {Action.ADOPT, Action.IMPORT} and after is not None
    return {
        "action_reason": change.reason.name.lower(),
        "address": change.address,
        "change": {
            "actions": ACTIONS[change.action],
            "after": _record(after),
            "after_unknown": {"id": True} if unknown else {},
            "before": _record(change.before),
            "importing": {"id": after.id} if imports and after else None,
        },
        "effect": change.effect,
        "name": change.address.partition("/")[2],
        "previous_address": change.previous_address,
        "type": TYPE,
    }


def _record(record: Record | None) -> Object | None:
    if record is None:
        return None
    files: Object = {
        name: [*lines.files_json(files)] for name, files in (("files", record.files), ("begun", record.begun)) if files
    }
    stage: Object = {} if record.stage is Stage.OPEN else {"stage": record.stage.value}
    return {
        **files,
        **stage,
        "address": record.address,
        "dataset": record.dataset,
        "deposed": list(record.deposed),
        "external_id": record.external_id,
        "generation": record.generation,
        "id": record.id or None,
        "on_remove": record.on_remove.value,
        "rivals": list(record.rivals),
        "spec": {**record.spec},  # type: ignore[dict-item]  # a TypedDict is plain JSON
    }


def resource_drift(drift: Drift) -> Object:
    """One batch that another hand changed."""
    return {
        "address": drift.address,
        "change": {"actions": ["delete" if drift.status == "missing" else "update"]},
        "errors": list(drift.errors),
        "hint": drift.hint,
        "id": drift.id,
        "message": drift.message,
        "status": drift.status,
        "type": TYPE,
    }


def conflict(each: Conflict) -> Object:
    """One address that only a person can settle."""
    return {
        "address": each.address,
        "file": each.place.file if each.place else None,
        "hint": each.hint,
        "ids": list(each.ids),
        "message": each.message,
    }


def orphan(each: Orphan) -> Object:
    """One live batch with our marker that no record knows."""
    return {"address": each.address, "id": each.id, "status": each.status}
