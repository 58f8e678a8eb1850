"""E1 to E9: tokens, the gateway's errors, sandboxes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from reconciler.emulator import Behaviour, World
from tests.emulator.api import CATALOG, DATASET, HEADERS, IMPORT, WORLD, Api

if TYPE_CHECKING:
    from collections.abc import Callable

TOKEN = "/ims/token/v3"
CREDENTIALS = {"grant_type": "client_credentials", "client_id": "acme_client", "client_secret": "s3cret"}
WITH_SCOPE = {**CREDENTIALS, "scope": "openid,AdobeID"}
KNOWN = World(datasets=frozenset({DATASET}), clients={"acme_client": "s3cret"})


def token(api: Api) -> str:
    return str(api.send("POST", TOKEN, data=WITH_SCOPE).json()["access_token"])


@pytest.mark.parametrize("where", ["data", "params"])
def test_e1_a_token_for_parameters_in_the_body_or_in_the_query(api: Api, where: str) -> None:
    response = api.send("POST", TOKEN, **{where: WITH_SCOPE})
    assert response.status_code == 200
    assert response.json() | {"access_token": ""} == {
        "access_token": "",
        "token_type": "bearer",
        "expires_in": 86_399,
    }


@pytest.mark.parametrize(
    ("change", "status", "error"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"client_id": "nobody"}, 401, "invalid_client"),
        ({"scope": ""}, 400, "invalid_scope"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
    ],
)
def test_e2_ims_refuses_in_the_shape_of_oauth(
    make_api: Callable[..., Api], change: dict[str, str], status: int, error: str
) -> None:
    response = make_api(world=KNOWN).send("POST", TOKEN, data={**WITH_SCOPE, **change})
    assert response.status_code == status
    assert response.json()["error"] == error
    assert response.json()["error_description"]


def test_e2_the_status_of_a_bad_client_can_be_switched(make_api: Callable[..., Api]) -> None:
    api = make_api(world=KNOWN, behaviour=Behaviour(bad_client_status=400))
    assert api.send("POST", TOKEN, data={**WITH_SCOPE, "client_secret": ""}).status_code == 400


def test_e3_a_token_ends_with_its_time(make_api: Callable[..., Api]) -> None:
    api = make_api(behaviour=Behaviour(token_ttl_s=60))
    headers = {**HEADERS, "authorization": f"Bearer {token(api)}"}
    api.emulator.advance(59_999)
    assert api.raw("GET", CATALOG, headers).status_code == 200
    api.emulator.advance(1)
    response = api.raw("GET", CATALOG, headers)
    assert (response.status_code, response.json()["error_code"]) == (401, "401013")


def test_e3_tokens_can_be_taken_back_and_new_ones_had(api: Api) -> None:
    old = token(api)
    api.emulator.expire_tokens()
    assert api.raw("GET", CATALOG, {**HEADERS, "authorization": f"Bearer {old}"}).status_code == 401
    assert api.raw("GET", CATALOG, {**HEADERS, "authorization": f"Bearer {token(api)}"}).status_code == 200


def test_e3_a_garbled_token_is_refused(make_api: Callable[..., Api]) -> None:
    api = make_api(world=KNOWN)
    for bad in ("other", token(api)[:-1], "emulator.e30=.0"):
        assert api.raw("GET", CATALOG, {**HEADERS, "authorization": f"Bearer {bad}"}).status_code == 401


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"authorization": None}, 403, "403010"),
        ({"x-api-key": None}, 403, "403000"),
        ({"x-gw-ims-org-id": None}, 400, "400003"),
        ({"x-gw-ims-org-id": "acme"}, 403, "403027"),
        ({"x-gw-ims-org-id": "FFFFFFFFFFFFFFFFFFFFFFFF@AdobeOrg"}, 403, "403025"),
    ],
)
def test_e3_e4_the_gateways_errors(
    make_api: Callable[..., Api], change: dict[str, str | None], status: int, code: str
) -> None:
    api = make_api(world=World(orgs=frozenset({HEADERS["x-gw-ims-org-id"]})))
    headers = {name: value for name, value in (HEADERS | change).items() if value is not None}
    response = api.raw("GET", CATALOG, headers)
    assert (response.status_code, response.json()["error_code"]) == (status, code)


def test_e4_the_api_key_must_be_the_tokens(api: Api) -> None:
    headers = {**HEADERS, "authorization": f"Bearer {token(api)}", "x-api-key": "another"}
    response = api.raw("GET", CATALOG, headers)
    assert (response.status_code, response.json()["error_code"]) == (403, "403003")


def test_e5_no_sandbox_is_prod_and_sandboxes_see_nothing_of_each_other(api: Api) -> None:
    here = api.create(externalId="mine")
    without = {name: value for name, value in HEADERS.items() if name != "x-sandbox-name"}
    for headers in (without, HEADERS | {"x-sandbox-name": "prod"}):
        assert api.raw("GET", f"{CATALOG}?externalId=mine", headers).json() == {}
        assert api.raw("GET", f"{CATALOG}/{here}", headers).status_code == 404
        assert api.raw("POST", f"{IMPORT}/{here}?action=ABORT", headers).status_code == 404
    assert api.status(here) == "loading"


@pytest.mark.parametrize("status", [401, 403, 404, 400])
def test_e5_an_unknown_sandbox(make_api: Callable[..., Api], status: Any) -> None:
    world = World(sandboxes=frozenset({"prod"}))
    api = make_api(world=world, behaviour=Behaviour(unknown_sandbox_status=status))
    assert api.get(CATALOG).status_code == status


def test_datasets_can_belong_to_one_sandbox_only(make_api: Callable[..., Api]) -> None:
    api = make_api(world=World(sandbox_datasets={"prod": frozenset({DATASET})}))
    assert api.post(IMPORT, {"datasetId": DATASET}).status_code == 404
    api.emulator.add_dataset(DATASET, sandbox="dev")
    assert api.post(IMPORT, {"datasetId": DATASET}).status_code == 201


def test_e8_a_url_of_2000_characters_is_the_longest(api: Api) -> None:
    start = "https://platform.adobe.io" + CATALOG + "?externalId="
    assert api.get(f"{CATALOG}?externalId={'x' * (2000 - len(start))}").status_code == 200
    assert api.get(f"{CATALOG}?externalId={'x' * (2001 - len(start))}").status_code == 414


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded"])
def test_e9_json_must_call_itself_json(api: Api, content_type: str | None) -> None:
    headers = {"content-type": content_type} if content_type else {}
    response = api.send("POST", IMPORT, content=b'{"datasetId": "x"}', headers=headers)
    assert response.status_code == 400
    assert response.json()["title"] == "BadRequestError"
    assert response.json()["status"] == 400


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'"x"'])
def test_e9_json_must_be_an_object(api: Api, content: bytes) -> None:
    headers = {"content-type": "application/json; charset=utf-8"}
    assert api.send("POST", IMPORT, content=content, headers=headers).status_code == 400


def test_what_is_no_part_of_the_api_is_404_or_405(api: Api) -> None:
    assert api.get("/data/foundation/catalog/nothing").status_code == 404
    assert api.send("DELETE", IMPORT).status_code == 405
    assert api.get("/_emulator/batches").status_code == 404


def test_e42_creations_beyond_the_quota_of_a_minute_are_refused_by_client(make_api: Callable[..., Api]) -> None:
    api = make_api(world=WORLD, behaviour=Behaviour(creations_per_minute=2))
    api.create()
    api.create()
    response = api.post(IMPORT, {"datasetId": DATASET})
    assert (response.status_code, response.json()["error_code"]) == (429, "429050")
    assert len(api.emulator.batches()) == 2
    assert api.found() != []
    other = api.send("POST", IMPORT, json={"datasetId": DATASET}, headers={"x-api-key": "other"})
    assert other.status_code == 201
    api.emulator.advance(60_000)
    api.create()
