"""The journal: what is written is read, a torn tail is cut off, and no damage ever becomes another fact."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.batch import OnRemove, Record
from reconciler.core.errors import StateCorrupt, StateFromFuture
from reconciler.core.states.journal import (
    Decoded,
    Done,
    Dropped,
    Encoder,
    Entry,
    Intent,
    JournalHeader,
    Staged,
    Uploaded,
    Uploading,
    Void,
    decode,
)
from reconciler.core.states.lines import body_of
from reconciler.core.states.state import digest
from tests.core.states.records import ADDRESSES, LISTS, RECORDS, SPECS, TEXTS
from tests.examples import DATASET, WHO, recorded

FILE = "state/dev.journal"
GOLDEN = Path(__file__).parents[2] / "golden" / "journals"
HEAD = JournalHeader(WHO, digest(b""))
NUMBERS = st.integers(1, 10**6)

INTENTS = st.builds(
    Intent,
    address=ADDRESSES,
    generation=NUMBERS,
    external_id=TEXTS,
    dataset=TEXTS,
    on_remove=st.sampled_from(OnRemove),
    spec=SPECS,
    deposed=LISTS,
    predecessors=LISTS,
    at=st.integers(0, 2**53),
)


@st.composite
def journals(draw: st.DrawFn) -> list[Entry]:
    """Entries as runs write them: intents and what became of them, between other facts."""
    entries: list[Entry] = []
    for _ in range(draw(st.integers(0, 4))):
        intent = draw(INTENTS)
        done, void = Done(intent.record(draw(TEXTS))), Void(intent.address, intent.generation)
        entries += draw(st.sampled_from([[intent], [intent, done], [intent, void], [intent, done, done]]))
        entries.append(draw(st.builds(Done, RECORDS) | st.builds(Dropped, ADDRESSES, TEXTS)))
    return entries


def intent_of(record: Record, at: int = 1_767_225_600_000) -> Intent:
    return Intent(
        record.address,
        record.generation,
        record.external_id,
        record.dataset,
        record.on_remove,
        record.spec,
        record.deposed,
        (),
        at=at,
    )


def written(*entries: Entry) -> bytes:
    encoder = Encoder()
    return encoder.header(HEAD) + encoder.encode(*entries)


ONE = recorded("loyalty/one", "01EQ1C48TR4GD4FE7NH2522TC1", spec={"format": "json", "tags": {"team": ["crm"]}})
TWO = recorded("loyalty/two", "01EQ1C48TR4GD4FE7NH2522TC2", spec={"format": "json", "tags": {"team": ["crm"]}})
ENTRIES: tuple[Entry, ...] = (
    intent_of(ONE),
    intent_of(TWO),
    Done(ONE),
    Void(TWO.address, 1),
    Dropped("loyalty/old", "01EQ1C48TR4GD4FE7NH2522TC0"),
)


def test_the_bytes_of_a_journal() -> None:
    assert written(*ENTRIES[:1], *ENTRIES[2:]).decode() == (
        '{"format": 1, "project": "acme-crm", "environment": "dev", '
        '"org": "0123456789ABCDEF01234567@AdobeOrg", "sandbox": "dev", '
        '"extends": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "sum": "b9d52d68"}\n'
        '{"intent": "loyalty/one", "generation": 1, "external_id": "acme-crm.cd625c906677c4e56af6.1", '
        '"dataset": "5c8c3c555033b814b69f947f", "on_remove": "forget", "spec": {"format": "json", '
        '"tags": {"team": ["crm"]}}, "at": 1767225600000, "sum": "07bf7772"}\n'
        '{"done": "loyalty/one", "generation": 1, "id": "01EQ1C48TR4GD4FE7NH2522TC1", "sum": "2014d357"}\n'
        '{"void": "loyalty/two", "generation": 1, "sum": "500c45d1"}\n'
        '{"dropped": "loyalty/old", "id": "01EQ1C48TR4GD4FE7NH2522TC0", "sum": "72c5a5ce"}\n'
    )


@given(journals())
def test_what_is_written_is_read(entries: list[Entry]) -> None:
    data = written(*entries)
    decoded = decode(data, FILE)
    assert (decoded.header, decoded.entries) == (HEAD, tuple(entries))
    assert (decoded.valid_length, decoded.torn, decoded.mend) == (len(data), False, b"")


@given(journals(), journals())
def test_a_later_run_writes_on(earlier: list[Entry], later: list[Entry]) -> None:
    data = written(*earlier)
    assert decode(data + decode(data, FILE).encoder().encode(*later), FILE).entries == (*earlier, *later)


def test_a_create_costs_less_than_a_kilobyte() -> None:
    record = recorded(
        "loyalty/regional/emea/2026-W01",
        "01EQ1C48TR4GD4FE7NH2522TCQ",
        spec={"format": "json", "tags": {"team": ["crm"]}, "error_diagnostics": True},
    )
    encoder = Encoder()
    encoder.header(HEAD)
    assert len(encoder.encode(intent_of(record), Done(record))) < 600


@pytest.mark.parametrize("field", ["dataset", "external_id", "spec", "on_remove", "deposed", "rivals"])
def test_a_record_that_is_not_its_intents_is_written_whole(field: str) -> None:
    changed = {
        "dataset": DATASET[::-1],
        "external_id": "mine",
        "spec": {"format": "csv"},
        "on_remove": OnRemove.DELETE,
        "deposed": ("B0",),
        "rivals": ("B9",),
    }
    other = Record(**{**{name: getattr(ONE, name) for name in ONE.__slots__}, field: changed[field]})
    entries = (intent_of(ONE), Done(other))
    assert decode(written(*entries), FILE).entries == entries


def test_nothing_written_is_an_empty_journal() -> None:
    assert decode(b"", FILE) == Decoded(None, (), 0, torn=False, mend=b"", checksum=0)


def test_torn_at_any_byte_keeps_what_is_whole() -> None:
    data = written(*ENTRIES)
    ends = [index + 1 for index, byte in enumerate(data) if byte == ord("\n")]
    for length in range(len(data)):
        decoded = decode(data[:length], FILE)
        whole = sum(end - 1 <= length for end in ends)
        assert decoded.entries == ENTRIES[: max(0, whole - 1)]
        assert (decoded.header is None) == (whole == 0)
        assert decoded.torn == (length not in {0, *ends} and length + 1 not in ends)
        kept = data[: decoded.valid_length] + decoded.mend
        assert kept in (b"", *(data[:end] for end in ends))
        mended = kept + decoded.encoder().encode(Void("a/b", 1)) if whole else b""
        assert not whole or decode(mended, FILE).entries == (*decoded.entries, Void("a/b", 1))


@pytest.mark.parametrize("rest", [b"\0", b"\0" * 4096, b"\0" * 511 + b"}", b"\xff\xfe", b"{"])
def test_what_a_power_cut_leaves_behind_is_torn(rest: bytes) -> None:
    data = written(*ENTRIES)
    decoded = decode(data + rest, FILE)
    assert (decoded.entries, decoded.torn, decoded.valid_length) == (ENTRIES, True, len(data))


def test_a_flipped_bit_is_noticed_or_costs_the_tail_but_never_makes_another_fact() -> None:
    data = written(*ENTRIES)
    for position in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            try:
                decoded = decode(bytes(damaged), FILE)
            except StateCorrupt:
                continue
            assert position == len(data) - 1, (position, bit)
            assert decoded.entries == ENTRIES[:-1]


def test_a_line_lost_doubled_or_swapped_is_noticed() -> None:
    rows = written(*ENTRIES).splitlines(keepends=True)
    for index in range(1, len(rows) - 1):
        lost = rows[:index] + rows[index + 1 :]
        doubled = rows[: index + 1] + rows[index:]
        swapped = [*rows[:index], rows[index + 1], rows[index], *rows[index + 2 :]]
        for damaged in (lost, doubled, swapped):
            with pytest.raises(StateCorrupt):
                decode(b"".join(damaged), FILE)


def sealed(*bodies: str) -> bytes:
    encoder = Encoder()
    return encoder.header(HEAD) + b"".join([encoder._seal(body) for body in bodies])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('{"done": "a/b", "generation": 1, "id": "X"', "its intent is not in the journal"),
        ('{"done": "a/b", "generation": 1', "`id` must be a text"),
        ('{"void": "a/b", "generation": 0', "`generation` must be a whole number of at least 1"),
        ('{"void": "a/b", "generation": 1, "why": "x"', "unknown field `why`"),
        ('{"dropped": "a b", "id": "X"', "`dropped` must be an address such as"),
        ('{"intent": "a/b", "id": "X"', "unknown field `id`"),
        ('{"undone": "a/b"', "unknown field `undone`"),
        ("[1", "it is not JSON"),
        ('{"void": "a/b", "generation": 1, "generation": 2', "a key stands twice"),
        ('{"dropped": "a/b", "id": "X", "id": "Y"', "a key stands twice"),
        (body_of(intent_of(recorded("a/b"))).replace('"spec": {}', '"spec": {}, "spec": {}'), "a key stands twice"),
        (body_of(recorded("a/b")).replace('"address"', '"done"') + ', "id": "Y"', "a key stands twice"),
        (
            '{"uploaded": "a/b", "id": "X", "file": {"name": "a", "size": 1, "sha256": "' + "0" * 64 + '"}',
            "an object stands where a list belongs",
        ),
    ],
)
def test_a_whole_line_that_means_nothing_is_damage_and_not_a_torn_tail(body: str, said: str) -> None:
    data = sealed('{"void": "a/b", "generation": 1', body)
    for bytes_ in (data, data[:-1]):
        with pytest.raises(StateCorrupt) as caught:
            decode(bytes_, FILE)
        assert said in caught.value.summary
        assert "line 3" in caught.value.summary


def test_a_line_without_its_sum_is_damage() -> None:
    with pytest.raises(StateCorrupt, match="it has no `sum`"):
        decode(written() + b'{"void": "a/b", "generation": 1}\n', FILE)


def test_a_newer_format_is_told_apart_from_damage() -> None:
    encoder = Encoder()
    with pytest.raises(StateFromFuture):
        decode(encoder._seal('{"format": 3, "new": 1'), FILE)


@pytest.mark.parametrize("file", sorted(GOLDEN.glob("*.journal")), ids=lambda path: path.stem)
def test_journals_of_every_version_are_read_and_written_back(file: Path) -> None:
    data = file.read_bytes()
    decoded = decode(data, FILE)
    assert decoded.header is not None
    kinds = {Intent, Done, Dropped, Void, Uploading, Uploaded, Staged}
    assert {type(entry) for entry in decoded.entries} == kinds
    encoder = Encoder()
    assert encoder.header(decoded.header) + encoder.encode(*decoded.entries) == data
