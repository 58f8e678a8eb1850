"""A saved plan, read back: the same plan, or a refusal."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from reconciler.core.errors import ExitCode, Refused
from reconciler.core.plans import planfile
from reconciler.core.plans.observation import CatalogRead
from reconciler.core.plans.planfile import parse_plan
from reconciler.core.plans.schema import plan_schema
from reconciler.core.states.schema import state_schema
from reconciler.core.states.state import State, dump
from reconciler.views.plan_json import dump_plan
from reconciler.views.plan_markdown import render_plan as markdown
from reconciler.views.plan_text import render_plan as text
from tests.examples import WHO, recorded
from tests.golden.plans.examples import EXAMPLES, every_action

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.core.plans.plan import Plan

    Path = tuple[str | int, ...]


def saved(plan: Plan) -> bytes:
    return dump_plan(plan).encode()


def as_document(plan: Plan) -> Any:
    return json.loads(saved(plan))


def encoded(document: object) -> bytes:
    return json.dumps(document).encode()


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_saved_plan_shows_as_it_was(name: str) -> None:
    plan = EXAMPLES[name]()
    again = parse_plan(saved(plan))
    assert saved(again) == saved(plan)
    assert markdown(again) == markdown(plan)
    assert list(text(again, color=False, verbose=True)) == list(text(plan, color=False, verbose=True))


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_is_written_is_one_document_in_sorted_keys(name: str) -> None:
    plan = EXAMPLES[name]()
    written = saved(plan)
    document = json.loads(written)
    assert list(document) == sorted(document)
    assert written.endswith(b"}\n")
    assert not written.endswith(b"\n\n")
    assert b"##[" not in written


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_is_written_has_the_printed_schema(name: str) -> None:
    schema = plan_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(as_document(EXAMPLES[name]()), schema)


def test_every_line_of_a_state_has_the_printed_schema() -> None:
    schema = state_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    records = [recorded("loyalty/a", "A", spec={"tags": {"t": ["v"]}}, deposed=("B",)), recorded("loyalty/b", "C")]
    for line in dump(State(WHO, {each.address: each for each in records})).decode().splitlines():
        jsonschema.validate(json.loads(line), schema)


def test_an_approved_plan_knows_its_effects() -> None:
    plan = every_action()
    approved = parse_plan(saved(plan))
    assert approved.digest == plan.digest
    assert approved.today == plan.today
    assert approved.identity == plan.identity
    assert effects(approved) == effects(plan)


def effects(plan: Plan) -> dict[str, Any]:
    return {change.address: change.effect for change in plan.changes}


def test_a_file_of_an_older_version_is_read() -> None:
    """Files of version 0.1.0 do not say in a word how much of Catalog was read."""
    older = {name: value for name, value in DOCUMENT.items() if name != "read"}
    assert parse_plan(encoded(older)).read is CatalogRead.EVERYTHING
    unread = parse_plan(encoded({**older, "how": "Catalog was not read (`--no-refresh`)"}))
    assert unread.read is CatalogRead.NOTHING
    assert unread.digest == DOCUMENT["digest"]


def test_white_space_is_nobodys_business() -> None:
    document = as_document(every_action())
    assert parse_plan(json.dumps(document, indent=4).encode()).digest == document["digest"]


def paths(value: Any, above: Path = ()) -> Iterator[Path]:
    if above:
        yield above
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in items:
        yield from paths(each, (*above, key))


def holder(document: Any, path: Path) -> Any:
    for step in path[:-1]:
        document = document[step]
    return document


DOCUMENT: Any = as_document(every_action())

PATHS = list(paths(DOCUMENT))


def mutations(value: Any) -> list[Any]:
    match value:
        case bool():
            return [not value, int(value), None]
        case int():
            return [value + 1, str(value), True]
        case str():
            return [value + "x", "", None, 1]
        case list():
            return [[*value, "x"], value[1:] if value else None, {}]
        case dict():
            return [{**value, "more": 1}, {}, None]
        case _:
            return ["x", 0, False, {}]


def mutated() -> Iterator[tuple[Path, bytes]]:
    """The document with each of its values changed, one at a time."""
    document = copy.deepcopy(DOCUMENT)
    for path in PATHS:
        owner = holder(document, path)
        value = owner[path[-1]]
        for other in mutations(value):
            owner[path[-1]] = other
            yield path, encoded(document)
        owner[path[-1]] = value


def test_a_changed_value_is_refused_or_bound_to_nothing() -> None:
    original = parse_plan(encoded(DOCUMENT))
    for path, data in mutated():
        try:
            approved = parse_plan(data)
        except Refused:
            continue
        assert effects(approved) == effects(original), path
        assert approved.identity == original.identity, path


def test_a_missing_value_is_refused() -> None:
    for path in PATHS:
        document = copy.deepcopy(DOCUMENT)
        owner = holder(document, path)
        del owner[path[-1]]
        try:
            left = parse_plan(encoded(document))
        except Refused:
            continue
        # What a batch was is no part of an effect; `compare` looks at it again.
        assert path == ("read",) or {"before", "spec"} <= {*path}, path
        assert left.digest == DOCUMENT["digest"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not a plan file"),
        (b"\xff", "not a plan file"),
        (b"[]", "not a plan file"),
        (b"[" * 100_000, "not a plan file"),
        (b'{"a": 1, "a": 2}', "not a plan file"),
        (b"{}", "no `format_version`"),
        (b'{"format_version": "2.0"}', "has format 2.0"),
        (b'{"format_version": "1.0"}', "not as `plan --out` wrote it"),
        (b'{"format_version": "1.0", "resource_changes": [1]}', "not as `plan --out` wrote it"),
    ],
)
def test_what_is_no_plan_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(Refused, match=words) as raised:
        parse_plan(data)
    assert raised.value.hint
    assert raised.value.exit_code is ExitCode.REFUSED


def test_an_address_twice_is_refused() -> None:
    document = copy.deepcopy(DOCUMENT)
    document["resource_changes"].append(document["resource_changes"][0])
    with pytest.raises(Refused):
        parse_plan(encoded(document))


def test_a_file_beyond_reason_is_not_read() -> None:
    class Huge(bytes):
        def __len__(self) -> int:
            return planfile.MAX_BYTES + 1

    with pytest.raises(Refused, match="bytes"):
        parse_plan(Huge())
