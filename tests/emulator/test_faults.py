"""E6 and E7: faults on demand, in process."""

from __future__ import annotations

import json
import re
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from reconciler.emulator import (
    Answer,
    Body,
    Cut,
    Effect,
    ExpireTokens,
    Fault,
    Faults,
    FaultsInvalid,
    Lag,
    Latency,
    Loss,
    Moment,
    Truncate,
    load_faults,
    parse_faults,
)
from reconciler.emulator.faults import Injector
from tests.emulator.api import CATALOG, DATASET, HEADERS, IMPORT, T0, Api

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CREATE = "/import/batches$"


def strike(api: Api, effect: Effect, **rule: Any) -> None:
    api.emulator.inject(Faults((Fault(effect, path=CREATE, **rule),)))


def create(api: Api) -> httpx.Response:
    return api.post(IMPORT, {"datasetId": DATASET})


@pytest.mark.parametrize(("moment", "batches"), [(Moment.BEFORE, 0), (Moment.AFTER, 1)])
@pytest.mark.parametrize("status", [500, 502, 503, 504, 408, 429])
def test_e7_an_error_before_or_after_the_effect(api: Api, status: int, moment: Moment, batches: int) -> None:
    strike(api, Answer(status, moment), nth=1)
    assert create(api).status_code == status
    assert len(api.emulator.batches()) == batches
    assert create(api).status_code == 201


@pytest.mark.parametrize(
    ("effect", "error"),
    [
        (Cut(Moment.BEFORE, Loss.REFUSE), httpx.ConnectError),
        (Cut(Moment.BEFORE, Loss.RESET), httpx.ReadError),
        (Cut(Moment.BEFORE, Loss.CLOSE), httpx.RemoteProtocolError),
        (Cut(Moment.AFTER, Loss.RESET), httpx.ReadError),
        (Cut(Moment.AFTER, Loss.CLOSE), httpx.RemoteProtocolError),
        (Truncate(), httpx.RemoteProtocolError),
    ],
)
def test_e7_a_connection_lost_before_or_after_the_effect(
    api: Api, effect: Cut | Truncate, error: type[httpx.HTTPError]
) -> None:
    strike(api, effect, first=1)
    with pytest.raises(error) as raised:
        create(api)
    assert type(raised.value) is error
    lost_before = isinstance(effect, Cut) and effect.moment is Moment.BEFORE
    assert len(api.emulator.batches()) == (0 if lost_before else 1)
    assert create(api).status_code == 201


def test_e7_a_body_truncated_behind_https_back(api: Api) -> None:
    strike(api, Truncate(lost=False))
    response = create(api)
    assert response.status_code == 201
    assert response.headers["content-length"] == str(len(response.content))
    with pytest.raises(json.JSONDecodeError):
        response.json()


def test_e7_only_good_answers_are_truncated(api: Api) -> None:
    strike(api, Truncate())
    assert api.post(IMPORT, {"datasetId": "none"}).status_code == 404


@pytest.mark.parametrize(
    ("body", "pattern"),
    [
        (Body.JSON, rb'\{"error_code": "429050", "message": "Too many requests"\}'),
        (Body.HTML, rb"<html>.*429.*</html>"),
        (Body.EMPTY, rb""),
        (Body.TRUNCATED, rb'\{"error_code": "4[^}]*'),
    ],
)
def test_e6_bodies_of_an_error(api: Api, body: Body, pattern: bytes) -> None:
    strike(api, Answer(429, body=body))
    response = create(api)
    assert response.status_code == 429
    assert re.fullmatch(pattern, response.content)
    assert "retry-after" not in response.headers


def test_e6_retry_after_in_seconds_or_as_a_date(api: Api) -> None:
    strike(api, Answer(429, retry_after=7))
    assert create(api).headers["retry-after"] == "7"
    strike(api, Answer(503, retry_after=7, as_date=True))
    date = parsedate_to_datetime(create(api).headers["retry-after"])
    assert date.timestamp() == T0 / 1000 + 7


