"""The Catalog API's routes for datasets and their last batches, as far as a client needs them (E26)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.emulator.exchange import Reply, json_reply
from reconciler.emulator.problems import service
from reconciler.emulator.query import read_properties, read_query
from reconciler.emulator.store import sandbox_id

if TYPE_CHECKING:
    from reconciler.emulator.exchange import Call
    from reconciler.emulator.lake import Lake


def list_datasets(lake: Lake, call: Call) -> Reply:
    """`GET /dataSets`: the datasets that the world names or a test added, in order of their ids."""
    page = read_query(call.query, unknown_is_property=False)
    sandbox = call.caller.sandbox
    known = sorted(lake.world.datasets_of(sandbox) | lake.store.datasets(sandbox))
    return _datasets(call, known[page.start : page.start + page.limit])


def get_datasets(lake: Lake, call: Call) -> Reply:
    """`GET /dataSets/{id}` or `/{id1},{id2}`; unknown ids among several are left out."""
    ids = list(dict.fromkeys(call.path["dataset"].split(",")))
    found = [dataset for dataset in ids if lake.has_dataset(call.caller.sandbox, dataset)]
    if not found and len(ids) == 1:
        raise service(404, f"dataset {ids[0]} not found")
    return _datasets(call, found)


def _datasets(call: Call, ids: list[str]) -> Reply:
    properties = read_properties(call.parameters)
    shown = {dataset: _dataset(call, dataset) for dataset in ids}
    if properties is None:
        return json_reply(shown)
    return json_reply(
        {dataset: {name: fields[name] for name in properties if name in fields} for dataset, fields in shown.items()}
    )


def _dataset(call: Call, dataset: str) -> dict[str, object]:
    caller = call.caller
    return {
        "name": f"dataset {dataset}",
        "imsOrg": caller.org,
        "sandboxId": sandbox_id(caller.org, caller.sandbox),
        "created": 0,
        "updated": 0,
        "version": "1.0.0",
        "tags": {},
        "state": "DRAFT",
        "classification": {"managedBy": "CUSTOMER"},
    }


def last_batches(lake: Lake, call: Call) -> Reply:
    """`GET /lastBatches?dataSetId=a,b`: a map by dataset; one without batches is left out."""
    ids = [dataset for dataset in call.parameters.get("dataSetId", "").split(",") if dataset]
    if not ids:
        raise service(400, "dataSetId is missing")
    found = {dataset: _last_batch(lake, call, dataset) for dataset in dict.fromkeys(ids)}
    return json_reply({dataset: entry for dataset, entry in found.items() if entry})


def _last_batch(lake: Lake, call: Call, dataset: str) -> dict[str, object]:
    caller = call.caller
    scope = lake.store.scope(caller.org, caller.sandbox)
    latest = (
        "INDEXED BY batch_by_dataset WHERE scope = ? AND dataset = ? AND n NOT IN (SELECT n FROM lagging)"
        " {} ORDER BY created DESC, n DESC LIMIT 1"
    )
    last = lake.store.read(latest.format(""), (scope, dataset))
    good = lake.store.read(latest.format("AND status IN ('active', 'success')"), (scope, dataset))
    bad = lake.store.read(latest.format("AND status IN ('failed', 'failure')"), (scope, dataset))
    entry: dict[str, object] = {}
    for stored in last:
        batch = stored.object
        entry |= {"lastBatchId": stored.id, "lastBatchStatus": batch["status"], "imsOrg": batch["imsOrg"]}
        entry |= {"sandboxId": batch["sandboxId"], "created": batch["created"], "updated": batch["updated"]}
    for stored in good:
        entry["lastSuccessfulBatchId"] = stored.id
    for stored in bad:
        entry["lastFailedBatchId"] = stored.id
    return entry
