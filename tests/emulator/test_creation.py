"""E10 to E18: `POST /import/batches`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, get_args

import pytest

from reconciler.emulator import Behaviour
from reconciler.emulator.behaviour import Duplicates, ReplayEcho, Retirement
from reconciler.emulator.ulid import ulid
from tests.emulator.api import CATALOG, DATASET, IMPORT, ORG, T0, Api

if TYPE_CHECKING:
    from collections.abc import Callable


def test_e10_the_answer_is_the_new_batch_itself(api: Api) -> None:
    response = api.post(IMPORT, {"datasetId": DATASET, "inputFormat": {"format": "json"}})
    assert response.status_code == 201
    batch = response.json()
    assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{26}", batch["id"])
    assert batch["status"] == "loading"
    assert batch["version"] == "1.0.0"
    assert batch["created"] == batch["updated"] == T0
    assert batch["imsOrg"] == ORG
    assert batch["relatedObjects"] == [{"type": "dataSet", "id": DATASET}]
    assert batch["inputFormat"] == {"format": "json"}
    assert batch["createdClient"] == "acme_client"
    assert api.batch(batch["id"]) == batch


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (None, {"format": "parquet"}),
        ({"format": "Parquet"}, {"format": "parquet"}),
        ({"format": "JSON", "isMultiLineJson": True}, {"format": "json", "isMultiLineJson": True}),
        (
            {"format": "csv", "delimiter": ";", "quote": "'", "nullMarker": "", "header": True},
            {"format": "csv", "delimiter": ";", "quote": "'", "nullMarker": "", "header": "true"},
        ),
    ],
)
def test_e11_formats_are_optional_and_in_any_case(api: Api, given: object, shown: object) -> None:
    assert api.batch(api.create(inputFormat=given))["inputFormat"] == shown


def test_e12_the_external_id_is_the_id_unless_given(api: Api) -> None:
    plain, named = api.create(), api.create(externalId="acme.1")
    assert api.batch(plain)["externalId"] == plain
    assert api.batch(named)["externalId"] == "acme.1"
    assert api.found(externalId="acme.1") == [named]


def test_e12_duplicates_are_accepted_by_default(api: Api) -> None:
    twins = [api.create(externalId="acme.1"), api.create(externalId="acme.1")]
    assert api.found(externalId="acme.1") == twins


@pytest.mark.parametrize(("mode", "status"), [("reject409", 409), ("reject400", 400)])
def test_e12_duplicates_can_be_refused_all_over_the_organisation(
    make_api: Callable[..., Api], mode: Duplicates, status: int
) -> None:
    api = make_api(behaviour=Behaviour(duplicate_external_id=mode))
    api.create(externalId="acme.1")
    elsewhere = {"x-sandbox-name": "prod"}
    again = {"datasetId": DATASET, "externalId": "acme.1"}
    assert api.send("POST", IMPORT, json=again, headers=elsewhere).status_code == status
    stranger = {"x-gw-ims-org-id": "F" * 24 + "@AdobeOrg"}
    assert api.send("POST", IMPORT, json=again, headers=stranger).status_code == 201


def test_e12_the_answer_may_not_tell_the_external_id(make_api: Callable[..., Api]) -> None:
    api = make_api(behaviour=Behaviour(create_tells_external_id=False))
    told = api.post(IMPORT, {"datasetId": DATASET, "externalId": "acme.1"}).json()
    assert "externalId" not in told
    assert api.batch(told["id"])["externalId"] == "acme.1"


def test_e13_tags_are_kept_and_the_systems_added(api: Api) -> None:
    batch = api.create(tags={"team": ["crm", "b"], "empty": []})
    assert api.batch(batch)["tags"] == {
        "team": ["crm", "b"],
        "empty": [],
        "acp_producer": ["acme_client"],
        "acp_stagePath": [f"acme_client/stage/{batch}"],
        "use_plan_b_batch_status": ["false"],
    }


def test_e13_reserved_tags_are_dropped_or_refused(make_api: Callable[..., Api]) -> None:
    tags = {"unifiedProfile": ["enabled:true"], "adobe/x": ["1"], "own": ["1"]}
    api = make_api()
    assert set(api.batch(api.create(tags=tags))["tags"]) & set(tags) == {"own"}
    strict = make_api(behaviour=Behaviour(reject_reserved_tags=True))
    assert strict.post(IMPORT, {"datasetId": DATASET, "tags": tags}).status_code == 400


def test_e14_each_post_creates_another_batch(api: Api) -> None:
    assert len({api.create(externalId="same") for _ in range(3)}) == 3


@pytest.mark.parametrize("status", [404, 400])
def test_e15_an_unknown_dataset(make_api: Callable[..., Api], status: Any) -> None:
    api = make_api(behaviour=Behaviour(unknown_dataset_status=status))
    assert api.post(IMPORT, {"datasetId": "5c8c3c555033b814b69f0000"}).status_code == status
    assert api.emulator.batches() == {}


@pytest.mark.parametrize(
    "fields",
    [
        {"datasetId": None},
        {"datasetId": ""},
        {"datasetId": 5},
        {"externalId": ""},
        {"externalId": 7},
        {"inputFormat": "json"},
        {"inputFormat": {"format": "xml"}},
        {"tags": ["a"]},
        {"tags": {"a": "b"}},
        {"tags": {"a": [1]}},
        {"replay": "x"},
        {"replay": {"predecessors": "x"}},
        {"partialIngestionPercent": 101},
        {"partialIngestionPercentage": "5"},
    ],
)
def test_e11_e15_what_cannot_be_is_400(api: Api, fields: dict[str, object]) -> None:
    assert api.post(IMPORT, {"datasetId": DATASET, **fields}).status_code == 400
    assert api.emulator.batches() == {}


@pytest.mark.parametrize("field", ["partialIngestionPercent", "partialIngestionPercentage"])
def test_e16_diagnostics_become_tags_and_unknown_fields_nothing(api: Api, field: str) -> None:
    asked: dict[str, Any] = {"enableErrorDiagnostics": True, "name": "x", "status": "active", field: 5}
    batch = api.create(**asked)
    shown = api.batch(batch)
    assert shown["tags"]["acp_enableErrorDiagnostics"] == ["true"]
    assert shown["tags"]["acp_partialIngestionPercent"] == ["5"]
    assert "name" not in shown
    assert shown["status"] == "loading"


def test_e17_a_replay_is_echoed_and_retires_its_predecessors_on_success(api: Api) -> None:
    first, second = api.done(), api.done(externalId="acme.1")
    replay = {"predecessors": [f"${first}"], "predecessorsByExternalId": ["${acme.1}"], "reason": "replace"}
    new = api.create(replay=replay)
    assert api.batch(new)["replay"] == {
        "predecessorListingType": "IMMEDIATE",
        "predecessors": [first],
        "predecessorsByExternalId": ["acme.1"],
        "reason": "replace",
    }
    api.put(new)
    api.act(new, "COMPLETE")
    assert [api.status(first), api.status(second)] == ["success", "success"]
    api.emulator.advance(10_000)
    assert [api.status(batch) for batch in (first, second, new)] == ["inactive", "inactive", "success"]


@pytest.mark.parametrize("moment", ["create", "complete"])
def test_e17_predecessors_may_retire_earlier(make_api: Callable[..., Api], moment: Retirement) -> None:
    api = make_api(behaviour=Behaviour(retire_predecessors=moment))
    old = api.done()
    new = api.create(replay={"predecessors": [old]})
    assert api.status(old) == ("inactive" if moment == "create" else "success")
    api.put(new)
    api.act(new, "COMPLETE")
    assert api.status(old) == "inactive"


@pytest.mark.parametrize("echo", [each for each in get_args(ReplayEcho) if each != "plain"])
def test_e17_a_replay_may_be_echoed_otherwise_and_then_nothing_retires(
    make_api: Callable[..., Api], echo: ReplayEcho
) -> None:
    api = make_api(behaviour=Behaviour(replay_echo=echo))
    old = api.done()
    new = api.done(replay={"predecessors": [f"${old}"]})
    shown = api.batch(new)["replay"].get("predecessors", [])
    expected = {"dollar": [f"${old}"], "none": [], "foreign": [f"{old[:-4]}0000"]}
    assert shown == expected[echo]
    assert [api.status(old), api.status(new)] == ["success", "success"]


def test_e18_catalog_may_lag_behind_a_creation(make_api: Callable[..., Api]) -> None:
    api = make_api(behaviour=Behaviour(visibility_lag_ms=500))
    batch = api.create(externalId="acme.1", tags={"own": ["1"]})
    queries: list[dict[str, str | int]] = [{"externalId": "acme.1"}, {"dataSet": DATASET}, {"tags": "own:1"}, {}]
    assert [api.found(**query) for query in queries] == [[], [], [], []]
    assert api.get(f"{CATALOG}/{batch}").status_code == 404
    assert api.send("PATCH", f"{CATALOG}/{batch}", json={}).status_code == 404
    assert api.act(batch, "FAIL").status_code == 200
    assert list(api.emulator.batches()) == [batch]
    api.emulator.advance(500)
    assert [api.found(**query) for query in queries] == [[batch]] * 4


def test_ids_sort_by_age_and_depend_on_time_seed_and_counter_alone() -> None:
    assert ulid(T0, 1, 1) == "01J00CF70000000001" + "00000001"
    assert ulid(T0, 1, 1) < ulid(T0, 1, 2) < ulid(T0 + 1, 0, 1)
    assert len(ulid((1 << 48) - 1, (1 << 40) - 1, (1 << 40) - 1)) == 26
