"""The Import API's routes for files: small ones in one PUT, large ones in parts (aep-api.md §6, E38, E39).

A body goes to disk chunk by chunk and is never whole in memory.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from reconciler.emulator.exchange import JSON, Reply, json_reply
from reconciler.emulator.ingest import accepted, read_action
from reconciler.emulator.lifecycle import Action
from reconciler.emulator.problems import bad_content, service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import IO

    from reconciler.emulator.exchange import Call
    from reconciler.emulator.lake import Lake
    from reconciler.emulator.store import Stored

CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,18})-(\d{1,18})(?:/(?:\d+|\*))?")


async def put(lake: Lake, call: Call, content: AsyncIterator[bytes]) -> Reply:
    """`PUT …/files/{path}`: 201 for a new file, 200 when it replaces one."""
    stored = _open_batch(lake, call)
    _check_media_type(call)
    path, limit = call.path["file"], lake.behaviour.small_file_bytes
    upload = lake.files.start_upload(stored.n, path)
    try:
        await _receive(upload, content, limit=limit, refusal=413)
        _open_batch(lake, call)
        size = upload.tell()
        replaced = lake.files.finish_upload(stored.n, path, upload)
    finally:
        lake.files.drop_upload(upload)
    return accepted(lake, {"name": path, "sizeInBytes": size}, 200 if replaced else 201)


async def patch(lake: Lake, call: Call, content: AsyncIterator[bytes]) -> Reply:
    """`PATCH …/files/{path}` with `Content-Range`: gaps and overlaps are refused only at COMPLETE (E39)."""
    stored = _open_batch(lake, call)
    _check_media_type(call)
    path = call.path["file"]
    _check_started(lake, stored, path)
    first, last = _content_range(call)
    if last - first >= lake.behaviour.part_bytes:
        raise service(400, f"a part may have at most {lake.behaviour.part_bytes} bytes")
    with lake.files.open_part(stored.n, path, first) as part:
        await _receive(part, content, limit=last + 1, refusal=400)
        if part.tell() != last + 1:
            raise service(400, f"the body has not the {last - first + 1} bytes of its Content-Range")
    lake.files.add_part(stored.n, path, first, last)
    return accepted(lake, {"name": path, "sizeInBytes": last - first + 1})


async def post(lake: Lake, call: Call, _content: AsyncIterator[bytes]) -> Reply:
    """`POST …/files/{path}?action=INITIALIZE|COMPLETE`: the start and the end of a large file."""
    stored, path = _open_batch(lake, call), call.path["file"]
    if lake.behaviour.file_post_needs_content_type and call.media_type != JSON:
        raise bad_content(f"Content-Type must be {JSON}")
    if call.parameters.get("action", "").upper() == "INITIALIZE":
        known, again = lake.files.size(stored.n, path), lake.behaviour.initialize_again
        if known is not None and again == "refused":
            raise service(lake.behaviour.wrong_state_status, f"file {path} has been initialized")
        if known is None or again == "anew":
            lake.files.start_large(stored.n, path)
        return Reply(201)
    if read_action(call) is not Action.COMPLETE:
        raise service(400, "action must be INITIALIZE or COMPLETE")
    known = lake.files.size(stored.n, path)
    if known is not None and known[1]:
        return json_reply({"name": path, "sizeInBytes": known[0]}, 201)
    _check_started(lake, stored, path)
    size = lake.files.finish_large(stored.n, path)
    if size is None:
        raise service(400, "the parts leave a gap or overlap")
    return json_reply({"name": path, "sizeInBytes": size}, 201)


async def head(lake: Lake, call: Call, _content: AsyncIterator[bytes]) -> Reply:
    """`HEAD …/files/{path}`: which bytes have arrived, as `Range: bytes=0-9,20-29`."""
    stored, path = _batch(lake, call), call.path["file"]
    known = lake.files.size(stored.n, path)
    if known is None:
        raise service(404, f"file {path} not found")
    size, complete = known
    ranges = [(0, size - 1)] if complete and size else _merged(lake.files.parts(stored.n, path))
    text = ",".join(f"{first}-{last}" for first, last in ranges)
    return Reply(200, headers={"range": f"bytes={text}"} if text else {})


def _batch(lake: Lake, call: Call) -> Stored:
    """Return the batch that the path names; it must belong to the dataset that the path names."""
    stored = lake.find(call.caller, call.path["batch"])
    if {"type": "dataSet", "id": call.path["dataset"]} not in stored.object["relatedObjects"]:
        raise service(404, f"batch {stored.id} does not belong to dataset {call.path['dataset']}")
    return stored


def _open_batch(lake: Lake, call: Call) -> Stored:
    stored = _batch(lake, call)
    if stored.object["status"] != "loading":
        detail = f"batch {stored.id} takes no files: it is {stored.object['status']}"
        raise service(lake.behaviour.wrong_state_status, detail)
    return stored


def _check_media_type(call: Call) -> None:
    if call.media_type.startswith("multipart/"):
        raise service(415, "multipart bodies are not supported")


def _check_started(lake: Lake, stored: Stored, path: str) -> None:
    known = lake.files.size(stored.n, path)
    if known is None or known[1]:
        raise service(400, f"no large file {path} has been initialized")


def _content_range(call: Call) -> tuple[int, int]:
    match = CONTENT_RANGE.fullmatch(call.headers.get("content-range", ""))
    if match is None or int(match[1]) > int(match[2]):
        raise service(400, "Content-Range must look like bytes 0-511")
    return int(match[1]), int(match[2])


async def _receive(target: IO[bytes], content: AsyncIterator[bytes], *, limit: int, refusal: int) -> None:
    """Write the body; refuse it once it passes the position `limit`."""
    async for chunk in content:
        if target.tell() + len(chunk) > limit:
            raise service(refusal, f"the body is too large: it passes byte {limit}")
        target.write(chunk)


def _merged(parts: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join parts that touch or overlap; `parts` are sorted."""
    merged: list[tuple[int, int]] = []
    for first, last in parts:
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged
