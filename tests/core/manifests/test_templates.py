"""Placeholders: names are filled in, braces are escaped by doubling, nothing is evaluated."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.manifests.templates import fill, has_braces, longest, read_template, sample


def filled(text: str, **keys: str) -> str:
    template = read_template(text)
    assert template is not None
    bound = template.bind(tuple(keys))
    result = fill(bound, tuple(keys.values()))
    assert longest(bound, [len(key) for key in keys.values()]) == len(result)
    return result


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("plain", "plain"),
        ("{a}", "1"),
        ("x/{a}/{b}-{a}.json", "x/1/2-1.json"),
        ("{{a}}", "{a}"),
        ("{{{a}}}", "{1}"),
        ("}}{{", "}{"),
        ("{{}}", "{}"),
    ],
)
def test_fills_in(text: str, expected: str) -> None:
    assert filled(text, a="1", b="2") == expected


@pytest.mark.parametrize("text", ["{", "}", "{a", "a}", "{a{b}}", "{{a}", "{a}}", "}{"])
def test_a_brace_alone_is_refused(text: str) -> None:
    assert read_template(text) is None


@pytest.mark.parametrize("text", ["{a.b}", "{a!r}", "{a:>9}", "{a[0]}", "{}", "{ a }"])
def test_a_placeholder_is_a_name_and_nothing_else(text: str) -> None:
    template = read_template(text)
    assert template is not None
    with pytest.raises(ValueError, match="not in tuple"):
        template.bind(("a",))


def test_a_sample_has_an_x_for_each_placeholder() -> None:
    template = read_template("data/{region}/{{{day}}}.json")
    assert template is not None
    assert sample(template) == "data/x/{x}.json"
    assert template.names == ("region", "day")


@given(st.text())
def test_escaped_text_comes_out_as_it_was(text: str) -> None:
    assert filled(text.replace("{", "{{").replace("}", "}}")) == text
    assert has_braces(text) == bool(set(text) & {"{", "}"})