def test_a_token_can_expire_in_the_middle(api: Api) -> None:
    form = {"grant_type": "client_credentials", "client_id": "acme_client", "scope": "openid"}

    def token() -> dict[str, str]:
        given = api.send("POST", "/ims/token/v3", data=form).json()["access_token"]
        return {**HEADERS, "authorization": f"Bearer {given}"}

    old = token()
    api.emulator.inject(Faults((Fault(ExpireTokens(), path=CATALOG, nth=2),)))
    assert api.raw("GET", CATALOG, old).status_code == 200
    struck = api.raw("GET", CATALOG, old)
    assert (struck.status_code, struck.json()["error_code"]) == (401, "401013")
    assert api.raw("GET", CATALOG, old).status_code == 401
    assert api.raw("GET", CATALOG, token()).status_code == 200


def test_catalog_can_lag_behind_some_creations(api: Api) -> None:
    strike(api, Lag(500), nth=1)
    hidden, shown = api.create(), api.create()
    assert api.found() == [shown]
    api.emulator.advance(500)
    assert api.found() == [hidden, shown]


def test_an_answer_that_comes_too_late_has_had_its_effect(api: Api) -> None:
    strike(api, Latency(30, Moment.AFTER), nth=1)
    with pytest.raises(httpx.ReadTimeout):
        api.send("POST", IMPORT, json={"datasetId": DATASET}, timeout=0.01)
    assert len(api.emulator.batches()) == 1
    strike(api, Latency(30), nth=1)
    assert create(api).status_code == 201


def test_a_request_given_up_still_has_its_effect(api: Api) -> None:
    strike(api, Latency(20), nth=1)
    with pytest.raises(httpx.ReadTimeout):
        api.send("POST", IMPORT, json={"datasetId": DATASET}, timeout=0.005)
    assert len(api.emulator.batches()) == 0
    strike_nothing = Faults((Fault(Latency(40), path="/catalog/"),))
    api.emulator.inject(strike_nothing)
    assert len(api.found()) == 1


@pytest.mark.parametrize(
    ("trigger", "struck"),
    [
        ({}, "1111111"),
        ({"first": 2}, "1100000"),
        ({"nth": 3}, "0010000"),
        ({"every": 3}, "0010010"),
        ({"chance": 0.0}, "0000000"),
        ({"chance": 1.0}, "1111111"),
    ],
)
def test_how_often_a_rule_strikes(trigger: dict[str, Any], struck: str) -> None:
    injector = Injector(Faults((Fault(Cut(), method="POST", path="/a", **trigger),)))
    seen = ""
    for _ in range(7):
        assert not injector.strike("GET", "/a")
        assert not injector.strike("POST", "/b")
        seen += str(len(injector.strike("POST", "/a?x=1")))
    assert seen == struck


def strikes(faults: Faults, requests: int = 200) -> list[int]:
    injector = Injector(faults)
    return [len(injector.strike("GET", f"/{number}")) for number in range(requests)]


def test_chances_depend_on_the_seed_and_on_nothing_else() -> None:
    rule = Fault(Cut(), chance=0.3)
    first = strikes(Faults((rule,), seed=1))
    assert strikes(Faults((rule,), seed=1)) == first
    assert strikes(Faults((rule,), seed=2)) != first
    assert 30 <= sum(first) <= 90
    with_another = strikes(Faults((rule, Fault(Latency(1), first=0)), seed=1))
    assert with_another == first


def test_delays_add_up_and_the_first_other_effect_wins(api: Api) -> None:
    rules = (Fault(Latency(1)), Fault(Answer(503)), Fault(Answer(500)), Fault(Latency(1)))
    api.emulator.inject(Faults(rules))
    assert create(api).status_code == 503


def test_the_log_tells_what_was_asked_and_what_came_of_it(api: Api) -> None:
    create(api)
    strike(api, Cut())
    with pytest.raises(httpx.ReadError):
        create(api)
    api.get(CATALOG, externalId="a,b")
    log = list(api.emulator.requests)
    assert [(request.method, request.status) for request in log] == [("POST", 201), ("POST", None), ("GET", 200)]
    assert json.loads(log[0].body) == {"datasetId": DATASET}
    assert log[0].headers["x-sandbox-name"] == "dev"
    assert log[2].target == f"{CATALOG}?externalId=a%2Cb"
    assert api.emulator.requests.count("POST", CREATE) == 2
    assert api.emulator.requests.count(target="externalId") == 1
    assert api.emulator.requests.total == len(api.emulator.requests) == 3
    api.emulator.requests.clear()
    assert api.emulator.requests.total == 0


