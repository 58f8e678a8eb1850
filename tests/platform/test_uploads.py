"""Uploads: one PUT or parts, resumed where they ended, no part twice, no body that is too short."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.errors import ContentChanged, Rejected
from reconciler.core.pace import Pace
from reconciler.emulator import Answer, Behaviour, Cut, Emulator, Fault, Faults, Moment, World
from reconciler.platform import Retries, open_platform, uploads
from reconciler.platform.uploads import missing
from reconciler.ports import CreateRequest, FilePlace, Verb
from tests.platform.servers import CLIENT_SECRET, DATASET, ENVIRONMENT, KEY, SERVER_TO_SERVER, nothing
from tests.platform.virtual import TIMING, run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from reconciler.ports import Platform

WORLD = World(sandbox_datasets={"dev": frozenset({DATASET})}, clients={KEY: CLIENT_SECRET})
PART = 10


@dataclass
class Bytes:
    """Content in memory, in chunks of three; it may change while it is read."""

    data: bytes
    changes_at: int | None = None
    read: list[tuple[int, int]] = field(default_factory=list)

    @property
    def size(self) -> int:
        return len(self.data)

    async def chunks(self, first: int, stop: int) -> AsyncIterator[bytes]:
        self.read.append((first, stop))
        for at in range(first, stop, 3):
            if self.changes_at is not None and at >= self.changes_at:
                raise ContentChanged("it changed")
            await asyncio.sleep(0)
            yield self.data[at : min(at + 3, stop)]


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(world=WORLD, clock=lambda: int(TIMING.now() * 1000)) as emulator:
        yield emulator


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything above four bytes is large."""
    monkeypatch.setattr(uploads, "LARGEST_PUT", 4)


@asynccontextmanager
async def connected(emulator: Emulator) -> AsyncIterator[tuple[Platform, str]]:
    async with open_platform(
        SERVER_TO_SERVER,
        ENVIRONMENT,
        retries=Retries(60.0, TIMING),
        transport=emulator.transport(),
        pace=Pace(part_bytes=PART),
    ) as platform:
        request = CreateRequest(DATASET, "acme.1", {}, {}, ())
        yield platform, await platform.ingestion.create(request, about_to_send=nothing)


def sent(emulator: Emulator, method: str) -> list[str]:
    return [each.target for each in emulator.requests if each.method == method and "/files/" in each.path]


def upload(emulator: Emulator, content: Bytes, name: str = "a.json", times: int = 1) -> dict[str, bytes]:
    async def main() -> dict[str, bytes]:
        async with connected(emulator) as (platform, batch):
            for number in range(times):
                await platform.ingestion.upload(FilePlace(batch, DATASET, name), content, resume=number > 0)
            return emulator.files(batch)

    return run(main())


def test_a_small_file_is_one_put(emulator: Emulator) -> None:
    assert upload(emulator, Bytes(b"0123456789")) == {"a.json": b"0123456789"}
    assert len(sent(emulator, "PUT")) == 1
    assert not sent(emulator, "PATCH")


def test_an_empty_file_is_a_file(emulator: Emulator) -> None:
    assert upload(emulator, Bytes(b"")) == {"a.json": b""}


@pytest.mark.parametrize("name", ["day=1/part=a/x.json", "a b/ü%2F?#.json", "~(x)'!*;,:@&=+$.json"])
def test_folders_stay_and_everything_else_is_percent_encoded(emulator: Emulator, name: str) -> None:
    assert upload(emulator, Bytes(b"x"), name) == {name: b"x"}


@pytest.mark.parametrize("fault", [Cut(Moment.AFTER), Answer(503, Moment.AFTER), Cut(Moment.BEFORE)])
def test_a_second_attempt_sends_the_whole_body_again(emulator: Emulator, fault: Cut | Answer) -> None:
    emulator.inject(Faults((Fault(fault, "PUT", first=2),)))
    content = Bytes(bytes(range(200)))
    assert upload(emulator, content) == {"a.json": content.data}
    assert set(content.read) == {(0, 200)}
    assert emulator.requests.count("PUT") == 3


def test_a_token_that_ends_does_not_empty_the_body(emulator: Emulator) -> None:
    async def main() -> None:
        async with connected(emulator) as (platform, batch):
            emulator.expire_tokens()
            await platform.ingestion.upload(FilePlace(batch, DATASET, "a"), Bytes(b"0123456789"))
            assert emulator.files(batch) == {"a": b"0123456789"}

    run(main())


