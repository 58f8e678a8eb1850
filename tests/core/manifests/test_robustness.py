"""Any manifest gets an answer in our own words, with a place and a hint, never an exception."""

from __future__ import annotations

import json
from datetime import date

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.core.address import is_address
from reconciler.core.manifests.expand import expand
from reconciler.core.manifests.parse import parse
from reconciler.core.manifests.source import Source
from reconciler.views.diagnostics import render

PROJECT = "project: p\nenvironments: {dev: {emulator: true}}\n"
FIELDS = """
dataset id defaults batches moved imports format multiline csv tags error_diagnostics files complete each external_id
partial_ingestion_percent replaces lifecycle on_remove recreate_when ignore from to step day week month dev delimiter
header charset project environments limits emulator org sandbox create default_environment b-1
""".split()  # noqa: SIM905  (shorter than a list)
WORDS = """
json csv parquet true false null 5 101 -1 012 loyalty loyalty/a loyalty/b-1 2026-01-01 2026-02-30 today today-30d
today+99999y 1d 7d 1mo 0d {day} {{x}} { ../x /x a/*.json delete forget failed tags UTF-8 dev prod
""".split()  # noqa: SIM905

scalars = st.sampled_from(WORDS) | st.sampled_from(FIELDS) | st.text(max_size=5)
values = st.recursive(
    scalars | st.booleans() | st.integers(-2, 200) | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=12,
)
batches = st.dictionaries(st.sampled_from(FIELDS[:20]), values, max_size=4)
datasets = st.fixed_dictionaries(
    {"dataset": st.just("loyalty"), "id": st.just("x"), "batches": st.dictionaries(st.sampled_from("ab"), batches)},
    optional={"defaults": values, "moved": values, "imports": values},
)


def check(*sources: Source) -> None:
    manifests, found = parse(sources)
    if manifests is not None:
        desired, more = expand(manifests, sources, "dev", date(2026, 3, 15))
        assert all(is_address(each.address) for each in desired)
        assert [each.address for each in desired] == sorted({each.address for each in desired})
        found = (*found, *more)
    assert (manifests is None) <= bool(found)
    for each in found:
        assert each.hint
        assert each.code.replace("-", "").isalnum()
        assert each.message.isprintable()
        assert "validation" not in each.message
    assert all(character.isprintable() for line in render(found).split("\n") for character in line)


@given(st.dictionaries(st.sampled_from(FIELDS), values, max_size=5) | datasets)
@settings(max_examples=150, deadline=None)
def test_any_manifest(data: dict[str, object]) -> None:
    check(Source("manifests/reconciler.yaml", PROJECT), Source("manifests/a.yaml", json.dumps(data)))


@given(st.dictionaries(st.sampled_from(FIELDS), values, max_size=5))
@settings(max_examples=80, deadline=None)
def test_any_project_file(data: dict[str, object]) -> None:
    check(Source("manifests/reconciler.yaml", json.dumps(data)))


@given(st.text(max_size=60))
@settings(max_examples=80, deadline=None)
def test_any_text(text: str) -> None:
    check(Source("manifests/reconciler.yaml", PROJECT), Source("manifests/a.yaml", text))
    check(Source("manifests/reconciler.yaml", text))
