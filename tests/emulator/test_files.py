"""E38 and E39: files of batches, small and large."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

import pytest

from reconciler.emulator import Behaviour
from tests.emulator.api import DATASET, IMPORT, OTHER_DATASET, Api

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

JSON = {"content-type": "application/json"}

MIB = 1024 * 1024


def part(api: Api, batch: str, content: bytes, content_range: str) -> int:
    headers = {"content-range": content_range}
    return api.send("PATCH", api.file(batch), content=content, headers=headers).status_code


def start(api: Api, batch: str) -> None:
    assert api.send("POST", api.file(batch), params={"action": "initialize"}, headers=JSON).status_code == 201


def finish(api: Api, batch: str) -> int:
    return api.send("POST", api.file(batch), params={"action": "COMPLETE"}, headers=JSON).status_code


def test_e38_put_creates_and_replaces(api: Api) -> None:
    batch = api.create()
    path = "part1=a/part 2=ü/f.json"
    assert api.put(batch, path, b"one").status_code == 201
    assert api.put(batch, path, b"two!").status_code == 200
    assert api.emulator.files(batch) == {path: b"two!"}


def test_e38_batch_and_dataset_must_be_there_and_belong_together(api: Api) -> None:
    batch = api.create()
    assert api.put("01J00CF7000000000100000001").status_code == 404
    wrong = api.file(batch, dataset=OTHER_DATASET)
    assert api.send("PUT", wrong, content=b"x").status_code == 404


def test_e38_multipart_is_not_taken(api: Api) -> None:
    batch = api.create()
    for method in ("PUT", "PATCH"):
        assert api.send(method, api.file(batch), files={"f": b"x"}).status_code == 415


def test_e38_files_come_before_complete(api: Api) -> None:
    batch = api.done()
    assert api.put(batch).status_code == 400
    api.emulator.behaviour = Behaviour(wrong_state_status=409)
    assert api.put(batch).status_code == 409


def test_e38_a_body_too_large_leaves_no_file(make_api: Callable[..., Api], tmp_path: Path) -> None:
    api = make_api(path=tmp_path / "e.db", behaviour=Behaviour(small_file_bytes=4))
    batch = api.create()
    assert api.put(batch, content=b"four").status_code == 201
    assert api.put(batch, content=b"five!").status_code == 413
    assert api.emulator.files(batch) == {"a.json": b"four"}
    assert len([path for path in (tmp_path / "e.db.files").rglob("*") if path.is_file()]) == 1


def test_e39_a_large_file_in_parts_out_of_order_and_again(api: Api) -> None:
    batch = api.create()
    start(api, batch)
    assert part(api, batch, b"world", "bytes 6-10") == 200
    assert part(api, batch, b"hello ", "bytes 0-5") == 200
    assert part(api, batch, b"hello ", "bytes 0-5/11") == 200
    done = api.send("POST", api.file(batch), params={"action": "COMPLETE"}, headers=JSON)
    assert (done.status_code, done.json()) == (201, {"name": "a.json", "sizeInBytes": 11})
    assert finish(api, batch) == 201
    assert api.emulator.files(batch) == {"a.json": b"hello world"}


@pytest.mark.parametrize("second", ["bytes 5-9", "bytes 3-7"])
def test_e39_gaps_and_overlaps_are_found_at_the_end_only(api: Api, second: str) -> None:
    batch = api.create()
    start(api, batch)
    assert part(api, batch, b"abcd", "bytes 0-3") == 200
    assert part(api, batch, b"efghi", second) == 200
    assert finish(api, batch) == 400
    assert api.emulator.files(batch) == {}


def test_e39_head_tells_which_bytes_have_come(api: Api) -> None:
    batch = api.create()
    assert api.send("HEAD", api.file(batch)).status_code == 404
    start(api, batch)
    assert "range" not in api.send("HEAD", api.file(batch)).headers
    part(api, batch, b"ab", "bytes 0-1")
    part(api, batch, b"cd", "bytes 2-3")
    part(api, batch, b"gh", "bytes 6-7")
    assert api.send("HEAD", api.file(batch)).headers["range"] == "bytes=0-3,6-7"
    part(api, batch, b"ef", "bytes 4-5")
    finish(api, batch)
    assert api.send("HEAD", api.file(batch)).headers["range"] == "bytes=0-7"


@pytest.mark.parametrize(
    ("content", "content_range"),
    [
        (b"abc", "bytes 0-3"),
        (b"abcde", "bytes 0-3"),
        (b"abcd", "0-3"),
        (b"abcd", "bytes 3-0"),
        (b"abcdefghi", "bytes 0-8"),
    ],
)
def test_e39_parts_that_do_not_fit(make_api: Callable[..., Api], content: bytes, content_range: str) -> None:
    api = make_api(behaviour=Behaviour(part_bytes=8))
    batch = api.create()
    assert part(api, batch, b"abcd", "bytes 0-3") == 400
    start(api, batch)
    assert part(api, batch, content, content_range) == 400
    assert part(api, batch, b"abcdefgh", "bytes 0-7") == 200
    assert finish(api, batch) == 201


def test_e39_only_what_was_started_can_be_finished(api: Api) -> None:
    batch = api.create()
    assert finish(api, batch) == 400
    assert api.send("POST", api.file(batch), params={"action": "ABORT"}, headers=JSON).status_code == 400
    assert api.send("POST", api.file(batch), headers=JSON).status_code == 400


def test_memory_does_not_grow_with_a_file(api: Api) -> None:
    async def content() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield bytes(MIB)

    batch = api.create()
    tracemalloc.start()
    response = api.send("PUT", api.file(batch), content=content())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert response.status_code == 201
    assert peak < 8 * MIB


def test_files_never_leave_their_folder(make_api: Callable[..., Api], tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    api = make_api(path=tmp_path / "deep" / "e.db")
    batch = api.create()
    url = f"{IMPORT}/{batch}/datasets/{DATASET}/files/..%2F..%2F..%2Fout"
    assert api.send("PUT", url, content=b"x").status_code == 201
    assert {path.name for path in tmp_path.iterdir()} == {"deep"}
    assert {path.name for path in (tmp_path / "deep").iterdir()} >= {"e.db", "e.db.files"}
