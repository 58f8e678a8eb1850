"""Addresses as ranges: what a range hides, a person can count."""

from __future__ import annotations

from datetime import date, timedelta
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.ranges import MOST_RANGES, address_ranges, runs


def days(count: int, step: int = 1) -> list[str]:
    start = date(2026, 1, 1)
    return [(start + timedelta(step * number)).isoformat() for number in range(count)]


def texts(addresses: list[str]) -> list[str]:
    return [each.text for each in address_ranges(sorted(addresses))]


def test_days_in_a_row_are_a_range() -> None:
    assert texts([f"loyalty/daily/{day}" for day in days(90)]) == ["loyalty/daily/2026-01-01 … 2026-03-31 (90)"]


def test_a_gap_cuts_the_range() -> None:
    kept = [f"l/d/{day}" for day in days(10) if day != "2026-01-04"]
    assert texts(kept) == ["l/d/2026-01-01 … 2026-01-03 (3)", "l/d/2026-01-05 … 2026-01-10 (6)"]


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        (days(13, step=7), "l/b/2026-01-01 … 2026-03-26 (13)"),
        ([f"2026-{month:02}-01" for month in range(1, 13)], "l/b/2026-01-01 … 2026-12-01 (12)"),
        ([f"{year}-01-01" for year in range(2020, 2027)], "l/b/2020-01-01 … 2026-01-01 (7)"),
        ([f"hour-{hour:02}" for hour in range(24)], "l/b/hour-00 … hour-23 (24)"),
        ([f"{number:04}" for number in range(0, 50, 5)], "l/b/0000 … 0045 (10)"),
    ],
)
def test_an_even_step_is_a_range(keys: list[str], text: str) -> None:
    assert texts([f"l/b/{key}" for key in keys]) == [text]


def test_names_are_listed() -> None:
    names = ["l/b/apac", "l/b/emea", "l/b/latam", "l/initial-load", "l/other"]
    assert texts(names) == names


def test_two_neighbours_are_listed() -> None:
    assert texts(["l/b/2026-01-01", "l/b/2026-01-02"]) == ["l/b/2026-01-01", "l/b/2026-01-02"]


def test_what_looks_like_a_date_and_is_none_is_a_name() -> None:
    assert texts([f"l/b/2026-02-{day}" for day in (28, 29, 30)]) == [f"l/b/2026-02-{day}" for day in (28, 29, 30)]


def test_multiplied_dimensions_are_a_product() -> None:
    both = [f"l/b/{day}/{region}" for day in days(90) for region in ("apac", "emea")]
    assert texts(both) == ["l/b/{2026-01-01 … 2026-03-31}/{apac, emea} (180)"]
    one = [f"l/b/emea/{day}" for day in days(5)]
    assert texts(one) == ["l/b/emea/{2026-01-01 … 2026-01-05} (5)"]


def test_a_product_with_a_hole_is_told_by_its_first_dimension() -> None:
    most = [f"l/b/{region}/{day}" for region in ("apac", "emea") for day in days(9)][:-1]
    assert texts(most) == ["l/b/apac/2026-01-01 … 2026-01-09 (9)", "l/b/emea/2026-01-01 … 2026-01-08 (8)"]


def test_what_would_be_too_many_lines_is_one_that_says_so() -> None:
    many = [f"l/b/{day}" for number, day in enumerate(days(900)) if number % 3 != number % 2]
    (only,) = address_ranges(many)
    assert only.text == f"{many[0]} … {many[-1].removeprefix('l/b/')} ({len(many)}, with gaps)"
    assert only.count == len(many)


def test_a_hundred_thousand_are_one_range_at_once() -> None:
    start = date(1900, 1, 1)
    addresses = [f"l/d/{(start + timedelta(number)).isoformat()}" for number in range(100_000)]
    began = perf_counter()
    (only,) = address_ranges(addresses)
    assert perf_counter() - began < 30, "not quadratic"
    assert only.count == 100_000


KEYS = st.one_of(
    st.dates(date(2025, 12, 1), date(2026, 3, 1)).map(date.isoformat),
    st.integers(0, 120).map(str),
    st.integers(0, 120).map("{:03}".format),
    st.sampled_from(["emea", "apac", "w-1", "w-2", "w-3", "2026-02-30"]),
)


@given(st.sets(st.lists(KEYS, min_size=1, max_size=2).map(lambda keys: "/".join(["l/b", *keys]))))
def test_every_address_is_counted_once_and_order_is_kept(addresses: set[str]) -> None:
    ordered = sorted(addresses)
    found = address_ranges(ordered)
    assert sum(each.count for each in found) == len(ordered)
    assert [each.first for each in found] == sorted(each.first for each in found)
    assert all(each.first in addresses for each in found)
    assert all(each.text == each.first for each in found if each.count == 1)
    assert len(found) <= 4 * MOST_RANGES


@given(st.sets(KEYS))
def test_runs_keep_every_key_in_its_place(keys: set[str]) -> None:
    ordered = sorted(keys)
    assert [key for run in runs(ordered) for key in run] == ordered
