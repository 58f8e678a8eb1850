"""Each switch for what nobody published: tags, percentages, answers to creates, lags, the parts of a failure."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, get_args

import pytest

from reconciler.emulator import Behaviour, Outcome
from reconciler.emulator.behaviour import LOOKS, Look, Misnamed, TagForm, TagPatch
from tests.emulator.api import CATALOG, DATASET, IMPORT, T0, Api

if TYPE_CHECKING:
    from collections.abc import Callable

WRITTEN = [" b:B ", "a", "a"]


@pytest.mark.parametrize(
    ("form", "kept"),
    [
        ("as-sent", WRITTEN),
        ("sorted", [" b:B ", "a", "a"]),
        ("unique", [" b:B ", "a"]),
        ("trimmed", ["b:B", "a", "a"]),
        ("lower", [" b:b ", "a", "a"]),
        ("rewritten", [" b_B ", "a", "a"]),
    ],
)
def test_the_form_in_which_tags_are_kept(make_api: Callable[..., Api], form: TagForm, kept: list[str]) -> None:
    api = make_api(behaviour=Behaviour(tag_form=form))
    batch = api.create(tags={"team": WRITTEN})
    assert api.batch(batch)["tags"]["team"] == kept
    tags = api.batch(batch)["tags"]
    assert api.send("PATCH", f"{CATALOG}/{batch}", json={"tags": tags | {"more": WRITTEN}}).status_code == 200
    assert api.batch(batch)["tags"]["more"] == kept


def test_tags_that_come_back_sorted(make_api: Callable[..., Api]) -> None:
    api = make_api(behaviour=Behaviour(tag_form="sorted"))
    assert api.batch(api.create(tags={"team": ["b", "a"]}))["tags"]["team"] == ["a", "b"]


@pytest.mark.parametrize(
    ("patch", "kept"),
    [
        ("replace", {"new": ["2"]}),
        ("merge", {"old": ["1"], "new": ["2"]}),
        ("ignore", {"old": ["1"]}),
    ],
)
def test_what_a_patch_does_with_the_tags_that_it_does_not_name(
    make_api: Callable[..., Api], patch: TagPatch, kept: dict[str, list[str]]
) -> None:
    api = make_api(behaviour=Behaviour(patch_tags=patch))
    batch = api.create(tags={"old": ["1"]})
    assert api.send("PATCH", f"{CATALOG}/{batch}", json={"tags": {"new": ["2"]}}).status_code == 200
    shown = api.batch(batch)["tags"]
    assert {name: shown[name] for name in ("old", "new") if name in shown} == kept
    assert ("acp_producer" in shown) == (patch != "replace")


@pytest.mark.parametrize("field", ["partialIngestionPercent", "partialIngestionPercentage"])
def test_a_percentage_by_a_name_that_is_not_heeded_is_none(make_api: Callable[..., Api], field: str) -> None:
    heeded = frozenset({"partialIngestionPercent"})
    api = make_api(behaviour=Behaviour(heeded_percent_fields=heeded, heeds_error_diagnostics=False))
    asked: dict[str, Any] = {"enableErrorDiagnostics": True, field: 5}
    tags = api.batch(api.create(**asked))["tags"]
    assert tags["acp_partialIngestionPercent"] == ["5" if field in heeded else "0"]
    assert tags["acp_enableErrorDiagnostics"] == ["false"]


@pytest.mark.parametrize("misnamed", get_args(Misnamed))
def test_what_the_answer_to_a_create_tells_wrongly(make_api: Callable[..., Api], misnamed: Misnamed) -> None:
    api = make_api()
    first = api.create(externalId="acme.1")
    api.emulator.behaviour = Behaviour(created_misnames=misnamed)
    told = api.post(IMPORT, {"datasetId": DATASET, "externalId": "acme.2"}).json()
    assert len(api.emulator.batches()) == 2, "it is created all the same"
    wrong = {
        "dataset": told["relatedObjects"][0]["id"] != DATASET,
        "external-id": told["externalId"] != "acme.2",
        "id": told["id"] == first,
    }
    assert [kind for kind, is_wrong in wrong.items() if is_wrong] == [misnamed][: misnamed != "nothing"]
    (found,) = api.found(externalId="acme.2")
    assert api.batch(found)["relatedObjects"][0]["id"] == DATASET


@pytest.mark.parametrize("lagging", [frozenset({look}) for look in LOOKS] + [frozenset(), LOOKS])
def test_new_batches_are_late_for_some_looks_only(make_api: Callable[..., Api], lagging: frozenset[Look]) -> None:
    api = make_api(behaviour=Behaviour(visibility_lag_ms=500, lagging_looks=lagging))
    batch = api.create(externalId="acme.1", tags={"team": ["crm"]})
    shown = {
        "by-id": api.get(f"{CATALOG}/{batch}").status_code == 200,
        "by-external-id": api.found(externalId="acme.1") == [batch],
        "list": api.found(dataSet=DATASET) == api.found(tags="team:crm") == [batch],
    }
    assert {look for look, is_shown in shown.items() if not is_shown} == lagging
    assert (api.send("PATCH", f"{CATALOG}/{batch}", json={"tags": {}}).status_code == 404) == ("by-id" in lagging)
    api.emulator.advance(500)
    assert api.status(batch) == "loading"


def test_the_clock_of_the_answers_can_be_ahead_of_the_times_in_them(make_api: Callable[..., Api]) -> None:
    api = make_api(behaviour=Behaviour(date_skew_ms=3_600_000))
    answer = api.post(IMPORT, {"datasetId": DATASET})
    assert parsedate_to_datetime(answer.headers["date"]).timestamp() == (T0 + 3_600_000) / 1000
    assert answer.json()["created"] == T0


def test_complete_without_effect(make_api: Callable[..., Api]) -> None:
    api = make_api(behaviour=Behaviour(complete_has_effect=False))
    batch = api.create()
    api.put(batch)
    assert api.act(batch, "COMPLETE").status_code == 200
    assert api.status(batch) == "loading"
    api.emulator.behaviour = Behaviour()
    assert api.act(batch, "COMPLETE").status_code == 200
    assert api.status(batch) == "loaded"


@pytest.mark.parametrize(("needs", "status"), [(True, 400), (False, 201)])
def test_the_post_of_a_large_file_without_a_content_type(
    make_api: Callable[..., Api], needs: bool, status: int
) -> None:
    api = make_api(behaviour=Behaviour(file_post_needs_content_type=needs))
    url = api.file(api.create())
    assert api.send("POST", url, params={"action": "INITIALIZE"}).status_code == status
    typed = {"content-type": "application/json; charset=utf-8"}
    assert api.send("POST", url, params={"action": "INITIALIZE"}, headers=typed).status_code == 201


def ended(api: Api, outcome: Outcome, **more: Any) -> dict[str, Any]:
    return api.batch(api.done(tags={"emulator_outcome": [outcome]}, **more))


def test_a_batch_that_was_loaded_in_part_is_a_success_with_errors(api: Api) -> None:
    shown = ended(api, Outcome.PARTIAL, enableErrorDiagnostics=True)
    assert shown["status"] == "success"
    assert [error["code"] for error in shown["errors"]] == ["INGEST-1212-400", "INGEST-1401-400", "INGEST-1555-400"]
    assert sum(error.get("recordCount", 0) for error in shown["errors"]) == shown["metrics"]["failedRecordCount"] == 5
    assert "5 errors" in shown["errors"][0]["description"]
    assert shown["metrics"]["outputRecordCount"] == 23


@pytest.mark.parametrize("outcome", [Outcome.PARTIAL, Outcome.FAILED])
def test_without_diagnostics_only_one_error_is_told(api: Api, outcome: Outcome) -> None:
    assert [error["code"] for error in ended(api, outcome)["errors"]] == ["INGEST-1211-400"]


def test_a_guardrail_names_both_numbers(api: Api) -> None:
    shown = ended(api, Outcome.GUARDRAIL)
    text = "Batch ingestion guardrails hit: 25143 files (over the 25000 threshold); "
    assert shown["errors"][0]["description"].startswith(text)
    assert shown["metrics"]["failureReason"] == shown["errors"][0]["description"]


def test_a_batch_beyond_the_limits_ends_at_a_guardrail(make_api: Callable[..., Api]) -> None:
    api = make_api(behaviour=Behaviour(most_files=2, most_bytes=20))
    batch = api.create()
    for number in range(3):
        api.put(batch, f"{number}.json")
    api.act(batch, "COMPLETE")
    api.emulator.advance(10_000)
    text = "Batch ingestion guardrails hit: 3 files (over the 2 threshold); 27 bytes (over the 20 threshold)"
    assert api.batch(batch)["metrics"]["failureReason"] == text


@pytest.mark.parametrize(("is_enough", "status"), [(True, "failed"), (False, "success")])
def test_one_empty_file_beside_others(make_api: Callable[..., Api], is_enough: bool, status: str) -> None:
    api = make_api(behaviour=Behaviour(any_empty_file_fails=is_enough))
    batch = api.create()
    api.put(batch, "a.json")
    api.put(batch, "b.json", b"")
    api.act(batch, "COMPLETE")
    api.emulator.advance(10_000)
    assert api.status(batch) == status
    assert [error["code"] for error in api.batch(batch)["errors"]] == ["106"] * is_enough


@pytest.mark.parametrize(("place", "has_errors"), [("errors", True), ("metrics", False), ("both", True)])
@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.EMPTY, Outcome.GUARDRAIL])
def test_where_a_failed_batch_tells_why(
    make_api: Callable[..., Api], place: Any, has_errors: bool, outcome: Outcome
) -> None:
    shown = ended(make_api(behaviour=Behaviour(failure_in=place)), outcome)
    assert bool(shown.get("errors")) == has_errors
    assert bool(shown.get("metrics", {}).get("failureReason")) == (place != "errors")
