"""Our requests against Adobe's OpenAPI files, where these are beside the repository."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import jsonschema
import pytest
import yaml

from reconciler.ports import Verb
from tests.platform.servers import DATASET, SERVER_TO_SERVER, a_batch, a_request, nothing, talking_to
from tests.platform.virtual import run

if TYPE_CHECKING:
    from reconciler.core.batch import Spec
    from reconciler.ports import Platform

SPECS = Path(__file__).parents[2].parent / "shared" / "specs"

pytestmark = pytest.mark.skipif(not SPECS.is_dir(), reason="Adobe's OpenAPI files are not beside the repository")

WAIVED = {
    "inputFormat.format": "every published request is lower case, the enum is not (aep-api.md §3.1, §13)",
}
"""Where Adobe's description is known to differ from its pages, with the reason."""

SERVICES = {"/data/foundation/import": "batch-ingestion", "/data/foundation/catalog": "catalog"}


@cache
def specification(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.load((SPECS / f"{name}.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader)
    return found


def resolved(spec: dict[str, Any], node: Any) -> Any:
    """The node with its references replaced by what they stand for."""
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


def operation(request: httpx.Request) -> dict[str, Any]:
    """Adobe's description of the operation that was called."""
    base = next(base for base in SERVICES if request.url.path.startswith(base))
    spec = specification(SERVICES[base])
    path = request.url.path.removeprefix(base)
    for template, methods in spec["paths"].items():
        parts, wanted = path.split("/"), template.split("/")
        fits = len(parts) == len(wanted) and all(w == p or w[:1] == "{" for p, w in zip(parts, wanted, strict=True))
        if fits and request.method.lower() in methods:
            found: dict[str, Any] = resolved(spec, methods[request.method.lower()])
            return found
    raise LookupError(f"{request.method} {path} is not described")


def complaints(request: httpx.Request) -> set[str]:
    """What is wrong with a request by Adobe's description."""
    described = operation(request)
    parameters = described["parameters"]
    query = {each["name"]: each for each in parameters if each["in"] == "query"}
    needed = {each["name"] for each in parameters if each.get("required") and each["in"] in {"header", "query"}}
    found = {
        f"needs {name}" for name in needed if name.lower() not in request.headers and name not in request.url.params
    }
    found |= {f"{described['operationId']}?{name}" for name in request.url.params if name not in query}
    for name, value in request.url.params.items():
        schema = query.get(name, {}).get("schema", {})
        typed = int(value) if schema.get("type") == "integer" else value
        found |= {f"?{name}: {error.message}" for error in jsonschema.Draft202012Validator(schema).iter_errors(typed)}
    if request.content:
        schema = _closed(described["requestBody"]["content"][request.headers["content-type"]]["schema"])
        errors = jsonschema.Draft202012Validator(schema).iter_errors(json.loads(request.content))
        found |= {".".join(map(str, error.absolute_path)) or error.message for error in errors}
    return found


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema, with top-level fields that it does not know forbidden."""
    return {**schema, "additionalProperties": False}


SPEC: dict[str, Spec] = {
    "bare": {},
    "json": {"format": "json", "multiline": True, "tags": {"team": ["crm", "emea"]}},
    "csv": {"format": "csv", "csv": {"delimiter": ";", "quote": '"', "header": True, "null_marker": ""}},
}


async def everything(platform: Platform) -> None:
    """Every operation once."""
    assert not await platform.catalog.dataset_exists(DATASET)
    _ = [batch async for batch in platform.catalog.list_batches(DATASET, {"reconciler_project": "acme"})]
    _ = [batch async for batch in platform.catalog.list_replays(DATASET)]
    await platform.catalog.batches_by_id(["B1", "B2"])
    await platform.catalog.batches_by_external_id(["acme.1", "acme.2"])
    await platform.ingestion.change_tags("B1", {"team": ["crm"]}, {"old"})
    for action in Verb:
        await platform.ingestion.act("B1", action)
    for spec in SPEC.values():
        await platform.ingestion.create(a_request(spec, ("B0",)), about_to_send=nothing)


def requests_made() -> list[httpx.Request]:
    made: list[httpx.Request] = []

    def serve(request: httpx.Request) -> httpx.Response:
        if "ims" in request.url.host:
            return httpx.Response(200, json={"access_token": "abcd", "expires_in": 86_399})
        made.append(request)
        if request.method == "GET":
            return httpx.Response(200, json={"B1": a_batch()} if "batches" in request.url.path else {})
        return httpx.Response(201, json={"id": "B9"})

    async def main() -> None:
        async with talking_to(serve, credentials=SERVER_TO_SERVER) as platform:
            await everything(platform)

    run(main())
    return made


def test_every_request_is_as_adobe_describes_it_but_for_the_waivers() -> None:
    found = {complaint for request in requests_made() for complaint in complaints(request)}
    assert found == set(WAIVED)


def test_every_operation_is_among_them() -> None:
    assert {operation(request)["operationId"] for request in requests_made()} == {
        "createBatch",
        "completeBatch",
        "listBatches",
        "retrieveBatch",
        "patchBatch",
        "retrieveDataset",
    }


def test_fields_beyond_the_description_are_the_two_that_only_adobes_pages_have() -> None:
    spec: Spec = {"error_diagnostics": True, "partial_ingestion_percent": 5}

    async def main() -> httpx.Request:
        made: list[httpx.Request] = []

        def serve(request: httpx.Request) -> httpx.Response:
            made.append(request)
            return httpx.Response(201, json={"id": "B9"})

        async with talking_to(serve) as platform:
            await platform.ingestion.create(a_request(spec), about_to_send=nothing)
        return made[0]

    (complaint,) = complaints(run(main())) - set(WAIVED)
    assert "'enableErrorDiagnostics', 'partialIngestionPercent' were unexpected" in complaint
