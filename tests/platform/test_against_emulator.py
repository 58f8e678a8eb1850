"""The adapter against the emulator: two independent readings of the API, so a misreading of one shows."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, get_args

import pytest

from reconciler.core.batch import StatusClass
from reconciler.core.errors import ConflictingWrite, NotFound, OutcomeUnknown, Rejected, Unauthorized
from reconciler.core.pace import Pace
from reconciler.emulator import Answer, Behaviour, Body, Cut, Emulator, Fault, Faults, Loss, Moment, Truncate, World
from reconciler.emulator.behaviour import ActionBody
from reconciler.platform import Retries, open_platform
from reconciler.ports import CreateRequest, Verb
from tests.platform.servers import CLIENT_SECRET, DATASET, ENVIRONMENT, KEY, SERVER_TO_SERVER, nothing
from tests.platform.virtual import TIMING, clock, run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from reconciler.core.batch import Spec
    from reconciler.ports import Platform

WORLD = World(sandbox_datasets={"dev": frozenset({DATASET})}, clients={KEY: CLIENT_SECRET})
MARKER = {"reconciler_project": ["acme"], "reconciler_address": ["loyalty/daily"]}


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(world=WORLD, clock=lambda: int(TIMING.now() * 1000)) as emulator:
        yield emulator


@asynccontextmanager
async def connected(emulator: Emulator, deadline: float = 30.0, rate: int = 60_000) -> AsyncIterator[Platform]:
    async with open_platform(
        SERVER_TO_SERVER,
        ENVIRONMENT,
        pace=Pace(rate=rate),
        retries=Retries(deadline, TIMING),
        transport=emulator.transport(),
    ) as platform:
        yield platform


def wanted(number: int = 1, spec: Spec | None = None, predecessors: tuple[str, ...] = ()) -> CreateRequest:
    return CreateRequest(DATASET, f"acme.{number:020x}.1", spec or {}, MARKER, predecessors)


async def create(platform: Platform, request: CreateRequest | None = None) -> str:
    return await platform.ingestion.create(request or wanted(), about_to_send=nothing)


def test_what_is_created_is_found_in_every_way(emulator: Emulator) -> None:
    async def main() -> None:
        async with connected(emulator) as platform:
            spec: Spec = {"format": "json", "multiline": True, "tags": {"team": ["crm", "emea"]}}
            batch = await create(platform, wanted(1, spec))
            other = await create(platform, wanted(2))
            found = (await platform.catalog.batches_by_id([batch, "UNKNOWN"]))[batch]
            assert found.status_class is StatusClass.OPEN
            assert found.datasets == {DATASET}
            assert found.external_id == wanted(1).external_id
            assert (found.format, found.multiline) == ("json", True)
            assert found.tags["team"] == ("crm", "emea")
            assert found.tags["reconciler_address"] == ("loyalty/daily",)
            assert found.created is not None
            assert [each.id for each in await platform.catalog.batches_by_external_id([wanted(1).external_id])] == [
                batch
            ]
            listed = [each.id async for each in platform.catalog.list_batches(DATASET, {"reconciler_project": "acme"})]
            assert sorted(listed) == sorted([batch, other])
            assert [each async for each in platform.catalog.list_batches(DATASET, {"reconciler_project": "x"})] == []
            assert await platform.catalog.dataset_exists(DATASET)
            assert not await platform.catalog.dataset_exists("0" * 24)
            assert await platform.catalog.batches_by_id(["UNKNOWN"]) == {}

    run(main())


def test_replays_are_listed(emulator: Emulator) -> None:
    async def main() -> None:
        async with connected(emulator) as platform:
            first = await create(platform, wanted(1))
            second = await create(platform, wanted(2, predecessors=(first,)))
            replays = [each async for each in platform.catalog.list_replays(DATASET)]
            assert [(each.id, each.predecessors, each.replay_reason) for each in replays] == [
                (second, (first,), "replace")
            ]

    run(main())


def test_a_thousand_batches_side_by_side_and_back(emulator: Emulator) -> None:
    async def main() -> None:
        async with connected(emulator) as platform:
            requests = [wanted(number) for number in range(1_000)]
            ids = await asyncio.gather(*(create(platform, request) for request in requests))
            listed = [each.id async for each in platform.catalog.list_batches(DATASET, {"reconciler_project": "acme"})]
            assert sorted(listed) == sorted(ids)
            assert set(await platform.catalog.batches_by_id(ids)) == set(ids)
            found = await platform.catalog.batches_by_external_id([request.external_id for request in requests])
            assert sorted(each.id for each in found) == sorted(ids)

    run(main())


@pytest.mark.parametrize("body", get_args(ActionBody))
def test_actions(body: ActionBody, emulator: Emulator) -> None:
    async def main() -> None:
        emulator.behaviour = Behaviour(action_body=body, empty_batch_fails=False)
        async with connected(emulator) as platform:
            batch, other = await create(platform, wanted(1)), await create(platform, wanted(2))
            for _ in range(2):
                await platform.ingestion.act(batch, Verb.ABORT)
            assert emulator.batch(batch)["status"] == "aborted"
            for _ in range(2):
                await platform.ingestion.act(other, Verb.COMPLETE)
            with pytest.raises(Rejected):
                await platform.ingestion.act(other, Verb.ABORT)
            emulator.advance(60_000)
            for _ in range(2):
                await platform.ingestion.act(other, Verb.REVERT)
            assert emulator.batch(other)["status"] == "inactive"
            with pytest.raises(NotFound):
                await platform.ingestion.act("UNKNOWN", Verb.ABORT)

    run(main())


@pytest.mark.parametrize("quoted", [False, True])
def test_tags(quoted: bool, emulator: Emulator) -> None:
    async def main() -> None:
        emulator.behaviour = Behaviour(quoted_etag=quoted)
        async with connected(emulator) as platform:
            batch = await create(platform, wanted(1, {"tags": {"team": ["crm"], "old": ["x"]}}))
            before = emulator.batch(batch)["tags"]
            await platform.ingestion.change_tags(batch, {"team": ["emea"]}, {"old"})
            after = emulator.batch(batch)["tags"]
            assert after["team"] == ["emea"]
            assert "old" not in after
            assert {name for name in before if name.startswith("acp_")} <= after.keys()
            version = emulator.batch(batch)["version"]
            await platform.ingestion.change_tags(batch, {"team": ["emea"]}, {"old"})
            assert emulator.batch(batch)["version"] == version

    run(main())


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        (Behaviour(tag_form="lower"), None),
        (Behaviour(tag_form="unique"), None),
        (Behaviour(tag_form="rewritten"), '`team` is ["E_M", "E_M"]'),
        (Behaviour(patch_tags="merge"), "`old` is still there"),
        (Behaviour(patch_tags="ignore"), '`team` is ["crm"]'),
    ],
)
def test_tags_are_read_back(behaviour: Behaviour, said: str | None, emulator: Emulator) -> None:
    async def main() -> None:
        async with connected(emulator) as platform:
            batch = await create(platform, wanted(1, {"tags": {"team": ["crm"], "old": ["x"]}}))
            emulator.behaviour = behaviour
            kept = await platform.ingestion.change_tags(batch, {"team": ["E:M", "E:M"]}, {"old"})
            assert (kept is None) == (said is None)
            assert kept is None or said in kept.complaint  # type: ignore[operator]

    run(main())


def test_tags_that_may_not_be_changed(emulator: Emulator) -> None:
    async def main() -> None:
        emulator.behaviour = Behaviour(patch_allowed=False)
        async with connected(emulator) as platform:
            batch = await create(platform)
            with pytest.raises(Unauthorized) as caught:
                await platform.ingestion.change_tags(batch, {"team": ["emea"]}, ())
            assert "ignore: [tags]" in (caught.value.hint or "")

    run(main())


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        (Behaviour(duplicate_external_id="reject409"), ConflictingWrite),
        (Behaviour(duplicate_external_id="reject400"), Rejected),
    ],
)
def test_an_external_id_that_is_taken(behaviour: Behaviour, error: type[Exception], emulator: Emulator) -> None:
    async def main() -> None:
        emulator.behaviour = behaviour
        async with connected(emulator) as platform:
            await create(platform)
            with pytest.raises(error):
                await create(platform)

    run(main())


@pytest.mark.parametrize(
    "effect",
    [
        Cut(Moment.AFTER),
        Cut(Moment.AFTER, Loss.CLOSE),
        Cut(Moment.BEFORE),
        Answer(503, Moment.AFTER),
        Answer(500, Moment.BEFORE, Body.HTML),
        Truncate(),
    ],
)
def test_a_create_without_a_verdict_is_sent_once(effect: Cut | Answer | Truncate, emulator: Emulator) -> None:
    async def main() -> None:
        emulator.inject(Faults((Fault(effect, method="POST", path="/import/batches$"),)))
        async with connected(emulator) as platform:
            with pytest.raises(OutcomeUnknown):
                await create(platform)
        assert len(emulator.batches()) <= 1
        assert sum(each.method == "POST" and each.path.endswith("/batches") for each in emulator.requests) == 1

    run(main())


def test_tokens_that_live_two_seconds_fail_no_request(emulator: Emulator) -> None:
    async def main() -> None:
        emulator.behaviour = Behaviour(token_ttl_s=2)
        async with connected(emulator) as platform:
            end = clock() + 30

            async def work(worker: int) -> None:
                while clock() < end:
                    assert await platform.catalog.dataset_exists(DATASET)
                    await asyncio.sleep(0.05 * worker)

            await asyncio.gather(*(work(worker) for worker in range(1, 9)))

    run(main())


def test_withdrawn_tokens_fail_no_request(emulator: Emulator) -> None:
    async def main() -> None:
        async with connected(emulator) as platform:
            for number in range(10):
                await asyncio.gather(*(create(platform, wanted(number * 8 + each)) for each in range(8)))
                emulator.expire_tokens()
        assert len(emulator.batches()) == 80

    run(main())


def test_much_trouble_at_once_is_sat_out(emulator: Emulator) -> None:
    async def main() -> None:
        async with connected(emulator, deadline=300) as platform:
            ids = await asyncio.gather(*(create(platform, wanted(number)) for number in range(300)))
            trouble = (
                Fault(Answer(429, retry_after=0), chance=0.1),
                Fault(Answer(502, body=Body.HTML), chance=0.1),
                Fault(Cut(), chance=0.1),
                Fault(Truncate(), chance=0.1),
            )
            emulator.inject(Faults(trouble, seed=7))
            assert set(await platform.catalog.batches_by_id(ids)) == set(ids)
            assert len([each async for each in platform.catalog.list_batches(DATASET, {})]) == 300
            await asyncio.gather(*(platform.ingestion.act(batch, Verb.ABORT) for batch in ids[:20]))
            await asyncio.gather(*(platform.ingestion.change_tags(batch, {"team": ["x"]}, ()) for batch in ids[20:40]))
            emulator.inject(Faults())
            assert {emulator.batch(batch)["status"] for batch in ids[:20]} == {"aborted"}
            assert all(emulator.batch(batch)["tags"]["team"] == ["x"] for batch in ids[20:40])

    run(main())
