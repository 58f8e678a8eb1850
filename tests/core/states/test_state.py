"""The state file: the same bytes for the same facts, and a clear refusal of everything that is not whole and ours."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given

from reconciler.core.batch import File, OnRemove, Record, Spec, Stage
from reconciler.core.errors import StateCorrupt, StateError, StateFromFuture, StateMismatch
from reconciler.core.states.lines import body_of, seal, unseal
from reconciler.core.states.state import State, digest, dump, parse
from tests.core.states.records import STATES
from tests.examples import WHO, recorded

GOLDEN = Path(__file__).parents[2] / "golden" / "states"
FILE = "state/dev.jsonl"


def state_of(*records: Record) -> State:
    return State(WHO, {each.address: each for each in records})


SMALL = state_of(
    recorded("loyalty/daily/2026-01-02", "01EQ1C48TR4GD4FE7NH2522TCR", spec={"tags": {"team": ["crm"]}}),
    recorded("loyalty/daily/2026-01-01", "01EQ1C48TR4GD4FE7NH2522TCQ", spec={"tags": {"team": ["crm"]}}),
)


def rows_of(state: State) -> list[str]:
    return dump(state).decode().splitlines()


def test_the_bytes_of_a_state() -> None:
    record = recorded(
        "loyalty/daily/2026-01-01",
        "01EQ1C48TR4GD4FE7NH2522TCQ",
        spec={"tags": {"team": ["crm"]}, "format": "json"},
        generation=2,
        on_remove=OnRemove.DELETE,
    )
    assert dump(state_of(record, replace(SMALL.records["loyalty/daily/2026-01-02"], rivals=("X",)))) == (
        b'{"format": 1, "project": "acme-crm", "environment": "dev", '
        b'"org": "0123456789ABCDEF01234567@AdobeOrg", "sandbox": "dev"}\n'
        b'{"address": "loyalty/daily/2026-01-01", "id": "01EQ1C48TR4GD4FE7NH2522TCQ", '
        b'"dataset": "5c8c3c555033b814b69f947f", "external_id": "acme-crm.6effa7da4fee93464380.2", '
        b'"generation": 2, "on_remove": "delete", "spec": {"format": "json", "tags": {"team": ["crm"]}}, '
        b'"sum": "eedc532a"}\n'
        b'{"address": "loyalty/daily/2026-01-02", "id": "01EQ1C48TR4GD4FE7NH2522TCR", '
        b'"dataset": "5c8c3c555033b814b69f947f", "external_id": "acme-crm.455416ac62cc07a057cf.1", '
        b'"generation": 1, "on_remove": "forget", "spec": {"tags": {"team": ["crm"]}}, "rivals": ["X"], '
        b'"sum": "33ad324a"}\n'
        b'{"end": true}\n'
    )


@given(STATES)
def test_what_is_dumped_is_parsed(state: State) -> None:
    assert parse(dump(state), WHO, FILE) == state


@given(STATES)
def test_order_of_records_does_not_show(state: State) -> None:
    backwards = State(WHO, dict(reversed(list(state.records.items()))))
    assert dump(backwards) == dump(state)


@given(STATES)
def test_pattern_and_json_read_the_same(state: State) -> None:
    first, *rows, end = rows_of(state)
    by_hand = []
    for row in rows:
        fields = json.loads(row)
        del fields["sum"]
        by_hand.append(json.dumps(fields, ensure_ascii=False, separators=(",", ":")))
    assert parse("\n".join([first, *by_hand, end]).encode(), WHO, FILE) == state


def test_equal_specs_become_one_value() -> None:
    one, other = parse(dump(SMALL), WHO, FILE).records.values()
    assert one.spec is other.spec


def test_an_empty_state_is_two_lines() -> None:
    assert parse(dump(State(WHO)), WHO, FILE) == State(WHO)
    assert len(rows_of(State(WHO))) == 2


def test_digest_is_of_the_bytes() -> None:
    assert digest(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_a_checkout_with_crlf_is_read_and_written_with_lf() -> None:
    read = parse(dump(SMALL).replace(b"\n", b"\r\n"), WHO, FILE)
    assert read == SMALL
    assert b"\r" not in dump(read)


def test_an_editor_may_drop_the_last_line_break_and_reorder_lines() -> None:
    first, *rows, end = rows_of(SMALL)
    assert parse("\n".join([first, *reversed(rows), end]).encode(), WHO, FILE) == SMALL


def test_only_a_line_feed_ends_a_line() -> None:
    spec: Spec = {"tags": {"note": ["a\u2028b\x85c\x1dd"]}}
    state = state_of(recorded(spec=spec))
    first, row, end = dump(state).decode().splitlines()
    body = row.partition(', "sum"')[0] + "}"
    raw = body.replace("\\u2028", "\u2028").replace("\\u0085", "\x85")
    assert parse(f"{first}\n{raw}\n{end}".encode(), WHO, FILE) == state


def test_without_an_expected_identity_the_file_says_whose_it_is() -> None:
    assert parse(dump(SMALL), None, FILE).identity == WHO


def test_a_batch_at_two_addresses_is_not_written() -> None:
    twice = state_of(recorded("a/b", "X"), recorded("a/c", "X"))
    with pytest.raises(StateMismatch) as caught:
        dump(twice)
    assert caught.value.detail == "id `X` is at `a/b` and `a/c`"


def test_cut_off_at_any_byte_is_refused() -> None:
    data = dump(SMALL)
    for length in range(len(data) - 1):
        with pytest.raises(StateCorrupt):
            parse(data[:length], WHO, FILE)


def test_a_flipped_bit_is_harmless_or_refused_but_never_another_fact() -> None:
    data = dump(SMALL)
    for position in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            try:
                read = parse(bytes(damaged), WHO, FILE)
            except StateError:
                continue
            assert read == SMALL, (position, bit)


@pytest.mark.parametrize("depth", [100, 100_000])
def test_nesting_cannot_crash_the_reader(depth: int) -> None:
    with pytest.raises(StateCorrupt):
        parse(b"[" * depth + b"\n", WHO, FILE)


@pytest.mark.parametrize("row", ["[]", "null", "7", '"text"'])
def test_a_line_that_is_no_object_is_refused(row: str) -> None:
    first, end = rows_of(State(WHO))
    with pytest.raises(StateCorrupt, match="it is not a JSON object"):
        parse(f"{first}\n{row}\n{end}\n".encode(), WHO, FILE)


@pytest.mark.parametrize("row", ["{one},{other}", "{one},{other},{one}"])
def test_a_sealed_line_with_more_than_one_record_is_refused(row: str) -> None:
    first, one, end = rows_of(state_of(recorded("a/b", "X")))
    body = unseal(one)[0]
    line, _ = seal(row.format(one=body, other=body)[:-1])
    with pytest.raises(StateCorrupt, match="line 2"):
        parse(f"{first}\n{line}\n{end}\n".encode(), WHO, FILE)


def test_a_record_spread_over_two_lines_is_refused() -> None:
    first, one, other, end = rows_of(state_of(recorded("a/b", "X"), recorded("a/c", "Y")))
    whole, half, rest = unseal(one)[0], unseal(other)[0].removesuffix("}"), '"deposed": ["Z"]}'
    rows = [seal(text.removesuffix("}"))[0] for text in (f"{whole},{half}", rest)]
    with pytest.raises(StateCorrupt, match="line 2"):
        parse("\n".join([first, *rows, end, ""]).encode(), WHO, FILE)


GOOD = {
    "address": "a/b",
    "id": "X",
    "dataset": "D",
    "external_id": "E",
    "generation": 1,
    "on_remove": "forget",
    "spec": {},
}


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("address", "A b", "`address` must be an address such as `dataset/batch`"),
        ("address", 7, "`address` must be an address such as `dataset/batch`"),
        ("id", "", "`id` must be a text that is not empty"),
        ("id", None, "`id` must be a text that is not empty"),
        ("dataset", [], "`dataset` must be a text"),
        ("external_id", {}, "`external_id` must be a text"),
        ("generation", 0, "`generation` must be a whole number of at least 1"),
        ("generation", True, "`generation` must be a whole number of at least 1"),
        ("generation", 1.0, "`generation` must be a whole number of at least 1"),
        ("generation", float("nan"), "`generation` must be a whole number of at least 1"),
        ("on_remove", "keep", "`on_remove` must be `forget` or `delete`"),
        ("spec", [], "`spec` must be an object"),
        ("spec", {"formt": "json"}, "unknown or of a wrong type: `formt`"),
        ("spec", {"tags": {"a": "b"}}, "unknown or of a wrong type: `tags`"),
        ("spec", {"csv": {"header": "yes"}}, "unknown or of a wrong type: `csv`"),
        ("spec", {"multiline": 1, "format": None}, "unknown or of a wrong type: `format`, `multiline`"),
        ("deposed", "X", "`deposed` must be a list of texts"),
        ("rivals", [1], "`rivals` must be a list of texts"),
        ("colour", "red", "unknown field `colour`, perhaps of a newer reconciler"),
        ("sum", "00000000", "its `sum` does not match"),
        ("sum", 0, "its `sum` is not in its place"),
    ],
)
def test_a_wrong_field_is_refused(field: str, value: object, said: str) -> None:
    first, end = rows_of(State(WHO))
    row = json.dumps({**GOOD, field: value})
    with pytest.raises(StateCorrupt) as caught:
        parse(f"{first}\n{row}\n{end}".encode(), WHO, FILE)
    assert said in caught.value.summary
    assert "line 2" in caught.value.summary
    assert ("delete its `sum`" in (caught.value.hint or "")) == (field == "sum")


FULL = replace(
    recorded("loyalty/full", "F", deposed=("D",), rivals=("R",)),
    files=(File("a.json", 1, "0" * 64), File('b"quoted".json', 2, "1" * 64)),
    begun=(File("c.json", 3, "2" * 64),),
    stage=Stage.COMPLETING,
)


def resealed(old: str, new: str, record: Record | None = None) -> bytes:
    """A state whose second line says something else, under a checksum of its own: as an edit would have it."""
    first, *rows, end = rows_of(state_of(*SMALL.records.values(), *([record] if record else [])))
    assert old in unseal(rows[-1])[0]
    rows[-1] = seal(unseal(rows[-1])[0].replace(old, new, 1).removesuffix("}"))[0]
    return "\n".join([first, *rows, end + "\n"]).encode()


@pytest.mark.parametrize(
    ("old", "new", "record"),
    [
        ('"id": ', '"id": "X", "id": ', None),
        ('"id": ', '"id":"X","id": ', None),
        ('"generation": 1', '"generation": 1, "generation": 2', None),
        ('"spec": {', '"spec": {"format": "csv", "format": "json", ', None),
        ('"tags": {', '"tags": {}, "tags": {', None),
        ('"team": ["crm"]', '"team": ["crm"], "team": ["eu"]', None),
        ('"spec": {', '"spec": {}, "spec": {', None),
        ('"deposed": ', '"deposed": ["A", "B"], "deposed": ', FULL),
        ('"rivals": ', '"rivals": [], "rivals": ', FULL),
        ('"files": ', '"files": [], "files": ', FULL),
        ('"begun": ', '"begun": [], "begun": ', FULL),
        ('"stage": ', '"stage": "open", "stage": ', FULL),
        ('"stage": ', '"stage": "open", "stage": ', replace(FULL, deposed=(), rivals=())),
        ('"begun": ', '"begun": [["z", 1, "' + "0" * 64 + '"]], "begun": ', replace(FULL, deposed=(), rivals=())),
        ('["a.json", 1,', '{"name": "a.json", "size": 1, "sha256":', FULL),
    ],
)
def test_a_sealed_line_that_says_a_thing_twice_is_refused(old: str, new: str, record: Record | None) -> None:
    data = resealed(old, new, record)
    if new.startswith("{"):
        data = resealed('["a.json", 1, "' + "0" * 64 + '"]', new + ' "' + "0" * 64 + '"}', record)
    with pytest.raises(StateCorrupt, match=f"line {len(data.splitlines()) - 1}: (a key stands twice|an object stands)"):
        parse(data, WHO, FILE)


def test_quotation_marks_in_texts_are_no_keys() -> None:
    odd = state_of(
        replace(FULL, deposed=(), rivals=()),
        recorded("loyalty/a", 'I"D', external_id='"id": "X", '),
        recorded("loyalty/b", "B", spec={"tags": {"files": ["x"], "stage": ['"'], 'a", "files": [["': ["\\"]}}),
        recorded("loyalty/c", "C", spec={"tags": {"files": ["x"], "stage": ['"'], 'a", "files": [["': ["\\"]}}),
    )
    assert parse(dump(odd), WHO, FILE) == odd


@pytest.mark.parametrize(
    ("records", "said"),
    [
        (
            (recorded("loyalty/a", "X"), recorded("loyalty/b", "Y", deposed=("X",))),
            "in `deposed` of line 3",
        ),
        (
            (recorded("loyalty/a", "X"), recorded("loyalty/b", "Y", rivals=("X",))),
            "in `rivals` of line 3",
        ),
        ((recorded("loyalty/a", "X", deposed=("X",)),), "in `deposed` of line 2"),
    ],
)
def test_a_recorded_batch_is_not_given_up_elsewhere(records: tuple[Record, ...], said: str) -> None:
    with pytest.raises(StateMismatch, match="contradicts itself and is not written"):
        dump(state_of(*records))
    lines = [seal(body_of(record))[0] for record in records]
    first, end = rows_of(state_of())
    with pytest.raises(StateCorrupt) as caught:
        parse("\n".join([first, *lines, end]).encode(), WHO, FILE)
    assert caught.value.detail == f"id `X` is at line 2 and {said}"


def text_of(error: StateError) -> str:
    return "\n".join([type(error).__name__, error.summary, *filter(None, [error.detail, f"hint: {error.hint}"])]) + "\n"


@pytest.mark.parametrize("file", sorted((GOLDEN / "err").glob("*.jsonl")), ids=lambda path: path.stem)
def test_what_is_said_about_a_file_that_is_refused(file: Path) -> None:
    with pytest.raises(StateError) as caught:
        parse(file.read_bytes(), WHO, FILE)
    expected = file.with_suffix(".out")
    if os.environ.get("UPDATE_GOLDEN"):
        expected.write_text(text_of(caught.value), encoding="utf-8")
    assert text_of(caught.value) == expected.read_text(encoding="utf-8")


@pytest.mark.parametrize("file", sorted((GOLDEN / "ok").glob("*.jsonl")), ids=lambda path: path.stem)
def test_files_of_every_version_are_read_and_written_back(file: Path) -> None:
    data = file.read_bytes()
    state = parse(data, WHO, FILE)
    assert state.records
    assert dump(state) == data


def test_only_a_state_that_says_more_has_the_format_that_can() -> None:
    (address, *_), records = SMALL.records, dict(SMALL.records)
    assert dump(SMALL).startswith(b'{"format": 1,')
    records[address] = replace(records[address], kept_tags={"team": ["crm"]})
    kept = State(WHO, records)
    assert dump(kept).startswith(b'{"format": 2,')
    assert parse(dump(kept), WHO, FILE) == kept


def test_a_newer_format_is_told_apart_from_damage() -> None:
    newer = dump(SMALL).replace(b'"format": 1', b'"format": 3, "lineage": "x"', 1)
    with pytest.raises(StateFromFuture):
        parse(newer, WHO, FILE)