def test_faults_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    path.write_text(
        """{"seed": 7, "rules": [
          {"fault": "latency", "ms": 40, "when": "after", "chance": 0.5},
          {"fault": "status", "status": 503, "body": "html", "when": "after", "path": "/catalog/", "first": 2},
          {"fault": "quota", "every": 50, "retry_after": 2, "as_date": true},
          {"fault": "cut", "method": "post", "nth": 3, "how": "close"},
          {"fault": "truncate", "lost": false},
          {"fault": "lag", "ms": 9},
          {"fault": "expire_tokens"}
        ]}"""
    )
    assert load_faults(path) == Faults(
        (
            Fault(Latency(40, Moment.AFTER), chance=0.5),
            Fault(Answer(503, Moment.AFTER, Body.HTML), path="/catalog/", first=2),
            Fault(Answer(429, retry_after=2, as_date=True), every=50),
            Fault(Cut(Moment.AFTER, Loss.CLOSE), method="POST", nth=3),
            Fault(Truncate(lost=False)),
            Fault(Lag(9)),
            Fault(ExpireTokens()),
        ),
        seed=7,
    )
    assert parse_faults("{}") == Faults()


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        ({"fault": "explode"}, "rule 1: `fault` must be one of `latency`, `status`"),
        ({}, "rule 1: `fault` must be one of"),
        (5, "rule 1: must be an object"),
        ({"fault": "lag"}, "rule 1: `ms` is missing"),
        ({"fault": "lag", "ms": "5"}, "rule 1: `ms` must be a whole number from 0"),
        ({"fault": "lag", "ms": True}, "rule 1: `ms` must be a whole number from 0"),
        ({"fault": "lag", "ms": 5, "status": 3}, "rule 1: `status` is no field of `lag`; it takes `chance`"),
        ({"fault": "status", "status": 99}, "rule 1: `status` must be a whole number from 200 to 599"),
        ({"fault": "status", "status": 500, "body": "xml"}, "rule 1: `body` must be one of `json`"),
        ({"fault": "cut", "when": []}, "rule 1: `when` must be one of `before`, `after`"),
        ({"fault": "cut", "how": "refuse"}, "rule 1: a refused connection has no effect"),
        ({"fault": "cut", "first": 1, "nth": 2}, "rule 1: give at most one of `chance`, `every`"),
        ({"fault": "cut", "nth": 0}, "rule 1: `nth` must be a whole number from 1"),
        ({"fault": "cut", "chance": 2}, "rule 1: `chance` must be a number from 0 to 1"),
        ({"fault": "cut", "path": "("}, "rule 1: `path` is no regular expression"),
        ({"fault": "cut", "method": 1}, "rule 1: `method` must be a string"),
        ({"fault": "truncate", "lost": 1}, "rule 1: `lost` must be true or false"),
    ],
)
def test_a_bad_rule_says_what_is_wrong(rule: object, complaint: str) -> None:
    with pytest.raises(FaultsInvalid, match=re.escape(complaint)):
        parse_faults(json.dumps({"rules": [rule]}))


@pytest.mark.parametrize("text", ["", "[]", '{"rule": []}', '{"rules": {}}', '{"seed": "x"}'])
def test_a_bad_file_says_what_is_wrong(text: str) -> None:
    with pytest.raises(FaultsInvalid):
        parse_faults(text)


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "faults.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(FaultsInvalid, match="no UTF-8"):
        load_faults(tmp_path / "faults.json")


def test_faults_can_be_there_from_the_start(make_api: Callable[..., Api]) -> None:
    assert create(make_api(faults=Faults((Fault(Answer(500)),)))).status_code == 500
