"""What a `PATCH` or `PUT` of Catalog changes in a batch (aep-api.md §8.7). Pure; refuses with `Problem`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from reconciler.emulator.creation import formed, read_tags
from reconciler.emulator.exchange import JSON, JSON_PATCH, read_json
from reconciler.emulator.objects import dump
from reconciler.emulator.problems import bad_content, service

if TYPE_CHECKING:
    from reconciler.emulator.behaviour import Behaviour
    from reconciler.emulator.exchange import Call
    from reconciler.emulator.objects import BatchObject, Json

WRITABLE: Final = frozenset({"tags", "metrics", "errors", "inputFormat", "replay"})
"""`status` is left to the Import API's actions, `relatedObjects` cannot be patched (§8.7)."""

REPLACED: Final[BatchObject] = {"tags": {}, "metrics": {}, "errors": []}
"""What these become by a `PUT` that does not name them."""


def read_changes(call: Call, batch: BatchObject, *, method: str, reject_read_only: bool) -> BatchObject:
    """Return the new values of the fields that change; the body is plain JSON or, by its media type, RFC 6902."""
    body = read_json(call, JSON, JSON_PATCH)
    if call.media_type == JSON_PATCH:
        body = _patched(_writable(batch), body)
    if not isinstance(body, dict):
        raise bad_content("the body must be a JSON object")
    read_only = sorted(set(body) - WRITABLE)
    if read_only and reject_read_only:
        raise service(400, f"read-only: {', '.join(read_only)}")
    changes: BatchObject = {**REPLACED} if method == "PUT" else {}
    if "tags" in body:
        changes["tags"] = read_tags(body["tags"])
    for name in ("metrics", "errors", "inputFormat", "replay"):
        if name in body:
            changes[name] = body[name]
    return changes


def tags_after(tags: dict[str, list[str]], written: dict[str, list[str]], behaviour: Behaviour) -> dict[str, list[str]]:
    """Return the tags of a batch after others were written."""
    match behaviour.patch_tags:
        case "ignore":
            return tags
        case "merge":
            return tags | formed(written, behaviour.tag_form)
        case "replace":
            return formed(written, behaviour.tag_form)


def _writable(batch: BatchObject) -> Json:
    """Return a copy of the writable fields that a JSON patch can work on."""
    document: Json = json.loads(dump({name: value for name, value in batch.items() if name in WRITABLE}))
    return document


def _patched(document: Json, operations: object) -> Json:
    """Apply the operations `add`, `replace`, `remove` and `test` of RFC 6902; others are refused."""
    if not isinstance(operations, list):
        raise bad_content("a JSON patch must be an array")
    for operation in operations:
        if not isinstance(operation, dict):
            raise bad_content("each operation of a JSON patch must be an object")
        _apply(document, operation)
    return document


def _apply(document: Json, operation: dict[str, Json]) -> None:
    path = str(operation.get("path"))
    *parents, last = [step.replace("~1", "/").replace("~0", "~") for step in path.split("/")[1:]] or [""]
    target = document
    for step in parents:
        target = _child(target, step, path)
    value = operation.get("value")
    match operation.get("op"), target:
        case "add", list() if last == "-":
            target.append(value)
        case "add", list():
            target.insert(_position(last, target, path), value)
        case "add", dict():
            target[last] = value
        case "replace", dict() if last in target:
            target[last] = value
        case "replace", list():
            target[_position(last, target, path)] = value
        case "remove", dict() if last in target:
            del target[last]
        case "remove", list():
            del target[_position(last, target, path)]
        case "test", _ if _child(target, last, path) == value:
            pass
        case _:
            raise service(400, f"the operation {operation.get('op')} {path} cannot be applied")


def _child(target: Json, step: str, path: str) -> Json:
    if isinstance(target, dict) and step in target:
        return target[step]
    if isinstance(target, list):
        return target[_position(step, target, path)]
    raise service(400, f"{path} does not exist")


def _position(step: str, target: list[Json], path: str) -> int:
    if not step.isdecimal() or int(step) >= len(target):
        raise service(400, f"{path} does not exist")
    return int(step)
