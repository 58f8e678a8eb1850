"""A plan as a JSON document, in the field names of Terraform's JSON plan: policies and tools for that carry over.

Made for machines: words that code may branch on, nothing worded for people. Holds no secret: a plan knows none. The
form is declared here once: what writes it, `planfile` that reads it back and the JSON Schema follow.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, Literal, NotRequired

from pydantic import BeforeValidator, Field, WithJsonSchema, WrapValidator
from typing_extensions import TypedDict

from reconciler.core.address import split
from reconciler.core.batch import Address, Record, Sha256, Text
from reconciler.core.plans.observation import CatalogRead
from reconciler.core.plans.plan import Action, Effect, Reason
from reconciler.core.states.lines import fields_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.core.plans.plan import Change, Conflict, Drift, Orphan, Plan

FORMATS = ("1.0", "1.1")
"""Major and minor, lowest first: a plan is written in the lowest one that can say what it does. Reconciler 0.1.0 reads
the first alone, which does not know by which verb a batch goes, nor that one that exists is completed."""


def format_of(plan: Plan) -> str:
    """The lowest format that can say what a plan does."""
    says_more = any(each.withdraw or (each.completes and not each.creates) for each in plan.changes)
    return FORMATS[says_more]


TYPE: Literal["aep_batch"] = "aep_batch"

Word = Literal["create", "update", "delete", "forget", "no-op"]

ACTIONS: dict[Action, list[Word]] = {
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

REASONS = {reason.name.lower(): reason for reason in Reason}


def _read_reason(word: object) -> object:
    """The reason that a word stands for; pydantic refuses what is none."""
    return REASONS.get(word) if isinstance(word, str) else None


ReasonWord = Annotated[Reason, BeforeValidator(_read_reason), WithJsonSchema({"enum": [*sorted(REASONS)]})]

Count = Annotated[int, Field(ge=0)]


def _read_record(value: Any, read: Callable[[Any], Record]) -> Record:  # noqa: ANN401  (JSON)
    """A record whose id is null where AEP has yet to choose one."""
    is_unknown = isinstance(value, dict) and "id" in value and value["id"] is None
    record = read({**value, "id": "?"} if is_unknown else value)
    return replace(record, id="") if is_unknown else record


PlannedRecord = Annotated[Record, WrapValidator(_read_record)]


class Id(TypedDict):
    """A batch by its id."""

    id: Text


class UnknownId(TypedDict):
    """Whether AEP has yet to choose the id."""

    id: NotRequired[Literal[True]]


class BeforeAndAfter(TypedDict):
    """The record before and after, as a person or a policy reads them."""

    actions: list[Word]
    after: PlannedRecord | None
    after_unknown: UnknownId
    before: PlannedRecord | None
    importing: Id | None


class ChangeEntry(TypedDict):
    """One change: what a person or a policy reads, and under `effect` exactly what is approved."""

    action_reason: ReasonWord
    address: Address
    change: BeforeAndAfter
    effect: Effect
    name: Text
    previous_address: Address | None
    type: Literal["aep_batch"]


class DriftActions(TypedDict):
    """What another hand did."""

    actions: list[Literal["delete", "update"]]


class DriftEntry(TypedDict):
    """One batch that another hand changed."""

    address: Address
    change: DriftActions
    errors: list[str]
    hint: str | None
    id: Text
    message: Text
    status: Text
    type: Literal["aep_batch"]


class ConflictEntry(TypedDict):
    """One address that only a person can settle."""

    address: Address
    file: str | None
    hint: Text
    ids: list[str]
    message: Text


class OrphanEntry(TypedDict):
    """One live batch with our marker that no record knows."""

    address: str | None
    id: Text
    status: Text


Counts = TypedDict(
    "Counts",
    {
        "add": Count,
        "adopt": Count,
        "change": Count,
        "destroy": Count,
        "drift": Count,
        "forget": Count,
        "import": Count,
        "move": Count,
    },
)


SUMMARY = {"imported": "import"}
"""The count that is named otherwise than in `plan.Summary`: its word is one of Python's."""


class Head(TypedDict):
    """Everything but the lists, which may be long."""

    declared: Count
    destroys_all: bool
    digest: Sha256
    environment: Text
    format_version: Literal["1.0", "1.1"]
    how: str
    org: Text
    project: Text
    read: NotRequired[CatalogRead]
    """How much of Catalog was read; files of an older version say it in `how` alone."""
    recorded: Count
    refresh_only: bool
    replaced: list[str]
    sandbox: Text
    summary: Counts
    targets: list[str]
    today: date
    unsettled: Count


class PlanDocument(Head):
    """The whole document."""

    conflicts: list[ConflictEntry]
    orphans: list[OrphanEntry]
    reconciler_version: Text
    resource_changes: list[ChangeEntry]
    resource_drift: list[DriftEntry]


def head_of(plan: Plan) -> dict[str, Any]:
    """Everything but the lists, as JSON."""
    who = plan.identity
    return {
        "declared": plan.declared,
        "destroys_all": plan.destroys_all,
        "digest": plan.digest,
        "environment": who.environment,
        "format_version": format_of(plan),
        "how": plan.how,
        "org": who.org,
        "project": who.project,
        "read": plan.read,
        "recorded": plan.recorded,
        "refresh_only": plan.refresh_only,
        "replaced": list(plan.replaced),
        "sandbox": who.sandbox,
        "summary": dict(sorted((SUMMARY.get(name, name), each) for name, each in asdict(plan.summary).items())),
        "targets": list(plan.targets),
        "today": plan.today.isoformat(),
        "unsettled": plan.unsettled,
    }


def change_entry(change: Change) -> dict[str, Any]:
    """One change, as JSON."""
    after = change.after
    imports = change.action in {Action.ADOPT, Action.IMPORT} and after is not None
    return {
        "action_reason": change.reason.name.lower(),
        "address": change.address,
        "change": {
            "actions": ACTIONS[change.action],
            "after": _record(after),
            "after_unknown": {"id": True} if after is not None and not after.id else {},
            "before": _record(change.before),
            "importing": {"id": after.id} if imports and after else None,
        },
        "effect": change.effect,
        "name": split(change.address)[1],
        "previous_address": change.previous_address,
        "type": TYPE,
    }


def _record(record: Record | None) -> dict[str, Any] | None:
    """A record as it stands in a line of the state, with both lists of ids, and null for an id that is not chosen."""
    if record is None:
        return None
    return {"deposed": (), "rivals": (), **fields_of(record), "id": record.id or None}


def drift_entry(drift: Drift) -> DriftEntry:
    """One batch that another hand changed."""
    return {
        "address": drift.address,
        "change": {"actions": ["delete" if drift.is_missing else "update"]},
        "errors": list(drift.errors),
        "hint": drift.hint,
        "id": drift.id,
        "message": drift.message,
        "status": drift.status,
        "type": TYPE,
    }


def conflict_entry(conflict: Conflict) -> ConflictEntry:
    """One address that only a person can settle."""
    return {
        "address": conflict.address,
        "file": conflict.place.file if conflict.place else None,
        "hint": conflict.hint,
        "ids": list(conflict.ids),
        "message": conflict.message,
    }


def orphan_entry(orphan: Orphan) -> OrphanEntry:
    """One live batch with our marker that no record knows."""
    return {"address": orphan.address, "id": orphan.id, "status": orphan.status}
