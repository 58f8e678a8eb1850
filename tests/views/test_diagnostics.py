"""Diagnostics as text, workflow commands and JSON."""

from __future__ import annotations

import json

import pytest

from reconciler.core.diagnostics import Diagnostic, Severity, Span
from reconciler.views.diagnostics import render, render_github, to_json


def found(
    text: str, column: int, end: int, *, line: int = 6, message: str = "wrong", hint: str | None = "do it"
) -> Diagnostic:
    return Diagnostic("some-code", message, Span("manifests/a.yaml", line, column, end, text), hint)


def excerpt(text: str, column: int, end: int) -> tuple[str, str]:
    """The source line and the caret line, without their gutters."""
    lines = render([found(text, column, end)]).splitlines()
    assert lines[3].startswith("6 |")
    return lines[3][4:], lines[4][4:]


def test_the_form() -> None:
    each = Diagnostic(
        "unknown-field",
        "`formt` is not a field of `daily`",
        Span("manifests/orders.yaml", 6, 3, 8, "  formt: parquet"),
        "did you mean `format`?",
    )
    assert render([each, each]) == "\n\n".join(
        [
            (
                "error[unknown-field]: `formt` is not a field of `daily`\n"
                "  --> manifests/orders.yaml:6:3\n"
                "  |\n"
                "6 |   formt: parquet\n"
                "  |   ^^^^^\n"
                "hint: did you mean `format`?"
            )
        ]
        * 2
    )


def test_without_a_place_and_a_hint_it_is_one_line() -> None:
    assert render([Diagnostic("no-manifests", "there is no folder")]) == "error[no-manifests]: there is no folder"
    assert render([]) == ""


def test_a_warning_says_so() -> None:
    assert render([Diagnostic("x", "y", severity=Severity.WARNING)]).startswith("warning[x]: y")


def test_the_gutter_fits_the_line_number() -> None:
    lines = render([found("abc", 1, 2, line=1234)]).splitlines()
    assert [line.index("|") for line in lines[2:5]] == [5, 5, 5]
    assert lines[1] == "     --> manifests/a.yaml:1234:1"


@pytest.mark.parametrize(
    ("text", "column", "end", "shown", "caret"),
    [
        ("a: 数据 b", 4, 6, "a: 数据 b", "   ^^^^"),
        ("数据: x", 5, 6, "数据: x", "      ^"),
        ("e\u0301: x", 4, 5, "e\u0301: x", "  ^"),
        ("\tx: y", 2, 3, "    x: y", "    ^"),
        ("a\x1b[0m: y", 7, 8, "a\\x1b[0m: y", "         ^"),
        ("\u202ea", 2, 3, "\\u202ea", "      ^"),
        ("", 1, 2, "", "^"),
        ("ab", 3, 4, "ab", "  ^"),
    ],
)
def test_the_caret_stands_under_what_is_meant(text: str, column: int, end: int, shown: str, caret: str) -> None:
    line, carets = excerpt(text, column, end)
    assert (line.rstrip(), carets) == (shown.rstrip(), caret)


def test_a_long_line_is_clipped_around_the_caret() -> None:
    line, caret = excerpt("x" * 1000 + "HERE" + "y" * 1000, 1001, 1005)
    assert len(line) == 120
    assert (line[0], line[-1]) == ("…", "…")
    assert line[caret.index("^") : caret.rindex("^") + 1] == "HERE"


def test_a_long_token_is_clipped_as_well() -> None:
    line, caret = excerpt("a: " + "数" * 1000, 4, 1004)
    assert line.endswith("…")
    assert len(caret) <= 120


def test_colour_adds_nothing_but_emphasis() -> None:
    plain, painted = render([found("abc", 1, 2)]), render([found("abc", 1, 2)], color=True)
    assert "\x1b[" in painted
    for code in ("0", "1", "2", "31", "33", "36"):
        painted = painted.replace(f"\x1b[{code}m", "")
    assert painted == plain
    assert "\x1b" not in plain


def test_nothing_that_a_file_says_reaches_the_terminal_raw() -> None:
    each = found("a\x1b]0;x\x07\x9b", 1, 2, message="m\x1b[31m\nerror: fake", hint="h\r\x1b[2J")
    text = render([Diagnostic(each.code, each.message, each.span, each.hint)])
    assert all(character.isprintable() for line in text.split("\n") for character in line)
    assert len(text.splitlines()) == 6


def test_github_annotations() -> None:
    text = render_github([found("abc", 2, 3, message="50% of `a`, b: wrong", hint="x\ny")])
    assert text == (
        "::error file=manifests/a.yaml,line=6,col=2,endColumn=3,title=error[some-code]"
        "::50%25 of `a`, b: wrong%0Ahint: x%0Ay"
    )


def test_github_properties_cannot_be_left() -> None:
    span = Span("a,line=1::b\n.yaml", 1, 1, 2, "")
    assert render_github([Diagnostic("x", "m", span)]).startswith("::error file=a%2Cline=1%3A%3Ab%0A.yaml,line=1,")
    assert render_github([Diagnostic("x", "m", severity=Severity.WARNING)]) == "::warning title=warning[x]::m"


def test_an_annotation_names_its_file_by_the_path_that_git_knows() -> None:
    span = Span("../shared/manifests/a.yaml", 1, 1, 2, "x")
    assert "file=shared/manifests/a.yaml," in render_github([Diagnostic("x", "m", span)], "crm/")


def test_github_shows_ten_and_counts_the_rest() -> None:
    lines = render_github([found("abc", 1, 2)] * 25).splitlines()
    assert len(lines) == 11
    assert lines[-1].startswith("::notice ")
    assert "15 more" in lines[-1]
    assert render_github([]) == ""


def test_json() -> None:
    data = json.loads(json.dumps(to_json([found("abc", 2, 3), Diagnostic("x", "m")])))
    assert data[0] == {
        "code": "some-code",
        "severity": "error",
        "message": "wrong",
        "hint": "do it",
        "file": "manifests/a.yaml",
        "line": 6,
        "column": 2,
        "end_column": 3,
    }
    assert data[1]["file"] is None


def test_a_huge_text_is_cut_wherever_findings_stand_together() -> None:
    huge = found("x" * 25_000, 2, 24_000, message="m" * 25_000, hint="h" * 25_000)
    for shown in (render([huge, found("abc", 2, 3)]), render_github([huge, found("abc", 2, 3)])):
        assert len(shown) < 5_000
        assert "… (25000 characters)" in shown
    (whole, _) = to_json([huge, found("abc", 2, 3)])
    assert isinstance(whole, dict)
    assert whole["message"] == "m" * 25_000
