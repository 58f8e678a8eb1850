"""The JSON Schema agrees with the tool: each golden manifest, read as an editor reads it, is valid for both or none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from reconciler.core.manifests.positions import unmarked
from reconciler.core.manifests.schema import manifest_schema, project_schema

CASES = Path(__file__).parents[2] / "golden" / "manifests"

BEYOND_A_SCHEMA = {
    "byte-order-mark-twice",
    "colliding-external-ids",
    "csv-with-json",
    "duplicate-batch",
    "duplicate-external-id",
    "duplicate-field",
    "escaped-control-character",
    "external-id-as-derived",
    "external-id-of-a-generation",
    "imports-to-nowhere",
    "imports-twice",
    "lone-surrogate",
    "missing-id-for-environment",
    "move-of-declared",
    "move-to-itself",
    "move-to-nowhere",
    "moves-in-a-circle",
    "moves-twice",
    "moving-range",
    "multiline-with-csv",
    "number-with-leading-zero",
    "placeholder-in-defaults",
    "placeholder-without-each",
    "project-empty",
    "project-unknown-default",
    "range-absurd",
    "range-backwards",
    "range-beyond-the-calendar",
    "range-into-the-past",
    "replaces-itself",
    "shared-external-id",
    "stray-brace",
    "too-long-address",
    "undeclared-replaces",
    "unknown-environment-in-id",
    "unknown-placeholder",
    "week-by-days",
    "week-from-thursday",
    "wrong-format-in-defaults",
}
"""Mistakes that only the tool finds: they depend on characters, on other fields and files, or on the day."""


class Editor(yaml.SafeLoader):
    """Reads scalars as editors do, by the core rules of YAML 1.2."""

    yaml_implicit_resolvers = {}  # noqa: RUF012  (PyYAML's way to say: no types of YAML 1.1)


for kind, pattern, first in (
    ("bool", r"(?:true|True|TRUE|false|False|FALSE)\Z", "tTfF"),
    ("null", r"(?:~|null|Null|NULL|)\Z", ["~", "n", "N", ""]),
    ("int", r"[-+]?[0-9]+\Z", "-+0123456789"),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z", "-+.0123456789"),
):
    Editor.add_implicit_resolver(f"tag:yaml.org,2002:{kind}", re.compile(pattern), list(first))


def cases(kind: str) -> list[Path]:
    return sorted((CASES / kind).rglob("*.yaml"))


def is_valid(path: Path) -> bool:
    schema = project_schema() if path.name.startswith(("project-", "reconciler")) else manifest_schema()
    validator = Draft202012Validator(schema)
    documents = yaml.load_all(unmarked(path.read_text("utf-8")), Editor)
    return all(validator.is_valid(_with_text_keys(each)) for each in documents if each is not None)


def _with_text_keys(data: object) -> object:
    if isinstance(data, dict):
        return {str(key): _with_text_keys(value) for key, value in data.items()}
    return [_with_text_keys(each) for each in data] if isinstance(data, list) else data


@pytest.mark.parametrize("schema", [manifest_schema(), project_schema()])
def test_the_schemas_are_schemas(schema: dict[str, object]) -> None:
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("case", cases("ok"), ids=lambda path: path.name)
def test_what_the_tool_takes_the_schema_takes(case: Path) -> None:
    assert is_valid(case)


def test_what_the_schema_does_not_see_is_known() -> None:
    unseen = set()
    for case in cases("err"):
        try:
            if case.parent.name == "err" and is_valid(case):
                unseen.add(case.stem)
        except (yaml.YAMLError, TypeError, RecursionError):
            continue
    assert unseen == BEYOND_A_SCHEMA


def test_every_field_is_described() -> None:
    for schema in (manifest_schema(), project_schema()):
        definitions = schema["$defs"]
        assert isinstance(definitions, dict)
        for definition in (schema, *definitions.values()):
            assert isinstance(definition, dict)
            properties = definition["properties"]
            assert isinstance(properties, dict)
            for name, field in properties.items():
                assert isinstance(field, dict)
                assert field.get("description"), name
