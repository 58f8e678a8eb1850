"""The Catalog API's routes for batches: list, get, change, delete (aep-api.md §8)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from reconciler.emulator.changes import read_changes, tags_after
from reconciler.emulator.exchange import Reply, json_reply, json_text_reply
from reconciler.emulator.objects import dump
from reconciler.emulator.problems import service
from reconciler.emulator.query import by_ids, read_properties, read_query
from reconciler.emulator.search import search

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from reconciler.emulator.exchange import Call
    from reconciler.emulator.lake import Lake
    from reconciler.emulator.store import Stored


def list_batches(lake: Lake, call: Call) -> Reply:
    """`GET /batches`: a map by id, in order (E19, E20, E21)."""
    query = read_query(call.query, unknown_is_property=lake.behaviour.filter_by_unknown_parameter)
    found = search(lake.store, query, _scope(lake, call), lake.behaviour.lagging_looks)
    return json_text_reply(_batch_map(lake, found, query.properties))


def get_batches(lake: Lake, call: Call) -> Reply:
    """`GET /batches/{id}` or `/{id1},{id2}`: a map too; unknown ids among several are left out (E19, E22)."""
    ids = list(dict.fromkeys(call.path["batch"].split(",")))
    found = list(search(lake.store, by_ids(ids), _scope(lake, call), lake.behaviour.lagging_looks))
    properties = read_properties(call.parameters)
    if len(ids) > 1:
        return json_text_reply(_batch_map(lake, found, properties))
    if not found:
        raise service(404, f"batch {ids[0]} not found")
    version = str(json.loads(found[0][1])["version"])
    return json_text_reply(_batch_map(lake, found, properties), headers={"etag": _etag(lake, version)})


def patch_batch(lake: Lake, call: Call) -> Reply:
    """`PATCH /batches/{id}`: change the fields that are named (E23, E24)."""
    return _change(lake, call, method="PATCH")


def put_batch(lake: Lake, call: Call) -> Reply:
    """`PUT /batches/{id}`: change every field that can be written (E23, E24)."""
    return _change(lake, call, method="PUT")


def _change(lake: Lake, call: Call, *, method: str) -> Reply:
    stored = _shown(lake, call)
    if not lake.behaviour.patch_allowed:
        raise service(403, "changing a batch is not allowed")
    expected = call.headers.get("if-match")
    if expected is not None and expected.strip('"') not in {"*", stored.object["version"]}:
        raise service(412, f"version {expected} is not the current one")
    changes = read_changes(call, stored.object, method=method, reject_read_only=lake.behaviour.reject_read_only)
    if "tags" in changes and method == "PATCH":
        changes["tags"] = tags_after(stored.object["tags"], changes["tags"], lake.behaviour)
    after = lake.change(stored, changes, user=f"{call.caller.client}@AdobeID")
    return json_reply([f"@/batches/{after.id}"], headers={"etag": _etag(lake, after.object["version"])})


def delete_batch(lake: Lake, call: Call) -> Reply:
    """`DELETE /batches/{id}`: deprecated in favour of REVERT; the batch is marked, not removed (E25)."""
    if lake.behaviour.delete_unknown_status == 200 and not lake.shows(call.caller, call.path["batch"]):  # noqa: PLR2004 - a status
        return json_reply([])
    stored = _shown(lake, call)
    lake.set_status(stored, "deleted", at=lake.now(), user=f"{call.caller.client}@AdobeID")
    return json_reply([f"@/batches/{stored.id}"], headers={"deprecation": "true"})


def _shown(lake: Lake, call: Call) -> Stored:
    """Return the batch of the path unless Catalog does not show it yet."""
    if not lake.shows(call.caller, call.path["batch"]):
        raise service(404, f"batch {call.path['batch']} not found")
    return lake.find(call.caller, call.path["batch"])


def _scope(lake: Lake, call: Call) -> int:
    return lake.store.scope(call.caller.org, call.caller.sandbox)


def _etag(lake: Lake, version: str) -> str:
    return f'"{version}"' if lake.behaviour.quoted_etag else version


def _batch_map(lake: Lake, found: Iterable[tuple[str, str]], properties: Sequence[str] | None) -> str:
    """Join the stored JSON texts to a map, without parsing them: this is what makes a page quick."""
    entries = (f'"{batch}":{_entry(lake, batch, text, properties)}' for batch, text in found)
    return f"{{{','.join(entries)}}}"


def _entry(lake: Lake, batch: str, text: str, properties: Sequence[str] | None) -> str:
    whole = f'{{"id":"{batch}",{text[1:]}' if lake.behaviour.repeat_id else text
    if properties is None:
        return whole
    fields = json.loads(whole)
    return dump({name: fields[name] for name in properties if name in fields})
