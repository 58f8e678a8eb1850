"""JSON Schema of a line of a state file. For editors and checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.core.batch import Record
from reconciler.core.json_schema import DIALECT, schema_of
from reconciler.core.states.lines import adapter_of
from reconciler.core.states.state import FORMAT, StateHeader

if TYPE_CHECKING:
    from reconciler.core.json_schema import Object

_SUM: Object = {"type": "string", "pattern": "^[0-9a-f]{8}$"}


def state_schema() -> Object:
    """The schema of one line: the header, a record, or the end. A line may carry a checksum, `sum`."""
    record, header = schema_of(adapter_of(Record)), schema_of(adapter_of(StateHeader))
    definitions = record.pop("$defs")
    end: Object = {
        "type": "object",
        "properties": {"end": {"const": True}},
        "required": ["end"],
        "additionalProperties": False,
    }
    return {
        "$schema": DIALECT,
        "title": "A line of a reconciler state file",
        "oneOf": [_with(header, format={"enum": [*range(1, FORMAT + 1)]}, sum=_SUM), _with(record, sum=_SUM), end],
        "$defs": definitions,
    }


def _with(schema: Object, **properties: Object) -> Object:
    """The schema of an object with some fields described again, or added as optional ones."""
    known = schema["properties"]
    assert isinstance(known, dict)
    return {**schema, "properties": {**known, **properties}}
