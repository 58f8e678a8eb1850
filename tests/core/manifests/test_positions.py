"""A symbolic place → line and column, for every kind of place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.diagnostics import Place
from reconciler.core.manifests.document import load
from reconciler.core.manifests.positions import Lookup, locate, locate_all, split_lines

if TYPE_CHECKING:
    from reconciler.core.diagnostics import Route
    from reconciler.core.manifests.source import Data

TEXT = """\
dataset: loyalty
id: &id {dev: "5c8c", local: x}
batches:
  daily:
    tags:
      team: [crm, 数据, emea]
    files:
      - data/a.json
      -   from: b
          to: c
  empty:
  again: *id
---
second: true
"""


def shown(route: Route, *, document: int = 0, key: bool = False) -> tuple[int, str]:
    span = locate(TEXT, Place("m.yaml", document, route), key=key)
    assert span is not None
    assert span.text == TEXT.splitlines()[span.line - 1]
    return span.line, span.text[span.column - 1 : span.end_column - 1]


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        ((), (1, "dataset: loyalty")),
        (("dataset",), (1, "loyalty")),
        (("id",), (2, '&id {dev: "5c8c", local: x}')),
        (("id", "dev"), (2, '"5c8c"')),
        (("batches",), (3, "batches")),
        (("batches", "daily", "tags", "team"), (6, "[crm, 数据, emea]")),
        (("batches", "daily", "tags", "team", 1), (6, "数据")),
        (("batches", "daily", "tags", "team", 2), (6, "emea")),
        (("batches", "daily", "files", 0), (8, "data/a.json")),
        (("batches", "daily", "files", 1), (9, "from: b")),
        (("batches", "daily", "files", 1, "to"), (10, "c")),
        (("batches", "empty"), (11, "empty")),
        (("batches", "again"), (12, "*id")),
        (("batches", "again", "dev"), (12, "again")),
        (("batches", "daily", "formt"), (4, "daily")),
        (("batches", "daily", "files", 7), (7, "files")),
        (("nowhere", "at", "all"), (1, "dataset: loyalty")),
    ],
)
def test_values(route: Route, expected: tuple[int, str]) -> None:
    assert shown(route) == expected


def test_keys() -> None:
    assert shown(("batches", "daily", "tags"), key=True) == (5, "tags")
    assert shown(("id", "dev"), key=True) == (2, "dev")
    assert shown(("batches", "daily", "files", 0), key=True) == (8, "data/a.json")


def test_other_documents() -> None:
    assert shown(("second",), document=1) == (14, "true")
    assert shown((), document=1) == (14, "second: true")
    assert locate(TEXT, Place("m.yaml", 2, ("second",))) is None


def test_the_first_of_two_equal_keys_is_meant() -> None:
    span = locate("a: {b: 1}\na: {b: 2}\n", Place("m.yaml", 0, ("a", "b")))
    assert span is not None
    assert span.line == 1


def test_what_stands_before_a_syntax_error_is_found() -> None:
    span = locate("a: 1\nb: [\n", Place("m.yaml", 0, ("a",)))
    assert span is not None
    assert (span.line, span.column, span.end_column) == (1, 4, 5)


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r", "\u2028"])
def test_lines_end_as_libyaml_ends_them(line_break: str) -> None:
    span = locate(f"\ufeffa: 1{line_break}bc: 22{line_break}", Place("m.yaml", 0, ("bc",)))
    assert span is not None
    assert (span.line, span.column, span.end_column, span.text) == (2, 5, 7, "bc: 22")
    assert split_lines(f"a{line_break}b") == ["a", "b"]


def test_complex_keys_do_not_lead_astray() -> None:
    span = locate("? {a: 1}\n: b\na: 2\n", Place("m.yaml", 0, ("a",)))
    assert span is not None
    assert span.line == 3


def test_many_places_at_once_are_as_each_alone() -> None:
    routes: list[Route] = [("id", "dev"), ("batches",), ("nowhere",), ("id",), ("id", "dev")]
    lookups = [Lookup(Place("m.yaml", 0, route)) for route in routes]
    assert locate_all(TEXT, lookups) == [locate(TEXT, each.place) for each in lookups]
    assert locate_all(TEXT, []) == []


def routes_of(data: Data) -> list[Route]:
    items: list[tuple[str | int, Data]] = []
    if isinstance(data, dict):
        items = list(data.items())
    elif isinstance(data, list):
        items = list(enumerate(data))
    return [(), *((step, *rest) for step, value in items for rest in routes_of(value))]


LEAVES = st.sampled_from(["x", "yy", "'z'", "é"])
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.dictionaries(st.sampled_from("abc"), inner, max_size=3).map(
            lambda items: "{" + ", ".join(f"{key}: {value}" for key, value in items.items()) + "}"
        )
    ),
    max_leaves=8,
)


@given(VALUES)
def test_every_value_is_found_where_it_stands(text: str) -> None:
    documents, found = load(text, "m.yaml")
    assert found == []
    for route in routes_of(documents[0].data):
        span = locate(text, Place("m.yaml", 0, route))
        assert span is not None
        piece, mistakes = load(span.text[span.column - 1 : span.end_column - 1], "m.yaml")
        assert mistakes == []
        value = documents[0].data
        for step in route:
            value = value[step]  # type: ignore[index]  # the route was made from this value
        assert piece[0].data == value
