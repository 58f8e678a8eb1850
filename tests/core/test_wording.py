"""How messages quote what was typed and guess what was meant."""

from __future__ import annotations

from reconciler.core.wording import closest, guess, quoted, visible


def test_what_does_not_print_is_shown_as_an_escape() -> None:
    assert visible("a\x1b[31m\nb\u202e\xa0\x9b") == "a\\x1b[31m\\nb\\u202e\\xa0\\x9b"
    assert visible("数据 é") == "数据 é"
    assert visible("\ud800") == "\\ud800"


def test_quotes_are_short() -> None:
    assert quoted("daily") == "`daily`"
    assert quoted("x" * 80) == f"`{'x' * 80}`"
    assert quoted("x" * 81) == f"`{'x' * 80}…`"
    assert len(quoted("\x1b" * 1000)) < 90


def test_the_nearest_option_is_guessed() -> None:
    assert closest("formt", ["format", "files"]) == "format"
    assert closest("utf8", ["UTF-8", "US-ASCII"]) == "UTF-8"
    assert closest("zzz", ["format"]) is None
    assert closest("x" * 100_000, ["format"]) is None


def test_hints_list_what_there_is() -> None:
    assert guess("formt", ["format", "files"], "Fields") == "did you mean `format`? Fields: files, format"
    assert guess("zzz", ["b", "a"], "Fields") == "Fields: a, b"
    assert guess("zzz", [], "Environments") == "there are no environments yet"
    assert guess("zzz", [f"n{index:03}" for index in range(100)], "Names").endswith("n019, and 80 more")
