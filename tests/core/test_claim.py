"""Whether a batch is the one that a record describes: dataset, external id and marker, values in and out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from reconciler.core.claim import contradiction, contradiction_of_deposed
from reconciler.core.identity import ADDRESS_TAG, ENVIRONMENT_TAG, PROJECT_TAG
from tests.examples import ADDRESS, WHO, observed, recorded

if TYPE_CHECKING:
    from reconciler.core.batch import Observed

OTHER = "loyalty/weekly"
UPPER = "loyalty/EMEA"
STRANGER = replace(observed("S1", external_id="someone.else"), tags={})
IMPORTED = recorded(id="S1", external_id="someone.else")


def tagged(batch: Observed, **tags: str) -> Observed:
    names = {"project": PROJECT_TAG, "environment": ENVIRONMENT_TAG, "address": ADDRESS_TAG}
    return replace(batch, tags={**batch.tags, **{names[name]: (value,) for name, value in tags.items()}})


AGREES = {
    "as created": (recorded(), observed()),
    "of a later generation": (recorded(generation=3), observed(generation=3)),
    "moved: it keeps its first name": (recorded("loyalty/new", external_id=recorded().external_id), observed()),
    "imported": (IMPORTED, STRANGER),
    "imported without an external id": (
        recorded(id="S1", external_id="S1"),
        replace(STRANGER, external_id=None),
    ),
    "imported, AEP's own external id": (recorded(id="S1", external_id="S1"), replace(STRANGER, external_id="S1")),
    "a manifest's own external id": (recorded(external_id="load"), observed(external_id="load")),
    "AEP keeps no external id of ours": (recorded(), replace(observed(), external_id="B1")),
    "AEP shows no external id": (recorded(), replace(observed(), external_id=None)),
    "AEP shows no dataset": (recorded(), replace(observed(), datasets=frozenset())),
    "its tags were taken off": (recorded(), replace(observed(), tags={})),
    "its tags came back trimmed and in lower case": (
        recorded(UPPER),
        tagged(observed(address=UPPER), address=" loyalty/emea ", project="ACME-CRM"),
    ),
    "consolidated by the platform": (recorded(), replace(STRANGER, id="B1", replay_reason="consolidation")),
}

CONTRADICTS = {
    "another dataset": (recorded(), observed(dataset="another"), "belongs to dataset `another`"),
    "the ids of two records were swapped": (recorded(), observed(address=OTHER), "has external id"),
    "another generation": (recorded(generation=2), observed(generation=1), "has external id"),
    "a stranger's": (recorded(id="S1"), STRANGER, "has external id `someone.else`"),
    "a stranger's without external id": (recorded(id="S1"), replace(STRANGER, external_id=None), "no external id"),
    "a stranger's with AEP's own": (recorded(id="S1"), replace(STRANGER, external_id="S1"), "external id `S1`"),
    "two imports were swapped": (
        recorded(id="S2", external_id="S1"),
        replace(STRANGER, id="S2", external_id="S2"),
        "has external id `S2`",
    ),
    "another project's marker": (recorded(), tagged(observed(), project="other"), "`reconciler_project: other`"),
    "another environment's marker": (
        recorded(external_id="load"),
        tagged(observed(external_id="load"), environment="prod"),
        "`reconciler_environment: prod`",
    ),
    "another address's marker": (recorded(), tagged(observed(), address=OTHER), "`reconciler_address: loyalty/weekly`"),
    "another address's marker, no external id": (
        recorded(),
        replace(observed(address=OTHER), external_id=None),
        "no external id",
    ),
    "an own external id that nothing confirms": (
        recorded(external_id="load"),
        replace(observed(address=OTHER), external_id=None),
        "no external id",
    ),
    "the record's own generation": (
        replace(recorded(generation=2), generation=7),
        observed(generation=2),
        "is of generation 2",
    ),
    "consolidated in another dataset": (
        recorded(),
        replace(STRANGER, datasets=frozenset({"another"}), replay_reason="consolidation"),
        "belongs to dataset",
    ),
}


@pytest.mark.parametrize("case", AGREES)
def test_what_agrees(case: str) -> None:
    record, batch = AGREES[case]
    assert contradiction(WHO, record, batch) is None


@pytest.mark.parametrize("case", CONTRADICTS)
def test_what_contradicts(case: str) -> None:
    record, batch, said = CONTRADICTS[case]
    found = contradiction(WHO, record, batch)
    assert found is not None
    assert said in found


NOW = recorded(generation=3, deposed=("D",))
MOVED = recorded("loyalty/new", external_id=WHO.external_ids(ADDRESS).of(3), generation=3)
OWN = recorded(external_id="load.7.3", generation=3)

REPLACED = {
    "an earlier generation": (NOW, observed("D", generation=2)),
    "open, of another dataset: the replacement changed it": (NOW, observed("D", generation=2, dataset="another")),
    "its tags were taken off": (NOW, replace(observed("D", generation=2), tags={})),
    "an own external id": (OWN, observed("D", external_id="load.7")),
    "another own external id, which the manifest had then": (OWN, observed("D", external_id="other")),
    "moved since": (MOVED, observed("D", generation=2)),
    "no external id": (NOW, replace(observed("D", generation=2), external_id=None)),
}

NOT_REPLACED = {
    "its own generation": (NOW, observed("D", generation=3), "is of generation 3"),
    "a later one": (NOW, observed("D", generation=9), "is of generation 9"),
    "another address": (NOW, observed("D", address=OTHER), "earlier one of this address"),
    "a stranger's": (NOW, replace(STRANGER, id="D"), "earlier one of this address"),
    "loaded in another dataset": (
        NOW,
        observed("D", "success", generation=2, dataset="another"),
        "belongs to dataset `another`",
    ),
    "tagged for here, with the external id of another": (
        NOW,
        tagged(observed("D", address=OTHER), address=ADDRESS),
        "which its external id",
    ),
    "another project's": (NOW, tagged(observed("D", generation=2), project="other"), "`reconciler_project: other`"),
}


@pytest.mark.parametrize("case", REPLACED)
def test_what_was_replaced(case: str) -> None:
    record, batch = REPLACED[case]
    assert contradiction_of_deposed(WHO, record, batch) is None


@pytest.mark.parametrize("case", NOT_REPLACED)
def test_what_was_not_replaced(case: str) -> None:
    record, batch, said = NOT_REPLACED[case]
    found = contradiction_of_deposed(WHO, record, batch)
    assert found is not None
    assert said in found


def test_what_was_replaced_before_its_address_was_renamed() -> None:
    record = recorded("loyalty/new", generation=3, deposed=("D",))
    assert contradiction_of_deposed(WHO, record, observed("D", generation=2)) is not None
    assert contradiction_of_deposed(WHO, record, observed("D", generation=2), (ADDRESS,)) is None
