"""JSON Schemas (2020-12) of what is written: a plan and a line of the state file. For editors, policies, checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.core.batch import Stage
from reconciler.core.plan import Action, Reason
from reconciler.core.plan_document import ACTIONS, FORMAT_VERSION, TYPE

if TYPE_CHECKING:
    from reconciler.core.batch import Json

    Object = dict[str, Json]

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_TEXT: Object = {"type": "string"}
_NAME: Object = {"type": "string", "minLength": 1}
_COUNT: Object = {"type": "integer", "minimum": 0}
_FLAG: Object = {"type": "boolean"}
_NAMES: Object = {"type": "array", "items": _TEXT}
_ADDRESS: Object = {
    "type": "string",
    "maxLength": 512,
    "pattern": r"^[a-z0-9][a-z0-9._-]*/[a-z0-9][a-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*$",
}


def _or_null(schema: Object) -> Object:
    return {"anyOf": [schema, {"type": "null"}]}


def _closed(properties: Object, *, optional: tuple[str, ...] = ()) -> Object:
    """An object with these properties and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in sorted(properties) if name not in optional],
        "additionalProperties": False,
    }


def _spec() -> Object:
    csv: Object = dict.fromkeys(("charset", "delimiter", "escape", "null_marker", "quote"), _TEXT)
    fields: Object = {
        "csv": _closed({**csv, "header": _FLAG}, optional=(*csv, "header")),
        "error_diagnostics": _FLAG,
        "format": _TEXT,
        "multiline": _FLAG,
        "partial_ingestion_percent": {"type": "integer"},
        "replaces": _NAMES,
        "tags": {"type": "object", "additionalProperties": _NAMES},
    }
    return _closed(fields, optional=tuple(fields))


def _facts(batch: Object) -> Object:
    return {
        "dataset": _NAME,
        "deposed": _NAMES,
        "external_id": _NAME,
        "generation": {"type": "integer", "minimum": 1},
        "id": batch,
        "on_remove": {"enum": ["forget", "delete"]},
        "rivals": _NAMES,
        "spec": {"$ref": "#/$defs/spec"},
    }


_CONTENT = ("begun", "files", "stage")
"""What only a batch with declared files has."""


def _content() -> Object:
    name: Object = {"type": "string", "minLength": 1}
    file: Object = {
        "type": "array",
        "prefixItems": [name, _COUNT, {"type": "string", "pattern": "^[0-9a-f]{64}$"}],
        "items": False,
        "minItems": 3,
    }
    files: Object = {"type": "array", "items": file}
    return {"begun": files, "files": files, "stage": {"enum": ["completing", "completed"]}}


def state_schema() -> Object:
    """The schema of one line of a state file: its header, a record, or its end. A line may carry a checksum, `sum`."""
    seal: Object = {"sum": {"type": "string", "pattern": "^[0-9a-f]{8}$"}}
    header: Object = dict.fromkeys(("environment", "org", "project", "sandbox"), _NAME)
    record = {"address": _ADDRESS, **_facts(_NAME), **_content(), **seal}
    return {
        "$schema": DIALECT,
        "title": "A line of a reconciler state file",
        "oneOf": [
            _closed({"format": {"const": 1}, **header, **seal}, optional=("sum",)),
            _closed(record, optional=("deposed", "rivals", "sum", *_CONTENT)),
            _closed({"end": {"const": True}}),
        ],
        "$defs": {"spec": _spec()},
    }


def plan_schema() -> Object:
    """The schema of `plan --format json`, of plan files and of `show --format json`."""
    flags: Object = dict.fromkeys(("destroys_all", "refresh_only"), _FLAG)
    names: Object = dict.fromkeys(("environment", "org", "project", "reconciler_version", "sandbox"), _NAME)
    counts: Object = dict.fromkeys(("declared", "recorded", "unsettled"), _COUNT)
    lists: Object = {name: {"type": "array", "items": _TEXT} for name in ("replaced", "targets")}
    summary: Object = dict.fromkeys(("add", "adopt", "change", "destroy", "drift", "forget", "import", "move"), _COUNT)
    return {
        "$schema": DIALECT,
        "title": "A reconciler plan",
        **_closed(
            {
                **flags,
                **names,
                **counts,
                **lists,
                "conflicts": {"type": "array", "items": {"$ref": "#/$defs/conflict"}},
                "digest": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
                "format_version": {"const": FORMAT_VERSION},
                "how": _TEXT,
                "orphans": {"type": "array", "items": {"$ref": "#/$defs/orphan"}},
                "resource_changes": {"type": "array", "items": {"$ref": "#/$defs/resource_change"}},
                "resource_drift": {"type": "array", "items": {"$ref": "#/$defs/resource_drift"}},
                "summary": _closed(summary),
                "today": {"type": "string", "format": "date"},
            }
        ),
        "$defs": {
            "conflict": _conflict(),
            "effect": _effect(),
            "orphan": _closed({"address": _or_null(_TEXT), "id": _NAME, "status": _NAME}),
            "record": _closed({"address": _ADDRESS, **_facts(_or_null(_NAME)), **_content()}, optional=_CONTENT),
            "resource_change": _resource_change(),
            "resource_drift": _resource_drift(),
            "spec": _spec(),
        },
    }


def _resource_change() -> Object:
    change: Object = {
        "actions": {"enum": sorted(_unique(list(ACTIONS.values())), key=str)},
        "after": _or_null({"$ref": "#/$defs/record"}),
        "after_unknown": _closed({"id": {"const": True}}, optional=("id",)),
        "before": _or_null({"$ref": "#/$defs/record"}),
        "importing": _or_null(_closed({"id": _NAME})),
    }
    return _closed(
        {
            "action_reason": {"enum": [*sorted(reason.name.lower() for reason in Reason)]},
            "address": _ADDRESS,
            "change": _closed(change),
            "effect": {"$ref": "#/$defs/effect"},
            "name": _NAME,
            "previous_address": _or_null(_ADDRESS),
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
    return _closed(
        {
            "action": {"enum": [*sorted(action.value for action in Action)]},
            "address": _ADDRESS,
            "after": _or_null(_closed({**_facts(_TEXT), **content}, optional=tuple(content))),
            "before": _or_null(_NAME),
            "predecessors": _NAMES,
            "previous_address": _or_null(_ADDRESS),
            "retags": _FLAG,
            "untags": _NAMES,
            "withdraw": _NAMES,
        }
    )


def _resource_drift() -> Object:
    return _closed(
        {
            "address": _ADDRESS,
            "change": _closed({"actions": {"enum": [["delete"], ["update"]]}}),
            "errors": _NAMES,
            "hint": _or_null(_TEXT),
            "id": _NAME,
            "message": _NAME,
            "status": _NAME,
            "type": {"const": TYPE},
        }
    )


def _conflict() -> Object:
    return _closed({"address": _ADDRESS, "file": _or_null(_TEXT), "hint": _NAME, "ids": _NAMES, "message": _NAME})
