"""Hypothesis strategies for what stands in a state file: any text that a manifest or AEP may put there."""

from __future__ import annotations

from hypothesis import strategies as st

from reconciler.core.batch import File, OnRemove, Record, Spec, Stage
from reconciler.core.states.state import State, clashes
from tests.examples import WHO

TEXTS = st.text(min_size=1, max_size=8)

ADDRESSES = st.builds(
    "/".join,
    st.tuples(
        st.from_regex(r"[a-z0-9][a-z0-9._-]{0,4}", fullmatch=True),
        st.from_regex(r"[a-z0-9][a-z0-9._-]{0,4}", fullmatch=True),
        st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,4}", fullmatch=True),
    ),
)

SPECS: st.SearchStrategy[Spec] = st.builds(
    Spec,
    format=st.sampled_from(["json", "parquet", "csv"]),
    tags=st.dictionaries(TEXTS, st.lists(TEXTS, max_size=2), max_size=2),
    replaces=st.lists(TEXTS, max_size=2),
    multiline=st.booleans(),
    partial_ingestion_percent=st.integers(0, 100),
    csv=st.just({"delimiter": "\t", "header": True}),
)

LISTS = st.lists(TEXTS, max_size=2).map(tuple)

FILES = st.lists(
    st.builds(
        File, name=TEXTS, size=st.integers(0, 10**15), sha256=st.sampled_from(["0" * 64, "0123456789abcdef" * 4])
    ),
    max_size=3,
    unique_by=lambda file: file.name,
).map(lambda files: tuple(sorted(files)))

RECORDS = st.builds(
    Record,
    address=ADDRESSES,
    id=TEXTS,
    dataset=TEXTS,
    external_id=TEXTS,
    generation=st.integers(1, 10**12),
    on_remove=st.sampled_from(OnRemove),
    spec=SPECS,
    deposed=LISTS,
    rivals=LISTS,
    files=FILES,
    begun=FILES,
    stage=st.sampled_from(Stage),
    kept_tags=st.none() | st.dictionaries(TEXTS, st.lists(TEXTS, max_size=2), max_size=2),
)

STATES = (
    st.lists(RECORDS, max_size=5, unique_by=(lambda r: r.address, lambda r: r.id, lambda r: r.external_id))
    .filter(lambda records: not clashes(records))
    .map(lambda records: State(WHO, {record.address: record for record in records}))
)
