"""What the emulator answers, against Adobe's own description of it, where that is at hand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml

from reconciler.emulator import Behaviour, Outcome
from tests.emulator.api import CATALOG, DATASET, IMPORT, Api

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

SPECS = Path(__file__).parents[2].parent / "shared" / "specs"

pytestmark = pytest.mark.skipif(not SPECS.is_dir(), reason="Adobe's OpenAPI files are not beside the repository")

WAIVED = {
    "status": "the Import API's enum lacks `loading` and others that its own examples show (aep-api.md §13)",
    "inputFormat.format": "the Import API's enum lacks `csv` (aep-api.md §13)",
    "inputFormat.header": "a boolean in the Import API, a string in Catalog (aep-api.md §8.4)",
}
"""Where the Import API's schema of a batch is known to be wrong, by path, with the reason."""


def specification(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.load((SPECS / f"{name}.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader)
    return found


@pytest.fixture(scope="module")
def specs() -> dict[str, dict[str, Any]]:
    return {name: specification(name) for name in ("batch-ingestion", "catalog")}


def resolved(spec: dict[str, Any], node: Any) -> Any:
    """Return the node with its references replaced by what they stand for."""
    if isinstance(node, list):
        return [resolved(spec, item) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target: Any = spec
        for step in node["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        return resolved(spec, target)
    return {name: resolved(spec, value) for name, value in node.items()}


def violations(spec: dict[str, Any], path: str, method: str, response: httpx.Response) -> dict[str, str]:
    """Return where the answer leaves its description; an undescribed status is the worst."""
    described = spec["paths"][path][method]["responses"]
    by_status = {str(status): answer for status, answer in described.items()}
    if str(response.status_code) not in by_status:
        return {"": f"status {response.status_code} is not described"}
    content = resolved(spec, by_status[str(response.status_code)].get("content", {}))
    schema = next((media["schema"] for media in content.values() if "schema" in media), None)
    if schema is None or not response.content:
        return {}
    errors = jsonschema.Draft202012Validator(schema).iter_errors(response.json())
    return {".".join(str(step) for step in error.absolute_path): error.message for error in errors}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"inputFormat": {"format": "JSON", "isMultiLineJson": True}},
        {"inputFormat": {"format": "csv", "delimiter": ";", "charset": "UTF-8", "header": True}},
        {"tags": {"own": ["1"]}, "externalId": "acme.1", "replay": {"predecessors": ["$x"], "reason": "replace"}},
    ],
)
def test_a_new_batch(api: Api, specs: dict[str, Any], fields: dict[str, object]) -> None:
    response = api.post(IMPORT, {"datasetId": DATASET, **fields})
    found = violations(specs["batch-ingestion"], "/batches", "post", response)
    assert {path: text for path, text in found.items() if path not in WAIVED} == {}


def test_every_waiver_is_needed(api: Api, specs: dict[str, Any]) -> None:
    body = {"datasetId": DATASET, "inputFormat": {"format": "csv", "header": True}}
    response = api.post(IMPORT, body)
    assert set(violations(specs["batch-ingestion"], "/batches", "post", response)) == set(WAIVED)


@pytest.mark.parametrize("outcome", list(Outcome))
def test_batches_in_catalog_whatever_became_of_them(
    make_api: Callable[..., Api], specs: dict[str, Any], outcome: Outcome
) -> None:
    api = make_api(behaviour=Behaviour(outcome=outcome))
    old = api.done(inputFormat={"format": "csv", "header": True})
    new = api.done(replay={"predecessors": [old], "reason": "replace"}, tags={"own": []})
    api.emulator.touch(new)
    api.emulator.consolidate(old)
    listed, single = api.get(CATALOG), api.get(f"{CATALOG}/{new}")
    assert len(listed.json()) == 3
    assert violations(specs["catalog"], "/batches", "get", listed) == {}
    assert violations(specs["catalog"], "/batches/{BATCH_ID}", "get", single) == {}


@pytest.mark.parametrize("word", ["success", "active"])
def test_accepted_actions(make_api: Callable[..., Api], specs: dict[str, Any], word: Any) -> None:
    api = make_api(behaviour=Behaviour(action_body="object", success_word=word))
    batch = api.done()
    again = api.act(batch, "COMPLETE")
    assert again.json()["status"] == word
    assert violations(specs["batch-ingestion"], "/batches/{batchId}", "post", again) == {}


def test_files(make_api: Callable[..., Api], specs: dict[str, Any]) -> None:
    api = make_api(behaviour=Behaviour(action_body="object"))
    spec, path = specs["batch-ingestion"], "/batches/{batchId}/datasets/{datasetId}/files/{filePath}"
    batch = api.create()
    for _ in range(2):
        assert violations(spec, path, "put", api.put(batch)) == {}
    url = api.file(batch, "large")
    api.send("POST", url, params={"action": "INITIALIZE"})
    part = api.send("PATCH", url, content=b"ab", headers={"content-range": "bytes 0-1"})
    assert violations(spec, path, "patch", part) == {}
    assert violations(spec, path, "head", api.send("HEAD", url)) == {}
    assert violations(spec, path, "put", api.send("PUT", url, files={"f": b"x"})) == {}


def test_changes_in_catalog(api: Api, specs: dict[str, Any]) -> None:
    spec, path = specs["catalog"], "/batches/{BATCH_ID}"
    url = f"{CATALOG}/{api.create()}"
    for method in ("PATCH", "PUT"):
        assert violations(spec, path, method.lower(), api.send(method, url, json={"tags": {}})) == {}
    assert violations(spec, path, "delete", api.send("DELETE", url)) == {}


def test_datasets_and_their_last_batches(api: Api, specs: dict[str, Any]) -> None:
    spec, base = specs["catalog"], "/data/foundation/catalog"
    api.done()
    assert violations(spec, "/dataSets", "get", api.get(f"{base}/dataSets")) == {}
    assert violations(spec, "/dataSets/{DATASET_ID}", "get", api.get(f"{base}/dataSets/{DATASET}")) == {}
    assert violations(spec, "/lastBatches", "get", api.get(f"{base}/lastBatches", dataSetId=DATASET)) == {}


@pytest.mark.parametrize(
    ("method", "url", "path", "status"),
    [
        ("POST", IMPORT, "/batches", 400),
        ("POST", f"{IMPORT}/x?action=ABORT", "/batches/{batchId}", 404),
        ("POST", f"{IMPORT}?{'x' * 2000}", "/batches", 414),
        ("PUT", f"{IMPORT}/x/datasets/d/files/f", "/batches/{batchId}/datasets/{datasetId}/files/{filePath}", 404),
        ("GET", f"{CATALOG}/x", "/batches/{BATCH_ID}", 404),
        ("GET", f"{CATALOG}?limit=0", "/batches", 400),
        ("DELETE", f"{CATALOG}/x", "/batches/{BATCH_ID}", 404),
    ],
)
def test_refusals_have_a_described_status(
    api: Api, specs: dict[str, Any], method: str, url: str, path: str, status: int
) -> None:
    response = api.send(method, url)
    assert response.status_code == status
    spec = specs["catalog" if CATALOG in url else "batch-ingestion"]
    assert violations(spec, path, method.lower(), response) == {}
