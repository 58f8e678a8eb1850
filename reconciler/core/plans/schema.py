"""JSON Schemas (2020-12) of what is written: a plan and a line of the state file. For editors, policies, checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.core.batch import Stage
from reconciler.core.plans.document import ACTIONS, FORMAT_VERSION, TYPE
from reconciler.core.plans.plan import Action, Reason
from reconciler.core.states.schema import (
    ADDRESS,
    CONTENT,
    COUNT,
    DIALECT,
    FLAG,
    NAME,
    NAMES,
    TEXT,
    closed,
    content,
    facts,
    or_null,
    spec_schema,
)

if TYPE_CHECKING:
    from reconciler.core.batch import Json

    Object = dict[str, Json]


def plan_schema() -> Object:
    """The schema of `plan --format json`, of plan files and of `show --format json`."""
    flags: Object = dict.fromkeys(("destroys_all", "refresh_only"), FLAG)
    names: Object = dict.fromkeys(("environment", "org", "project", "reconciler_version", "sandbox"), NAME)
    counts: Object = dict.fromkeys(("declared", "recorded", "unsettled"), COUNT)
    lists: Object = {name: {"type": "array", "items": TEXT} for name in ("replaced", "targets")}
    summary: Object = dict.fromkeys(("add", "adopt", "change", "destroy", "drift", "forget", "import", "move"), COUNT)
    return {
        "$schema": DIALECT,
        "title": "A reconciler plan",
        **closed(
            {
                **flags,
                **names,
                **counts,
                **lists,
                "conflicts": {"type": "array", "items": {"$ref": "#/$defs/conflict"}},
                "digest": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
                "format_version": {"const": FORMAT_VERSION},
                "how": TEXT,
                "orphans": {"type": "array", "items": {"$ref": "#/$defs/orphan"}},
                "resource_changes": {"type": "array", "items": {"$ref": "#/$defs/resource_change"}},
                "resource_drift": {"type": "array", "items": {"$ref": "#/$defs/resource_drift"}},
                "summary": closed(summary),
                "today": {"type": "string", "format": "date"},
            }
        ),
        "$defs": {
            "conflict": _conflict(),
            "effect": _effect(),
            "orphan": closed({"address": or_null(TEXT), "id": NAME, "status": NAME}),
            "record": closed({"address": ADDRESS, **facts(or_null(NAME)), **content()}, optional=CONTENT),
            "resource_change": _resource_change(),
            "resource_drift": _resource_drift(),
            "spec": spec_schema(),
        },
    }


def _resource_change() -> Object:
    change: Object = {
        "actions": {"enum": sorted(_unique(list(ACTIONS.values())), key=str)},
        "after": or_null({"$ref": "#/$defs/record"}),
        "after_unknown": closed({"id": {"const": True}}, optional=("id",)),
        "before": or_null({"$ref": "#/$defs/record"}),
        "importing": or_null(closed({"id": NAME})),
    }
    return closed(
        {
            "action_reason": {"enum": [*sorted(reason.name.lower() for reason in Reason)]},
            "address": ADDRESS,
            "change": closed(change),
            "effect": {"$ref": "#/$defs/effect"},
            "name": NAME,
            "previous_address": or_null(ADDRESS),
            "type": {"const": TYPE},
        }
    )


def _unique(values: list[list[Json]]) -> list[Json]:
    found: list[Json] = []
    for value in values:
        if value not in found:
            found.append(value)
    return found


def _effect() -> Object:
    content: Object = {"files": {"type": "string"}, "stage": {"enum": [*Stage]}}
    return closed(
        {
            "action": {"enum": [*sorted(action.value for action in Action)]},
            "address": ADDRESS,
            "after": or_null(closed({**facts(TEXT), **content}, optional=tuple(content))),
            "before": or_null(NAME),
            "predecessors": NAMES,
            "previous_address": or_null(ADDRESS),
            "retags": FLAG,
            "untags": NAMES,
            "withdraw": NAMES,
        }
    )


def _resource_drift() -> Object:
    return closed(
        {
            "address": ADDRESS,
            "change": closed({"actions": {"enum": [["delete"], ["update"]]}}),
            "errors": NAMES,
            "hint": or_null(TEXT),
            "id": NAME,
            "message": NAME,
            "status": NAME,
            "type": {"const": TYPE},
        }
    )


def _conflict() -> Object:
    return closed({"address": ADDRESS, "file": or_null(TEXT), "hint": NAME, "ids": NAMES, "message": NAME})