@pytest.mark.usefixtures("small")
def test_a_large_file_goes_in_parts(emulator: Emulator) -> None:
    content = Bytes(bytes(range(25)))
    assert upload(emulator, content) == {"a.json": content.data}
    assert content.read == [(0, 10), (10, 20), (20, 25)]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("method", ["POST", "PATCH", "HEAD"])
@pytest.mark.parametrize("moment", list(Moment))
def test_cuts_in_a_large_file_lose_nothing(emulator: Emulator, method: str, moment: Moment) -> None:
    content = Bytes(bytes(range(35)))

    async def main() -> None:
        async with connected(emulator) as (platform, batch):
            emulator.inject(Faults((Fault(Cut(moment), method, first=1),)))
            await platform.ingestion.upload(FilePlace(batch, DATASET, "a"), content, resume=method == "HEAD")
            assert emulator.files(batch) == {"a": content.data}

    run(main())


@pytest.mark.usefixtures("small")
def test_what_an_earlier_run_sent_is_not_sent_again(emulator: Emulator) -> None:
    content = Bytes(bytes(range(40)), changes_at=23)

    async def main() -> None:
        async with connected(emulator) as (platform, batch):
            place = FilePlace(batch, DATASET, "a")
            with pytest.raises(ContentChanged):
                await platform.ingestion.upload(place, content)
            content.changes_at = None
            content.read.clear()
            await platform.ingestion.upload(place, content, resume=True)
            assert emulator.files(batch) == {"a": content.data}

    run(main())
    assert content.read == [(20, 30), (30, 40)]


@pytest.mark.usefixtures("small")
def test_a_finished_large_file_is_not_sent_again(emulator: Emulator) -> None:
    content = Bytes(bytes(range(20)))
    assert upload(emulator, content, times=2) == {"a.json": content.data}
    assert content.read == [(0, 10), (10, 20)]


@pytest.mark.usefixtures("small")
def test_other_bytes_of_one_name_replace_what_is_there(emulator: Emulator) -> None:
    async def main() -> None:
        async with connected(emulator) as (platform, batch):
            place = FilePlace(batch, DATASET, "a")
            await platform.ingestion.upload(place, Bytes(b"x" * 33))
            await platform.ingestion.upload(place, Bytes(b"y" * 12))
            assert emulator.files(batch) == {"a": b"y" * 12}

    run(main())


def test_a_gateway_that_finds_a_put_too_large_gets_parts(emulator: Emulator) -> None:
    emulator.behaviour = Behaviour(small_file_bytes=15)
    content = Bytes(bytes(range(30)))
    assert upload(emulator, content) == {"a.json": content.data}


def test_a_file_that_changes_on_the_way_never_becomes_the_file(emulator: Emulator) -> None:
    async def main() -> None:
        async with connected(emulator) as (platform, batch):
            with pytest.raises(ContentChanged):
                await platform.ingestion.upload(FilePlace(batch, DATASET, "a"), Bytes(b"0123456789", changes_at=6))
            assert emulator.files(batch) == {}

    run(main())


def test_a_completed_batch_takes_no_files(emulator: Emulator) -> None:
    async def main() -> None:
        async with connected(emulator) as (platform, batch):
            await platform.ingestion.act(batch, Verb.COMPLETE)
            with pytest.raises(Rejected):
                await platform.ingestion.upload(FilePlace(batch, DATASET, "a"), Bytes(b"x"))

    run(main())


def test_a_complete_in_doubt_is_looked_into_before_it_is_asked_for_again(emulator: Emulator) -> None:
    async def main() -> None:
        async with connected(emulator) as (platform, batch):
            await platform.ingestion.act(batch, Verb.COMPLETE)
            await platform.ingestion.act(batch, Verb.COMPLETE, in_doubt=True)
            assert emulator.requests.count("POST", "action=COMPLETE") == 1

    run(main())


RANGES = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), max_size=5)


@given(there=RANGES, size=st.integers(0, 60), part=st.integers(1, 25))
def test_what_is_missing_and_what_is_there_are_the_whole_without_overlap(
    there: list[tuple[int, int]], size: int, part: int
) -> None:
    stretches = [(first, first + length) for first, length in there]
    parts = list(missing(stretches, size, part))
    known = {at for first, stop in stretches for at in range(first, min(stop, size))}
    coming = [at for first, stop in parts for at in range(first, stop)]
    assert len(coming) == len(set(coming))
    assert all(0 < stop - first <= part for first, stop in parts)
    assert sorted(known | set(coming)) == list(range(size))
    assert not known & set(coming)
