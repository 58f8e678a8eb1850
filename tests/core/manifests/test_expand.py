"""`Manifests` → every declared batch of an environment and a day. Mistakes are in tests/golden."""

from __future__ import annotations

from datetime import date
from time import perf_counter
from typing import TYPE_CHECKING

from reconciler.core.manifests.expand import MAX_ADDRESSES, expand
from reconciler.core.manifests.parse import parse
from reconciler.core.manifests.source import Source

if TYPE_CHECKING:
    from reconciler.core.batch import Desired
    from reconciler.core.diagnostics import Diagnostic

TODAY = date(2026, 3, 15)
PROJECT = Source("reconciler.yaml", "project: p\nenvironments: {dev: {emulator: true}, prod: {emulator: true}}\n")


def expanded(
    text: str, today: date = TODAY, environment: str = "dev"
) -> tuple[tuple[Desired, ...], tuple[Diagnostic, ...]]:
    sources = [PROJECT, Source("m.yaml", f"dataset: loyalty\n{text}")]
    manifests, found = parse(sources)
    assert manifests is not None, found
    return expand(manifests, sources, environment, today)


def addresses(text: str, today: date = TODAY) -> list[str]:
    desired, found = expanded(text, today)
    assert found == ()
    return [each.address for each in desired]


def codes(text: str, today: date = TODAY, environment: str = "dev") -> list[str]:
    return [each.code for each in expanded(text, today, environment)[1]]


def test_dimensions_multiply_in_the_order_written() -> None:
    text = "id: x\nbatches: {b: {each: {region: [z, a], size: [m, l]}}}\n"
    assert addresses(text) == ["loyalty/b/a/l", "loyalty/b/a/m", "loyalty/b/z/l", "loyalty/b/z/m"]


def test_batches_are_sorted_by_address_as_text() -> None:
    text = "id: x\nbatches: {b: {each: {k: [a]}}, b-a: , b.a: , a: }\n"
    assert addresses(text) == sorted(addresses(text))


def test_today_decides_how_far_a_range_goes() -> None:
    text = "id: x\nbatches: {b: {each: {day: {from: 2026-03-14, to: today}}}}\n"
    assert len(addresses(text, date(2026, 3, 14))) == 1
    assert len(addresses(text, date(2026, 3, 20))) == 7
    assert codes(text, date(2026, 3, 13)) == ["empty-range"]


def test_the_id_is_that_of_the_environment() -> None:
    text = "id: {dev: x}\nbatches: {b: }\n"
    assert [each.dataset for each in expanded(text)[0]] == ["x"]
    assert codes(text, environment="prod") == ["missing-id"]


def test_a_dataset_without_batches_needs_no_id() -> None:
    assert codes("id: {dev: x}\n", environment="prod") == []


def test_addresses_of_a_family_share_what_is_the_same() -> None:
    text = "id: x\nbatches: {b: {each: {k: [a, b]}, tags: {t: [u]}, lifecycle: {on_remove: delete}}}\n"
    first, second = expanded(text)[0]
    assert first.spec is second.spec
    assert first.lifecycle is second.lifecycle
    assert first.place is second.place


def test_placeholders_keep_addresses_apart() -> None:
    text = "id: x\nbatches: {b: {each: {k: [a, b]}, tags: {t: ['{k}', u]}, files: ['{k}/*'], external_id: 'e-{k}'}}\n"
    first, second = expanded(text)[0]
    assert (first.spec, first.globs, first.external_id) == ({"tags": {"t": ["a", "u"]}}, ("a/*",), "e-a")
    assert (second.spec, second.globs, second.external_id) == ({"tags": {"t": ["b", "u"]}}, ("b/*",), "e-b")


def test_a_filled_in_file_shares_the_spec() -> None:
    first, second = expanded("id: x\nbatches: {b: {each: {k: [a, b]}, tags: {t: [u]}, files: ['{k}']}}\n")[0]
    assert first.spec is second.spec


def family(count: int) -> str:
    keys = ", ".join(f"k{index}" for index in range(1000))
    days = f"{{from: 2000-01-01, to: {date.fromordinal(date(2000, 1, 1).toordinal() + count // 1000 - 1)}}}"
    return f"id: x\nbatches: {{b: {{each: {{k: [{keys}], day: {days}}}}}}}\n"


def test_more_than_a_million_are_refused_before_one_is_made() -> None:
    begun = perf_counter()
    desired, found = expanded(family(MAX_ADDRESSES) + "---\ndataset: other\nid: x\nbatches: {one: }\n")
    assert perf_counter() - begun < 30, "not quadratic"
    assert desired == ()
    assert [each.code for each in found] == ["too-many-batches"]
    assert "1,000,001 batches, 1,000,000 of them here" in found[0].message


def test_the_count_is_of_the_whole_project() -> None:
    half = family(MAX_ADDRESSES // 2)
    more = "\n".join(f"---\ndataset: d{index}\n{half}" for index in range(2))
    assert codes(half + more) == ["too-many-batches"]


def test_a_missing_id_and_an_empty_range_are_reported_together() -> None:
    text = "id: {prod: x}\nbatches: {b: {each: {day: {from: today, to: 2026-01-01}}}}\n"
    assert codes(text) == ["missing-id", "empty-range"]


def test_references_are_checked_against_the_day() -> None:
    text = (
        "id: x\nbatches: {b: {each: {day: {from: 2026-03-01, to: today}}}}\n"
        "moved: [{from: loyalty/old, to: loyalty/b/2026-03-15}]\n"
    )
    assert codes(text) == []
    assert codes(text, date(2026, 3, 14)) == ["undeclared-address"]


def test_placeholders_cannot_fill_the_memory() -> None:
    entry = "id: x\nbatches: {{b: {{each: {{d: {{from: 1000-01-01, to: 3000-01-01}}}}, tags: {{t: [{}]}}}}}}\n"
    assert codes(entry.format("'" + "{d}" * 100 + "'")) == ["too-large"]
    assert codes(entry.format(", ".join(["'{d}{d}'"] * 50))) == ["too-large"]
    assert codes(entry.format("'" + "x" * 1_000 + "'")) == []
