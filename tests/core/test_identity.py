"""Addresses and external ids: one grammar each, for making, reading and refusing."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.address import ADDRESS, MAX_LENGTH, is_address
from reconciler.core.identity import CHARACTERS, LONGEST, ExternalIds, Identity, is_derived, split_generation

WHO = Identity("acme-crm", "prod", "0123456789ABCDEF01234567@AdobeOrg", "prod")


def test_an_external_id_is_the_same_for_ever() -> None:
    assert WHO.external_ids("loyalty/daily/2026-01-01").of(1) == "acme-crm.37e0be88d9715824880c.1"


@given(address=st.from_regex(ADDRESS, fullmatch=True).filter(is_address), generation=st.integers(1, 999))
def test_what_is_derived_is_read_back(address: str, generation: int) -> None:
    ids = WHO.external_ids(address)
    external_id = ids.of(generation)
    assert ids.generation(external_id) == generation
    assert split_generation(external_id) == (ids.base, generation)
    assert is_derived(external_id, WHO.project)
    assert not is_derived(external_id, "another")
    assert re.fullmatch(f"{CHARACTERS}{{1,{LONGEST}}}", external_id)


@given(own=st.from_regex(f"{CHARACTERS}{{1,60}}", fullmatch=True), generation=st.integers(1, 999))
def test_an_id_of_the_manifests_own_is_read_back(own: str, generation: int) -> None:
    ids = ExternalIds(own, is_own=True)
    assert ids.of(1) == own
    assert ids.generation(ids.of(generation)) == generation


@pytest.mark.parametrize("foreign", ["", ".", "acme-crm", "acme-crm.37e0be88d9715824880c", "other.1", "load.7.x"])
def test_a_foreign_id_names_no_generation(foreign: str) -> None:
    assert WHO.external_ids("loyalty/a").generation(foreign) is None


def test_an_id_of_ones_own_may_end_like_a_generation() -> None:
    ids = ExternalIds("load.7", is_own=True)
    assert [ids.generation(each) for each in ("load.7", "load.7.2", "load.2", "load")] == [1, 2, None, None]


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("loyalty/daily", True),
        ("loyalty/daily/2026-01-01/EMEA", True),
        ("loyalty", False),
        ("Loyalty/daily", False),
        ("loyalty/daily/", False),
        ("loyalty//daily", False),
        ("loyalty/daily\n", False),
        ("loyalty/../daily", False),
        ("loyalty/" + "x" * (MAX_LENGTH - len("loyalty/")), True),
        ("loyalty/" + "x" * (MAX_LENGTH - len("loyalty/") + 1), False),
    ],
)
def test_addresses(text: str, is_one: bool) -> None:
    assert is_address(text) is is_one
