"""JSON Schema (2020-12) of a line of a state file. For editors and checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reconciler.core.batch import Json

    Object = dict[str, Json]

DIALECT = "https://json-schema.org/draft/2020-12/schema"

TEXT: Object = {"type": "string"}
NAME: Object = {"type": "string", "minLength": 1}
COUNT: Object = {"type": "integer", "minimum": 0}
FLAG: Object = {"type": "boolean"}
NAMES: Object = {"type": "array", "items": TEXT}
ADDRESS: Object = {
    "type": "string",
    "maxLength": 512,
    "pattern": r"^[a-z0-9][a-z0-9._-]*/[a-z0-9][a-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*$",
}


def or_null(schema: Object) -> Object:
    """What the schema describes, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def closed(properties: Object, *, optional: tuple[str, ...] = ()) -> Object:
    """An object with these properties and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in sorted(properties) if name not in optional],
        "additionalProperties": False,
    }


def spec_schema() -> Object:
    """The schema of a spec."""
    csv: Object = dict.fromkeys(("charset", "delimiter", "escape", "null_marker", "quote"), TEXT)
    fields: Object = {
        "csv": closed({**csv, "header": FLAG}, optional=(*csv, "header")),
        "error_diagnostics": FLAG,
        "format": TEXT,
        "multiline": FLAG,
        "partial_ingestion_percent": {"type": "integer"},
        "replaces": NAMES,
        "tags": {"type": "object", "additionalProperties": NAMES},
    }
    return closed(fields, optional=tuple(fields))


def facts(batch: Object) -> Object:
    """What a record says of its batch; `batch` is the schema of the id."""
    return {
        "dataset": NAME,
        "deposed": NAMES,
        "external_id": NAME,
        "generation": {"type": "integer", "minimum": 1},
        "id": batch,
        "on_remove": {"enum": ["forget", "delete"]},
        "rivals": NAMES,
        "spec": {"$ref": "#/$defs/spec"},
    }


CONTENT = ("begun", "files", "stage")
"""What only a batch with declared files has."""


def content() -> Object:
    """What a record says of its files."""
    name: Object = {"type": "string", "minLength": 1}
    file: Object = {
        "type": "array",
        "prefixItems": [name, COUNT, {"type": "string", "pattern": "^[0-9a-f]{64}$"}],
        "items": False,
        "minItems": 3,
    }
    files: Object = {"type": "array", "items": file}
    return {"begun": files, "files": files, "stage": {"enum": ["completing", "completed"]}}


def state_schema() -> Object:
    """The schema of one line of a state file: its header, a record, or its end. A line may carry a checksum, `sum`."""
    seal: Object = {"sum": {"type": "string", "pattern": "^[0-9a-f]{8}$"}}
    header: Object = dict.fromkeys(("environment", "org", "project", "sandbox"), NAME)
    record = {"address": ADDRESS, **facts(NAME), **content(), **seal}
    return {
        "$schema": DIALECT,
        "title": "A line of a reconciler state file",
        "oneOf": [
            closed({"format": {"const": 1}, **header, **seal}, optional=("sum",)),
            closed(record, optional=("deposed", "rivals", "sum", *CONTENT)),
            closed({"end": {"const": True}}),
        ],
        "$defs": {"spec": spec_schema()},
    }
