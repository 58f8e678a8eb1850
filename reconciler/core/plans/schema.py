"""JSON Schema of `plan --format json`, of plan files and of `show --format json`. For policies and checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.core.json_schema import DIALECT, or_null, schema_of
from reconciler.core.plans.document import PlanDocument
from reconciler.core.states.lines import adapter_of

if TYPE_CHECKING:
    from reconciler.core.json_schema import Object


def plan_schema() -> Object:
    """The schema of the document."""
    schema = schema_of(adapter_of(PlanDocument))
    definitions = schema["$defs"]
    assert isinstance(definitions, dict)
    record = definitions["Record"]
    assert isinstance(record, dict)
    definitions["Record"] = _planned(record)
    return {"$schema": DIALECT, **schema, "title": "A reconciler plan"}


def _planned(record: Object) -> Object:
    """A record in a plan: its id may not be chosen yet, and both lists of ids are always there."""
    properties, required = record["properties"], record["required"]
    assert isinstance(properties, dict)
    assert isinstance(required, list)
    batch = properties["id"]
    assert isinstance(batch, dict)
    return {
        **record,
        "properties": {**properties, "id": or_null(batch)},
        "required": [*required, "deposed", "rivals"],
    }
