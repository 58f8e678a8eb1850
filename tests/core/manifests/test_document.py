"""YAML text → plain data: what is read, what is refused, and where reading stops for hostile files."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.manifests.document import MAX_DEPTH, MAX_DOCUMENTS, MAX_FINDINGS, load
from reconciler.core.manifests.source import Data, Plain, Source

if TYPE_CHECKING:
    from reconciler.core.diagnostics import Diagnostic


def read(text: str) -> list[Data]:
    documents, found = load(text, "m.yaml")
    assert found == []
    return [each.data for each in documents]


def refused(text: str) -> Diagnostic:
    _, found = load(text, "m.yaml")
    assert len(found) == 1
    return found[0]


def place(found: Diagnostic) -> tuple[int, int, int]:
    assert found.span is not None
    return found.span.line, found.span.column, found.span.end_column


@pytest.mark.parametrize(
    "raw", ["no", "on", "012", "1:30", "2026-01-01", "1_000", "1.10", "5e12", "=", "true", "~", "0x1F"]
)
def test_an_unquoted_scalar_keeps_its_text(raw: str) -> None:
    data = read(f"a: {raw}\n")[0]
    assert data == {"a": raw}
    assert isinstance(data, dict)
    assert isinstance(data["a"], Plain)


@pytest.mark.parametrize("text", ["a: 'no'\n", 'a: "no"\n', "a: |-\n  no\n"])
def test_a_quoted_scalar_is_only_a_text(text: str) -> None:
    data = read(text)[0]
    assert data == {"a": "no"}
    assert isinstance(data, dict)
    assert not isinstance(data["a"], Plain)


@pytest.mark.parametrize(("raw", "is_null"), [("", True), ("~", True), ("null", True), ("NULL", True), ("nil", False)])
def test_nothing_has_a_few_spellings(raw: str, *, is_null: bool) -> None:
    assert Plain(raw).is_null is is_null


def test_keys_are_texts_whatever_they_look_like() -> None:
    assert read("no: a\n1: b\n2026-01-01: c\n") == [{"no": "a", "1": "b", "2026-01-01": "c"}]


def test_documents_are_counted_and_empty_ones_are_nothing() -> None:
    documents, found = load("# a\n---\na: 1\n---\n---\n- b\n", "m.yaml")
    assert found == []
    assert [(each.number, each.data) for each in documents] == [(0, {"a": "1"}), (1, ""), (2, ["b"])]


@pytest.mark.parametrize("text", ["", "# only a comment\n", "\ufeff", "\n\n"])
def test_a_file_without_documents(text: str) -> None:
    assert read(text) == []


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    assert read("\ufeffa: 1\n") == [{"a": "1"}]
    assert place(refused("\ufeffa: 1\na: 2\n")) == (2, 1, 2)


def test_an_alias_is_what_its_anchor_named() -> None:
    assert read("a: &x [1, {b: &y 2}]\nc: *x\nd: *y\n") == [{"a": ["1", {"b": "2"}], "c": ["1", {"b": "2"}], "d": "2"}]


def test_anchors_end_with_their_document() -> None:
    assert refused("a: &x 1\n---\nb: *x\n").code == "unknown-alias"


@pytest.mark.parametrize("text", ["&a [*a]\n", "a: &a {b: *a}\n", "- &a [1, [2, *a]]\n"])
def test_a_list_cannot_contain_itself(text: str) -> None:
    assert refused(text).code == "unknown-alias"


def test_what_an_alias_repeats_is_left_out_with_its_key_if_it_is_unknown() -> None:
    documents, _ = load("a: *x\nb: [1, *y, 2]\nc: 3\n", "m.yaml")
    assert documents[0].data == {"b": ["1", "2"], "c": "3"}


@pytest.mark.parametrize(
    ("text", "code", "expected"),
    [
        ("a: 1\nb: 2\na: 3\n", "duplicate-key", (3, 1, 2)),
        ("x:\n  - {a: 1, b: 2, 'a': 3}\n", "duplicate-key", (2, 18, 21)),
        ("a: {<<: {b: 1}}\n", "merge-key", (1, 5, 7)),
        ("a: !!str 1\n", "tag", (1, 4, 11)),
        ("a: !x {b: 1}\n", "tag", (1, 4, 8)),
        ("? [a]\n: 1\n", "bad-key", (1, 5, 6)),
        ("a: &x 1\n*x : 2\n", "bad-key", (2, 1, 3)),
        ("a: [\n", "not-yaml", (1, 4, 5)),
        ("a: 'x\n\n", "not-yaml", (1, 4, 5)),
        ("a: b: c\n", "not-yaml", (1, 5, 6)),
        ("a: \x00\n", "not-yaml", (1, 4, 5)),
        ("é: 数\nb: \x1b\n", "not-yaml", (2, 4, 5)),
        ("a: \ud800\n", "not-yaml", (1, 4, 5)),
        ("%YAML 3.0\n---\na: 1\n", "not-yaml", (1, 1, 2)),
    ],
)
def test_what_is_refused_has_a_place(text: str, code: str, expected: tuple[int, int, int]) -> None:
    found = refused(text)
    assert (found.code, place(found)) == (code, expected)
    assert found.hint


def test_merge_as_a_text_is_a_key_like_any_other() -> None:
    assert read("'<<': 1\n") == [{"<<": "1"}]


def test_the_first_of_two_equal_keys_is_named_and_kept() -> None:
    documents, found = load("x:\n- a: 1\n  b: 2\n- a: 1\n  c: 2\n\n  a: 3\n", "m.yaml")
    assert found[0].message == "`a` stands twice in one mapping; the first is at `m.yaml:4`"
    assert documents[0].data == {"x": [{"a": "1", "b": "2"}, {"a": "1", "c": "2"}]}


def test_mistakes_that_leave_the_shape_clear_are_reported_together() -> None:
    _, found = load("a: !x 1\na: 2\nb: {<<: 1}\nc: *d\n", "m.yaml")
    assert [each.code for each in found] == ["tag", "duplicate-key", "merge-key", "unknown-alias"]


def test_documents_before_a_syntax_error_are_read() -> None:
    documents, found = load("a: 1\n---\nb: [\n", "m.yaml")
    assert [each.data for each in documents] == [{"a": "1"}]
    assert [each.code for each in found] == ["not-yaml"]


def test_control_characters_do_not_get_into_messages() -> None:
    found = refused('"\\e[31m": 1\n"\\e[31m": 2\n')
    assert found.message.isprintable()
    assert "\\x1b[31m" in found.message


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? ", "[{a: "])
def test_deep_nesting_is_refused_at_once(opening: str) -> None:
    begun = perf_counter()
    found = refused(opening * 1_000_000)
    assert found.code == "too-deep"
    assert perf_counter() - begun < 60  # a parser that goes on takes minutes, or crashes


def test_nesting_up_to_the_limit_is_read() -> None:
    assert read("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    assert refused("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1)).code == "too-deep"


def test_a_bomb_of_aliases_is_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    found = refused("\n".join(lines))
    assert (found.code, "aliases" in found.message) == ("too-large", True)


def test_an_alias_counts_as_much_as_what_it_repeats() -> None:
    shared = "a: &a [" + "x, " * 4_998 + "x]\n"
    assert len(read(shared + "b: *a\nc: *a\n")) == 1
    assert refused(shared + "b: *a\nc: *a\nd: *a\n").code == "too-large"


def test_values_have_a_limit() -> None:
    assert load("[a, a, a]", "m.yaml", max_nodes=4)[1] == []
    assert [each.code for each in load("[a, a, a, a]", "m.yaml", max_nodes=4)[1]] == ["too-large"]


def test_documents_have_a_limit() -> None:
    assert refused("--- a\n" * (MAX_DOCUMENTS + 1)).code == "too-large"


def test_nobody_reads_more_than_a_thousand_findings() -> None:
    documents, found = load("a: 1\n" * 100_000, "m.yaml")
    assert (len(documents), len(found)) == (0, MAX_FINDINGS)
    assert found[-1].message.endswith("; the first is at `m.yaml:1`")
    assert len(load("a: 1\n" * MAX_FINDINGS + "b: [", "m.yaml")[1]) == MAX_FINDINGS


def test_a_project_file_is_known_by_its_name() -> None:
    assert Source("manifests/reconciler.yaml", "").is_project
    assert Source("reconciler.yaml", "").is_project
    assert not Source("manifests/my-reconciler.yaml", "").is_project


@given(st.text(alphabet=st.sampled_from("ab:-,[]{}&*!|>'\"%@`#? \t\n\r\\~<\x00\x85\u2028\ufeff\ud800é数"), max_size=40))
def test_no_text_makes_it_raise(text: str) -> None:
    documents, found = load(text, "m.yaml")
    assert [each.number for each in documents] == list(range(len(documents)))
    for each in found:
        assert each.span is not None
        assert each.hint
        assert each.message.isprintable()
        assert 1 <= each.span.column < each.span.end_column
