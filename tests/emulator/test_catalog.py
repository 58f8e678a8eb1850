"""E19 to E26 and E43: reading and changing batches through Catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reconciler.emulator import Behaviour
from tests.emulator.api import CATALOG, DATASET, OTHER_DATASET, T0, Api

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def four(api: Api) -> list[str]:
    """Four batches, one second apart: two formats, two datasets, three states, tags."""
    ids = []
    for number, (dataset, tags) in enumerate(
        [
            (DATASET, {"p": ["x"], "q": ["one"], "url": ["http://a:1"]}),
            (DATASET, {"p": ["x", "y"], "q": ["once"]}),
            (OTHER_DATASET, {"p": ["y"], "e": []}),
            (DATASET, {"q*": ["[a]?"], "aep/siphon": ["z"]}),
        ]
    ):
        ids.append(api.create(dataset, externalId=f"acme.{number}", tags=tags))
        api.emulator.advance(1000)
    api.act(ids[1], "ABORT")
    api.emulator.set_status(ids[2], "success")
    return ids


def test_e19_lists_and_single_batches_are_maps(api: Api, four: list[str]) -> None:
    assert set(api.get(CATALOG).json()) == set(four)
    assert list(api.get(f"{CATALOG}/{four[0]}").json()) == [four[0]]
    assert api.get(f"{CATALOG}/01J00WT4G00000001000000000").status_code == 404
    assert (api.get(CATALOG, externalId="nothing").text, api.get(CATALOG).status_code) == ("{}", 200)


def test_e19_the_id_may_not_be_repeated_inside(make_api: Callable[..., Api]) -> None:
    api = make_api(behaviour=Behaviour(repeat_id=False))
    assert "id" not in api.batch(api.create())


def test_e20_pages(api: Api) -> None:
    ids = [api.create() for _ in range(25)]
    assert api.found() == ids[:20]
    assert api.found(limit=10, start=10) == ids[10:20]
    assert api.found(limit=100, start=24) == ids[24:]
    assert api.found(start=25) == []


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "limit=-1", "start=-1", "start=x"])
def test_e20_pages_out_of_range(api: Api, query: str) -> None:
    response = api.get(f"{CATALOG}?{query}")
    assert response.status_code == 400
    assert "from" in response.json()["detail"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("externalId=acme.0", "0"),
        ("externalId=acme.0,acme.3,acme.9", "03"),
        ("externalId=!acme.0", "123"),
        ("externalId=!acme.0,acme.1", "23"),
        (f"dataSet={DATASET}", "013"),
        (f"dataSet={DATASET},{OTHER_DATASET}", "0123"),
        (f"dataset={OTHER_DATASET}", "0123"),
        ("status=loading", "03"),
        ("status=active,success", "2"),
        ("status=!aborted", "023"),
        (f"dataSet={DATASET}&status=aborted", "1"),
        (f"createdAfter={T0}", "123"),
        (f"createdBefore={T0 + 2000}", "01"),
        (f"createdAfter={T0}&createdBefore={T0 + 3000}", "12"),
        (f"created={T0 + 1000}", "1"),
        ("createdClient=acme_client", "0123"),
        ("createdClient=other", ""),
        ("version=1.0.1", "12"),
        ("tags=p:x", "01"),
        ("tags=p:y", "12"),
        ("tags=p:x,p:y", "1"),
        ("tags=p:x&tags=q:once", "1"),
        ("tags=q:on*", "01"),
        ("tags=q:*ce", "1"),
        ("tags=p:*", "012"),
        ("tags=e:*", "2"),
        ("tags=p:X", ""),
        ("tags=url:http://a:1", "0"),
        ("tags=aep/siphon:z", "3"),
        ("tags=q*:[a]?", "3"),
        ("tags=q*:[a]*", "3"),
        ("tags=q*:?*", ""),
        (f"tags=p:y&dataSet={DATASET}", "1"),
        (f"tags=p:x&status=loading&dataSet={DATASET}", "0"),
        (f"tags=p:x&createdAfter={T0}", "1"),
        ("tags=p:x&externalId=acme.1,acme.2", "1"),
        ("property=completed", "2"),
        ("property=!completed", "013"),
        ("property=status~^a", "1"),
        ("property=externalId~[23]$", "23"),
        ("property=externalId==acme.1", "1"),
        ("property=externalId!=acme.1", "023"),
        (f"property=updated>{T0 + 3000}", "12"),
        (f"property=created>={T0 + 2000}", "23"),
        (f"property=created<{T0 + 1000}", "0"),
        (f"property=created<={T0 + 1000}&property=status==loading", "0"),
        ("property=replay", ""),
        ("nonsense=1", "0123"),
        ("orderBy=desc:created", "3210"),
        ("orderBy=status,desc:created", "1302"),
        ("orderBy=desc:externalId&limit=2", "32"),
        ("sort=desc:created&limit=1", "3"),
        ("tags=p:x&orderBy=desc:created", "10"),
        ("tags=p:x&orderBy=desc:updated", "10"),
        ("startAfter=1", ""),
    ],
)
def test_e21_filters(api: Api, four: list[str], query: str, expected: str) -> None:
    assert list(api.get(f"{CATALOG}?{query}").json()) == [four[int(number)] for number in expected]


def test_e21_batch_is_a_filter_by_id(api: Api, four: list[str]) -> None:
    assert api.found(batch=four[2]) == [four[2]]
    assert api.found(batch=f"{four[2]},{four[0]}") == [four[0], four[2]]


def test_e21_replays_can_be_asked_for(api: Api, four: list[str]) -> None:
    new = api.create(replay={"predecessors": [four[0]]})
    assert api.found(dataSet=DATASET, property="replay") == [new]
    assert api.found(property="!replay") == four


@pytest.mark.parametrize(
    "query",
    [
        "tags=p",
        "tags=p:x,y",
        "tags=:x",
        "property=a.b",
        "property=status~(",
        "orderBy=up:created",
        "orderBy=a'b",
        "createdAfter=yesterday",
    ],
)
def test_e21_filters_that_make_no_sense(api: Api, query: str) -> None:
    assert api.get(f"{CATALOG}?{query}").status_code == 400


def test_e21_unknown_parameters_can_be_property_filters(make_api: Callable[..., Api]) -> None:
    api = make_api(behaviour=Behaviour(filter_by_unknown_parameter=True))
    api.create()
    assert api.found(nonsense="1") == []


def test_e21_projection(api: Api, four: list[str]) -> None:
    shown = api.get(CATALOG, externalId="acme.1", properties="status,replay,version").json()
    assert shown == {four[1]: {"status": "aborted", "version": "1.0.1"}}
    assert api.get(f"{CATALOG}/{four[0]}", properties="size").json() == {four[0]: {}}


def test_e22_several_ids_in_the_path(api: Api, four: list[str]) -> None:
    several = api.get(f"{CATALOG}/{four[2]},01J00WT4G00000001000000000,{four[0]}", properties="version")
    assert several.json() == {four[0]: {"version": "1.0.0"}, four[2]: {"version": "1.0.1"}}
    assert api.get(f"{CATALOG}/x,y").json() == {}
    fifty = [api.create() for _ in range(50)]
    assert list(api.get(f"{CATALOG}/{','.join(fifty)}").json()) == fifty


@pytest.mark.parametrize("quoted", [False, True])
def test_e23_the_etag_is_the_version_and_guards_a_change(make_api: Callable[..., Api], quoted: bool) -> None:
    api = make_api(behaviour=Behaviour(quoted_etag=quoted))
    batch = api.create(tags={"own": ["1"]})
    etag = api.get(f"{CATALOG}/{batch}").headers["etag"]
    assert etag == ('"1.0.0"' if quoted else "1.0.0")
    api.emulator.advance(5)
    tags = api.batch(batch)["tags"] | {"own": ["2"]}
    url, change = f"{CATALOG}/{batch}", {"tags": tags}
    first = api.send("PATCH", url, json=change, headers={"if-match": etag})
    assert (first.status_code, first.json()) == (200, [f"@/batches/{batch}"])
    assert api.send("PATCH", url, json=change, headers={"if-match": etag}).status_code == 412
    shown = api.batch(batch)
    assert (shown["version"], shown["updated"], shown["created"]) == ("1.0.1", T0 + 5, T0)
    assert shown["tags"] == tags
    assert (api.found(tags="own:1"), api.found(tags="own:2")) == ([], [batch])


def test_e23_without_if_match_the_last_one_wins_and_tags_are_replaced_whole(api: Api) -> None:
    batch = api.create(tags={"own": ["1"]})
    assert api.send("PATCH", f"{CATALOG}/{batch}", json={"tags": {"new": []}}).status_code == 200
    assert api.batch(batch)["tags"] == {"new": []}


def test_e23_a_json_patch(api: Api) -> None:
    batch = api.create(tags={"own": ["1"], "a/b": ["x"]})
    headers = {"content-type": "application/json-patch+json"}
    operations = (
        b'[{"op": "test", "path": "/tags/own/0", "value": "1"}, {"op": "add", "path": "/tags/own/-", "value": "2"},'
        b' {"op": "remove", "path": "/tags/a~1b"}, {"op": "replace", "path": "/tags/own/0", "value": "0"}]'
    )
    assert api.send("PATCH", f"{CATALOG}/{batch}", content=operations, headers=headers).status_code == 200
    assert api.batch(batch)["tags"]["own"] == ["0", "2"]
    assert "a/b" not in api.batch(batch)["tags"]
    more = (
        b'[{"op": "add", "path": "/tags/new", "value": ["b"]}, {"op": "add", "path": "/tags/new/0", "value": "a"},'
        b' {"op": "remove", "path": "/tags/own/1"}, {"op": "replace", "path": "/tags/acp_producer", "value": []}]'
    )
    assert api.send("PATCH", f"{CATALOG}/{batch}", content=more, headers=headers).status_code == 200
    changed = api.batch(batch)["tags"]
    assert (changed["new"], changed["own"], changed["acp_producer"]) == (["a", "b"], ["0"], [])
    for bad in (
        b"{}",
        b"[1]",
        b'[{"op": "remove", "path": "/tags/none"}]',
        b'[{"op": "test", "path": "/tags/own/9"}]',
        b'[{"op": "add", "path": "/tags/none/x", "value": 1}]',
        b'[{"op": "replace", "path": "/tags/own/x", "value": "1"}]',
        b'[{"op": "move", "path": "/tags/own", "from": "/tags/a"}]',
    ):
        assert api.send("PATCH", f"{CATALOG}/{batch}", content=bad, headers=headers).status_code == 400


def test_e23_changing_a_batch_may_not_be_allowed(make_api: Callable[..., Api]) -> None:
    api = make_api(behaviour=Behaviour(patch_allowed=False))
    assert api.send("PATCH", f"{CATALOG}/{api.create()}", json={"tags": {}}).status_code == 403


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_e24_what_is_read_only_is_ignored_or_refused(make_api: Callable[..., Api], method: str) -> None:
    change = {"externalId": "other", "status": "active", "tags": {"own": ["1"]}}
    api = make_api()
    batch = api.create(externalId="acme.1", tags={"old": ["1"]})
    assert api.send(method, f"{CATALOG}/{batch}", json=change).status_code == 200
    shown = api.batch(batch)
    assert (shown["externalId"], shown["status"], shown["tags"]) == ("acme.1", "loading", {"own": ["1"]})
    strict = make_api(behaviour=Behaviour(reject_read_only=True))
    assert strict.send(method, f"{CATALOG}/{strict.create()}", json=change).status_code == 400


def test_e24_a_put_empties_what_it_does_not_name(api: Api) -> None:
    batch = api.create(tags={"own": ["1"]})
    assert api.send("PUT", f"{CATALOG}/{batch}", json={"metrics": {"a": 1}}).status_code == 200
    assert (api.batch(batch)["tags"], api.batch(batch)["metrics"]) == ({}, {"a": 1})
    assert api.found(tags="own:1") == []


def test_e25_delete_marks(api: Api) -> None:
    batch = api.create()
    response = api.send("DELETE", f"{CATALOG}/{batch}")
    assert (response.status_code, response.json()) == (200, [f"@/batches/{batch}"])
    assert api.status(batch) == "deleted"
    assert api.send("DELETE", f"{CATALOG}/nothing").status_code == 404
    api.emulator.behaviour = Behaviour(delete_unknown_status=200)
    assert api.send("DELETE", f"{CATALOG}/nothing").json() == []


def test_e26_datasets(api: Api) -> None:
    base = "/data/foundation/catalog/dataSets"
    assert list(api.get(base).json()) == sorted([DATASET, OTHER_DATASET])
    assert api.get(base, limit=1, start=1, properties="state").json() == {OTHER_DATASET: {"state": "DRAFT"}}
    assert list(api.get(f"{base}/{DATASET}").json()) == [DATASET]
    assert api.get(f"{base}/{DATASET}", properties="name,schemaRef").json() == {DATASET: {"name": f"dataset {DATASET}"}}
    assert list(api.get(f"{base}/{OTHER_DATASET},none,{DATASET}").json()) == [OTHER_DATASET, DATASET]
    assert api.get(f"{base}/none").status_code == 404


def test_e26_last_batches(api: Api) -> None:
    good = api.done()
    api.emulator.set_status(bad := api.create(), "failed")
    last = api.create()
    url = "/data/foundation/catalog/lastBatches"
    told = api.get(url, dataSetId=f"{DATASET},{OTHER_DATASET}").json()
    assert list(told) == [DATASET]
    entry = told[DATASET]
    assert (entry["lastBatchId"], entry["lastBatchStatus"]) == (last, "loading")
    assert (entry["lastSuccessfulBatchId"], entry["lastFailedBatchId"]) == (good, bad)
    assert api.get(url).status_code == 400


def test_e43_batches_of_others_are_listed_too(api: Api) -> None:
    own = api.create()
    foreign = api.emulator.add_batch(
        DATASET, org=str(api.batch(own)["imsOrg"]), sandbox="dev", external_id="other", tags={"theirs": ["1"]}
    )
    assert api.found(dataSet=DATASET) == [own, foreign]
    assert api.found(createdClient="!acme_client") == [foreign]
    assert api.batch(foreign)["status"] == "success"
