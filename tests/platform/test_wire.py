"""Our values to AEP's JSON, exactly; AEP's JSON to our values, leniently; what cannot be read is never "no batches"."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reconciler.core.batch import Observed
from reconciler.platform import wire
from reconciler.platform.answer import Unreadable
from tests.platform.servers import DATASET, EXTERNAL, a_request

if TYPE_CHECKING:
    from reconciler.core.batch import Json, Spec

ORG = "0123456789ABCDEF01234567@AdobeOrg"
BASE = {
    "datasetId": DATASET,
    "inputFormat": {"format": "parquet"},
    "externalId": EXTERNAL,
    "tags": {"reconciler_address": ["loyalty/daily"]},
}


@pytest.mark.parametrize(
    ("spec", "more"),
    [
        ({}, {}),
        ({"format": "JSON"}, {"inputFormat": {"format": "json"}}),
        ({"format": "json", "multiline": True}, {"inputFormat": {"format": "json", "isMultiLineJson": True}}),
        ({"format": "json", "multiline": False}, {"inputFormat": {"format": "json", "isMultiLineJson": False}}),
        (
            {
                "format": "csv",
                "csv": {
                    "delimiter": ";",
                    "quote": '"',
                    "escape": "\\",
                    "null_marker": "",
                    "header": False,
                    "charset": "UTF-8",
                },
            },
            {
                "inputFormat": {
                    "format": "csv",
                    "delimiter": ";",
                    "quote": '"',
                    "escape": "\\",
                    "nullMarker": "",
                    "header": False,
                    "charset": "UTF-8",
                }
            },
        ),
        (
            {"tags": {"team": ["crm", "emea"], "reconciler_address": ["mine"]}},
            {"tags": {"team": ["crm", "emea"], "reconciler_address": ["loyalty/daily"]}},
        ),
        ({"error_diagnostics": False}, {"enableErrorDiagnostics": False}),
        ({"partial_ingestion_percent": 0}, {"partialIngestionPercent": 0}),
        ({"replaces": ["loyalty/first"]}, {}),
    ],
)
def test_a_create_says_what_its_manifest_sets_and_nothing_else(spec: Spec, more: dict[str, Json]) -> None:
    assert wire.create_body(a_request(spec)) == {**BASE, **more}


def test_predecessors_carry_the_mark_of_a_client() -> None:
    body = wire.create_body(a_request(predecessors=("B1", "B2")))
    assert body["replay"] == {"predecessors": ["$B1", "$B2"], "reason": "replace"}


@pytest.mark.parametrize(
    "body",
    [
        {"id": "B1", "status": "loading", "relatedObjects": []},
        {"id": "B1"},
        ["@/batches/B1"],
        {"B1": {"status": "loading"}},
        {"B1": {}},
    ],
)
def test_the_new_id_is_found_in_every_shape(body: Json) -> None:
    assert wire.read_created(body, a_request(), ORG) == "B1"


@pytest.mark.parametrize(
    "body",
    [
        None,
        1,
        "B1",
        [],
        {},
        {"id": ""},
        {"id": 7},
        {"id": "a/b"},
        {"id": "B\x1b[31m"},
        {"id": "B" * 129},
        {"id": "B1\n"},
        ["@/dataSets/B1"],
        ["@/batches/B1", "@/batches/B2"],
        {"B1": {}, "B2": {}},
        {"status": "loading"},
    ],
)
def test_a_create_without_an_id_is_not_readable(body: Json) -> None:
    with pytest.raises(Unreadable):
        wire.read_created(body, a_request(), ORG)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"relatedObjects": [{"type": "dataSet", "id": "another"}]}, "another dataset, `another`"),
        ({"externalId": "someone.else"}, "another external id, `someone.else`"),
        ({"imsOrg": "FFFF@AdobeOrg"}, "another organisation"),
    ],
)
def test_an_answer_about_another_batch_is_not_the_answer(fields: dict[str, Json], said: str) -> None:
    bodies: list[Json] = [{"id": "B1", **fields}, {"B1": fields}]
    for body in bodies:
        with pytest.raises(Unreadable, match=said):
            wire.read_created(body, a_request(), ORG)


@pytest.mark.parametrize(
    "fields",
    [
        {"relatedObjects": [{"type": "dataSet", "id": DATASET}], "externalId": EXTERNAL, "imsOrg": ORG},
        {"externalId": "B1", "imsOrg": "", "relatedObjects": []},
        {"externalId": None},
    ],
)
def test_an_answer_may_leave_out_what_it_repeats(fields: dict[str, Json]) -> None:
    assert wire.read_created({"id": "B1", **fields}, a_request(), ORG) == "B1"


def test_a_whole_batch_is_read() -> None:
    page = wire.read_page(
        {
            "B1": {
                "id": "B1",
                "imsOrg": "…",
                "status": "Success",
                "externalId": EXTERNAL,
                "created": "1718000000000",
                "relatedObjects": [
                    {"type": "dataSet", "id": DATASET},
                    {"type": "DATASET", "id": "other"},
                    {"type": "dataSetFile", "id": "F1"},
                    {"type": "dataSet"},
                    "odd",
                    None,
                ],
                "inputFormat": {"format": "JSON", "isMultiLineJson": "true", "header": "true"},
                "replay": {"predecessors": ["$A1", "${A2}", "A3", 4, None], "reason": "replace"},
                "tags": {"list": ["a", "b:c,d"], "empty": [], "flag": True, "count": 5, "mixed": [1, None, {}]},
                "errors": [
                    {"code": "106", "description": "Dataset file is empty", "rows": ["1-3"]},
                    {"code": 118},
                    {"description": "odd"},
                    "bare",
                    {},
                ],
            }
        }
    )
    assert page.size == 1
    assert page.batches == (
        Observed(
            id="B1",
            status="success",
            datasets=frozenset({DATASET, "other"}),
            external_id=EXTERNAL,
            tags={"list": ("a", "b:c,d"), "empty": (), "flag": ("true",), "count": ("5",), "mixed": ("1",)},
            format="json",
            multiline=True,
            created=1_718_000_000_000,
            predecessors=("A1", "A2", "A3", "4"),
            odd_predecessors=("$A1", "${A2}"),
            replay_reason="replace",
            errors=("106: Dataset file is empty", "118", "odd", "bare"),
        ),
    )


def test_a_bare_batch_is_read() -> None:
    assert wire.read_page({"B1": {}}).batches == (Observed("B1", "unknown", frozenset()),)


@pytest.mark.parametrize("odd", [None, 1, "x", True, [], {}, [[]], 1.5, float("1e300")])
@pytest.mark.parametrize("name", wire.PROPERTIES)
def test_no_field_of_another_type_breaks_a_listing(name: str, odd: Json) -> None:
    (batch,) = wire.read_page({"B1": {name: odd}}).batches
    assert batch.id == "B1"


def test_halves_of_surrogate_pairs_do_not_get_in() -> None:
    (batch,) = wire.read_page({"B1": {"tags": {"\ud800": ["\udfff"]}, "status": "\ud800"}}).batches
    assert batch.tags == {"?": ("?",)}
    assert batch.status == "?"


REASON = "Batch ingestion guardrails hit: 25143 files (over the 25000 threshold)"
EMPTY = {"code": "106", "description": "Dataset file is empty."}


@pytest.mark.parametrize(
    ("fields", "errors"),
    [
        ({"metrics": {"failureReason": REASON}}, (REASON,)),
        ({"metrics": {"failureReason": REASON}, "errors": [EMPTY]}, (REASON, "106: Dataset file is empty.")),
        ({"metrics": {"failureReason": "Dataset file is empty."}, "errors": [EMPTY]}, ("106: Dataset file is empty.",)),
        ({"metrics": {"failureReason": ["one", "two"]}}, ("one two",)),
        ({"metrics": {"failureReason": ""}}, ()),
        ({"metrics": {"failureReason": {"odd": 1}}}, ()),
        ({"status": "success", "metrics": {"failureReason": REASON}}, ()),
        ({"relatedObjects": [{"type": "dataSetFile", "id": "F1", "status": "failed"}]}, ("dataSetFile F1: failed",)),
        (
            {"relatedObjects": [{"status": "failed", "errors": [EMPTY]}]},
            ("106: Dataset file is empty.",),
        ),
        ({"relatedObjects": [{"type": "transform", "metrics": {"failureReason": REASON}}]}, (REASON,)),
        ({"relatedObjects": [{"type": "dataSetFile", "id": "F1", "status": "success"}, {"type": "dataSet"}]}, ()),
        ({"relatedObjects": ["odd", {"status": 5, "errors": 5, "metrics": 5}]}, ()),
        ({"errors": [EMPTY], "relatedObjects": [{"errors": [EMPTY]}] * 50}, ("106: Dataset file is empty.",)),
    ],
)
def test_the_reason_of_a_failure_is_found_wherever_aep_put_it(fields: dict[str, Json], errors: tuple[str, ...]) -> None:
    (batch,) = wire.read_page({"B1": {"status": "failed", **fields}}).batches
    assert batch.errors == errors


def test_a_flood_of_errors_is_cut() -> None:
    (batch,) = wire.read_page({"B1": {"errors": [{"code": str(n)} for n in range(5_000)]}}).batches
    assert len(batch.errors) == 20


@pytest.mark.parametrize(
    ("body", "size", "ids"),
    [
        ({}, 0, []),
        ([], 0, []),
        ({"B1": None}, 1, []),
        ({"B1": {}, "B2": None, "B3": 7}, 3, ["B1"]),
        ([{"id": "B1", "status": "loading"}, {"id": "B2"}], 2, ["B1", "B2"]),
    ],
)
def test_what_is_no_object_is_skipped_but_counts_for_the_page(body: Json, size: int, ids: list[str]) -> None:
    page = wire.read_page(body)
    assert (page.size, [batch.id for batch in page.batches]) == (size, ids)


@pytest.mark.parametrize(
    "body",
    [
        None,
        7,
        "text",
        True,
        {"B1": 7},
        ["@/batches/B1"],
        [{"status": "loading"}],
        {"error_code": "401013", "message": "Oauth token is not valid"},
        {"type": "x", "status": 500, "title": "y", "report": {"tenantInfo": {}}},
        {"report": {}, "status": 400},
        {"errorMessage": "no", "B1": {}},
        {"a/b": {}},
        {"": {}},
        {"B\x1b[2J": {}},
    ],
)
def test_a_body_in_which_nothing_can_be_read_is_never_an_empty_listing(body: Json) -> None:
    with pytest.raises(Unreadable):
        wire.read_page(body)


def test_merged_tags_keep_what_is_not_ours_as_it_is() -> None:
    current: dict[str, Json] = {"acp_producer": ["x"], "flag": True, "empty": [], "team": ["old"], "gone": ["y"]}
    merged = wire.merge_tags(current, {"team": ("new",), "more": ("z",)}, {"gone", "never"})
    assert merged == {"acp_producer": ["x"], "flag": True, "empty": [], "team": ["new"], "more": ["z"]}
