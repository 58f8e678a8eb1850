"""Uploads: one PUT or parts, resumed where they ended, no part twice, no body that is too short."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

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
                await platform.ingestion.upload(
                    FilePlace(batch, DATASET, name), content, resume=number > 0, about_to_send=nothing
                )
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


CUTS = [Cut(Moment.AFTER), Cut(Moment.BEFORE), Answer(504, Moment.AFTER), Answer(502), Answer(408)]


@pytest.mark.parametrize("fault", [*CUTS, Answer(503, Moment.AFTER), Answer(500)])
def test_a_second_attempt_sends_the_whole_body_again(emulator: Emulator, fault: Cut | Answer) -> None:
    emulator.inject(Faults((Fault(fault, "PUT", first=1),)))
    content = Bytes(bytes(range(200)))
    assert upload(emulator, content) == {"a.json": content.data}
    assert set(content.read) == {(0, 200)}
    assert (len(sent(emulator, "PUT")), len(sent(emulator, "PATCH"))) == (2, 0)


def test_a_service_in_trouble_gets_the_same_body_as_often_as_it_takes(emulator: Emulator) -> None:
    emulator.inject(Faults((Fault(Answer(503), "PUT", first=5),)))
    assert upload(emulator, Bytes(b"0123456789")) == {"a.json": b"0123456789"}
    assert len(sent(emulator, "PUT")) == 6


@pytest.mark.parametrize("fault", CUTS)
def test_what_a_gateway_cuts_twice_goes_in_parts(emulator: Emulator, fault: Cut | Answer) -> None:
    emulator.inject(Faults((Fault(fault, "PUT", first=1_000),)))
    content = Bytes(bytes(range(35)))
    assert upload(emulator, content) == {"a.json": content.data}
    assert len(sent(emulator, "PUT")) == 2
    assert content.read[-4:] == [(0, 10), (10, 20), (20, 30), (30, 35)]


def test_an_empty_file_has_no_parts(emulator: Emulator) -> None:
    emulator.inject(Faults((Fault(Answer(504), "PUT", first=4),)))
    assert upload(emulator, Bytes(b"")) == {"a.json": b""}


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(("fault", "first"), [(Cut(Moment.AFTER), 2), (Answer(504), 2), (Answer(413), 1)])
def test_parts_that_a_gateway_cuts_get_smaller(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, fault: Cut | Answer, first: int
) -> None:
    monkeypatch.setattr(uploads, "SMALLEST_PART", 3)
    emulator.inject(Faults((Fault(fault, "PATCH", first=first),)))
    content = Bytes(bytes(range(25)))
    assert upload(emulator, content) == {"a.json": content.data}
    sizes = [stop - first for first, stop in content.read]
    assert max(sizes[sizes.index(3) :]) == 3


def test_a_token_that_ends_does_not_empty_the_body(emulator: Emulator) -> None:
    async def main() -> None:
        async with connected(emulator) as (platform, batch):
            emulator.expire_tokens()
            await platform.ingestion.upload(FilePlace(batch, DATASET, "a"), Bytes(b"0123456789"), about_to_send=nothing)
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
            await platform.ingestion.upload(
                FilePlace(batch, DATASET, "a"), content, resume=method == "HEAD", about_to_send=nothing
            )
            assert emulator.files(batch) == {"a": content.data}

    run(main())


@pytest.mark.usefixtures("small")
def test_what_an_earlier_run_sent_is_not_sent_again(emulator: Emulator) -> None:
    content = Bytes(bytes(range(40)), changes_at=23)

    async def main() -> None:
        async with connected(emulator) as (platform, batch):
            place = FilePlace(batch, DATASET, "a")
            with pytest.raises(ContentChanged):
                await platform.ingestion.upload(place, content, about_to_send=nothing)
            content.changes_at = None
            content.read.clear()
            await platform.ingestion.upload(place, content, resume=True, about_to_send=nothing)
            assert emulator.files(batch) == {"a": content.data}

    run(main())
    assert content.read == [(20, 30), (30, 40)]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("status", [404, 405, 501])
def test_without_a_head_the_whole_file_is_begun_anew(emulator: Emulator, status: int) -> None:
    content = Bytes(bytes(range(40)), changes_at=23)

    async def main() -> None:
        async with connected(emulator) as (platform, batch):
            emulator.inject(Faults((Fault(Answer(status), "HEAD"),)))
            place = FilePlace(batch, DATASET, "a")
            with pytest.raises(ContentChanged):
                await platform.ingestion.upload(place, content, about_to_send=nothing)
            content.changes_at = None
            content.read.clear()
            await platform.ingestion.upload(place, content, resume=True, about_to_send=nothing)
            assert emulator.files(batch) == {"a": content.data}

    run(main())
    assert content.read == [(0, 10), (10, 20), (20, 30), (30, 40)]
    assert len(sent(emulator, "HEAD")) == 3


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
            await platform.ingestion.upload(place, Bytes(b"x" * 33), about_to_send=nothing)
            await platform.ingestion.upload(place, Bytes(b"y" * 12), about_to_send=nothing)
            assert emulator.files(batch) == {"a": b"y" * 12}

    run(main())


OLD, NEW = Bytes(b"o" * 40), Bytes(b"n" * 40)


def begin(emulator: Emulator, *, again: Literal["anew", "refused", "kept"]) -> dict[str, bytes]:
    """What becomes of a file whose first half AEP has of other bytes; `again`: what a second INITIALIZE does."""

    async def main() -> dict[str, bytes]:
        async with connected(emulator) as (platform, batch):
            place, half = FilePlace(batch, DATASET, "a"), Bytes(OLD.data, changes_at=20)
            with pytest.raises(ContentChanged):
                await platform.ingestion.upload(place, half, about_to_send=nothing)
            emulator.behaviour = Behaviour(initialize_again=again)
            told = []

            async def about_to_send() -> None:
                told.append(len(emulator.requests))

            try:
                await platform.ingestion.upload(place, NEW, about_to_send=about_to_send)
            finally:
                assert (again == "anew") == bool(told)  # nothing is told of bytes that are never sent
            return emulator.files(batch)

    return run(main())


@pytest.mark.usefixtures("small")
def test_a_file_that_is_another_now_is_begun_anew(emulator: Emulator) -> None:
    assert begin(emulator, again="anew") == {"a": NEW.data}


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("again", ["refused", "kept"])
def test_two_versions_of_a_file_are_never_joined(emulator: Emulator, again: Literal["refused", "kept"]) -> None:
    with pytest.raises(Rejected, match="holds a part of other bytes") as raised:
        begin(emulator, again=again)
    assert "--replace" in (raised.value.hint or "")
    assert len([each for each in emulator.requests if each.method == "PATCH" and each.status == 200]) == 2
    assert not [each for each in sent(emulator, "POST") if "COMPLETE" in each]


def test_a_small_file_replaces_parts_that_stay(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with connected(emulator) as (platform, batch):
            place = FilePlace(batch, DATASET, "a")
            monkeypatch.setattr(uploads, "LARGEST_PUT", 4)
            with pytest.raises(ContentChanged):
                await platform.ingestion.upload(place, Bytes(OLD.data, changes_at=20), about_to_send=nothing)
            monkeypatch.undo()
            emulator.behaviour = Behaviour(initialize_again="refused")
            emulator.inject(Faults((Fault(Answer(504), "PUT", first=2),)))
            await platform.ingestion.upload(place, NEW, about_to_send=nothing)
            assert emulator.files(batch) == {"a": NEW.data}

    run(main())
    assert len(sent(emulator, "PUT")) == 3


def test_a_gateway_that_finds_a_put_too_large_gets_parts(emulator: Emulator) -> None:
    emulator.behaviour = Behaviour(small_file_bytes=15)
    content = Bytes(bytes(range(30)))
    assert upload(emulator, content) == {"a.json": content.data}


def test_a_file_that_changes_on_the_way_never_becomes_the_file(emulator: Emulator) -> None:
    async def main() -> None:
        async with connected(emulator) as (platform, batch):
            with pytest.raises(ContentChanged):
                await platform.ingestion.upload(
                    FilePlace(batch, DATASET, "a"), Bytes(b"0123456789", changes_at=6), about_to_send=nothing
                )
            assert emulator.files(batch) == {}

    run(main())


def test_a_completed_batch_takes_no_files(emulator: Emulator) -> None:
    async def main() -> None:
        async with connected(emulator) as (platform, batch):
            await platform.ingestion.act(batch, Verb.COMPLETE)
            with pytest.raises(Rejected):
                await platform.ingestion.upload(FilePlace(batch, DATASET, "a"), Bytes(b"x"), about_to_send=nothing)

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
