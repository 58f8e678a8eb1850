"""JSON Schema (2020-12) of what is written, made from the declarations that are also read: they cannot disagree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import TypeAdapter

    from reconciler.core.batch import Json

    Object = dict[str, Json]

_OF_CLASSES = {"description", "title"}

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_of(adapter: TypeAdapter[Any]) -> Object:
    """The schema of a declared value; an object has the declared fields and no others.

    What a class says of itself is written for readers of the code and left out; what a field says is kept.
    """
    schema: Object = _closed(adapter.json_schema())
    return schema


def or_null(schema: Object) -> Object:
    """What the schema describes, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def _closed(schema: Any) -> Any:  # noqa: ANN401  (any part of a schema)
    match schema:
        case {"properties": properties}:
            parts = {name: _closed(value) for name, value in schema.items() if name not in _OF_CLASSES | {"properties"}}
            fields = {name: _closed(value) for name, value in properties.items()}
            return {"additionalProperties": False, **parts, "properties": fields}
        case {}:
            return {name: _closed(value) for name, value in schema.items() if name != "title"}
        case list():
            return [_closed(each) for each in schema]
        case _:
            return schema
