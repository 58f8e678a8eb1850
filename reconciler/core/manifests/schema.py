"""JSON Schema of manifests and project file, for editors and checks, made from the models.

An editor reads YAML in another way: what is a text here (`2026`, `no`, `null` as a name) is a number, a truth value or
nothing for its schema. There the schema accepts more than `parse`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic.json_schema import GenerateJsonSchema

from reconciler.core.json_schema import DIALECT
from reconciler.core.manifests import models
from reconciler.core.manifests.fields import null_as_list, null_as_mapping

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.json_schema import CoreSchemaOrField, JsonSchemaValue  # type: ignore[attr-defined]  # not in __all__
    from pydantic_core import core_schema

    from reconciler.core.batch import Json

NOTHING = {"type": "null"}


def manifest_schema() -> dict[str, Json]:
    """The schema of one document of a manifest."""
    schema = _schema(models.DatasetFields, "reconciler manifest")
    schema["dependentRequired"] = {
        "dataset": ["id"],
        "id": ["dataset"],
        "batches": ["dataset"],
        "defaults": ["dataset"],
    }
    return schema


def project_schema() -> dict[str, Json]:
    """The schema of the project file."""
    return _schema(models.ProjectFields, "reconciler project file")


def _schema(model: type[BaseModel], title: str) -> dict[str, Json]:
    schema = model.model_json_schema(schema_generator=_Generator, ref_template="#/$defs/{model}")
    return {"$schema": DIALECT, **schema, "title": title}


class _Generator(GenerateJsonSchema):
    """pydantic's generator, changed to fit how YAML is read here."""

    def str_schema(self, schema: core_schema.StringSchema) -> JsonSchemaValue:
        """A text may be written without quotes, also if it looks like another type."""
        return {**super().str_schema(schema), "type": ["string", "number", "boolean", "null"]}

    def field_title_should_be_set(self, schema: CoreSchemaOrField) -> bool:  # noqa: ARG002  (pydantic names it)
        """A field's name is its title."""
        return False

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        """A name that does not fit its pattern is a mistake."""
        made = super().dict_schema(schema)
        return {**made, "additionalProperties": False} if "patternProperties" in made else made

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        """None means that a field is not written; an empty value is a mistake."""
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """The descriptions tell the defaults: many depend on `defaults` of the dataset."""
        return self.generate_inner(schema["schema"])

    def function_before_schema(self, schema: core_schema.BeforeValidatorFunctionSchema) -> JsonSchemaValue:
        """Where nothing is read as an empty mapping or list, the schema takes nothing as well."""
        inner = self.generate_inner(schema["schema"])
        if schema["function"]["function"] in {null_as_list, null_as_mapping}:
            return {"anyOf": [inner, NOTHING]}
        return inner
