"""Reading Catalog: pages, chunks, filters that are not trusted, and when something is said not to exist."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx
import pytest

from reconciler.core.errors import NotFound, PlatformError, Rejected, Unauthorized
from tests.platform.servers import API, DATASET, Script, a_batch, catalog_of, talking_to
from tests.platform.virtual import clock, run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from reconciler.core.batch import Observed
    from tests.platform.servers import Server

TAGS = {"reconciler_project": "acme"}
PROPERTIES = (
    "created,errors,externalId,failedRecordCount,inputFormat,metrics,recordCount,"
    "relatedObjects,replay,status,tags,updated"
)


async def listed(server: Server, *, parallelism: int = 8, tags: dict[str, str] | None = None) -> list[str]:
    async with talking_to(server, parallelism=parallelism) as platform:
        return [batch.id async for batch in platform.catalog.list_batches(DATASET, TAGS if tags is None else tags)]


def counting(server: Server) -> tuple[list[httpx.Request], Server]:
    seen: list[httpx.Request] = []

    def serve(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        answer = server(request)
        assert isinstance(answer, httpx.Response)
        return answer

    return seen, serve


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 200, 250, 300, 1_234])
def test_every_batch_of_every_page_once(count: int) -> None:
    names = [f"B{number:05}" for number in range(count)]
    seen, server = counting(catalog_of(names))
    assert run(listed(server)) == names
    needed = count // 100 + 1
    assert needed <= len(seen) <= 2 * needed + 1


def test_a_listing_asks_as_adobe_documents_it() -> None:
    seen, server = counting(catalog_of(["B1"]))
    run(listed(server, tags={**TAGS, "odd": "a,b", "colon": "a:b", "star": "a*", "empty": ""}))
    assert str(seen[0].url) == (
        f"{API}/catalog/batches?dataSet={DATASET}&tags=reconciler_project:acme"
        f"&limit=100&start=0&orderBy=asc:created&properties={PROPERTIES}"
    )


def test_changes_are_asked_for_as_adobe_documents_it() -> None:
    seen, server = counting(catalog_of(["B1"]))

    async def main() -> tuple[list[str], str]:
        async with talking_to(server) as platform:
            changes = [batch.id async for batch in platform.catalog.list_changes(TAGS, 1_700_000_000_001)]
            one = await platform.catalog.any_change(TAGS, 1_700_000_000_001)
        assert one is not None
        return changes, one.id

    asyncio.run(main())
    filtered = "tags=reconciler_project:acme&property=updated%3E1700000000000"
    assert [str(each.url) for each in seen] == [
        f"{API}/catalog/batches?{filtered}&limit=100&start=0&orderBy=asc:created&properties={PROPERTIES}",
        f"{API}/catalog/batches?{filtered}&limit=1&start=0&orderBy=desc:created&properties={PROPERTIES}",
    ]


@pytest.mark.parametrize(("there", "is_exact"), [(1_499, False), (1_500, True), (1_501, False), (0, False)])
def test_batches_are_counted_by_one_request(there: int, is_exact: bool) -> None:
    seen, server = counting(catalog_of(f"B{number:05}" for number in range(there)))

    async def main() -> bool:
        async with talking_to(server) as platform:
            return await platform.catalog.has_exactly(TAGS, 1_500)

    assert asyncio.run(main()) is is_exact
    assert [each.url.params["start"] for each in seen] == ["1499"]


def test_the_services_clock_counts_where_it_says_it() -> None:
    headers = {"date": "Tue, 14 Nov 2023 22:13:20 GMT"}

    async def main() -> int | None:
        async with talking_to(lambda _: httpx.Response(200, json={}, headers=headers)) as platform:
            assert platform.catalog.service_time is None
            await platform.catalog.batches_by_id(["B1"])
            return platform.catalog.service_time

    assert asyncio.run(main()) == 1_700_000_000_000


def test_long_listings_are_read_side_by_side() -> None:
    async def main() -> tuple[int, float]:
        pages = catalog_of(f"B{number:05}" for number in range(10_000))

        async def serve(request: httpx.Request) -> httpx.Response:
            await asyncio.sleep(1)
            answer = pages(request)
            assert isinstance(answer, httpx.Response)
            return answer

        async with talking_to(serve) as platform:
            batches = [batch async for batch in platform.catalog.list_batches(DATASET, {})]
        return len(batches), clock() - 1_000

    count, seconds = run(main())
    assert count == 10_000
    assert seconds <= 101 / 8 + 4


def test_leaving_a_listing_early_leaves_nothing_behind() -> None:
    async def main() -> Observed | None:
        async with talking_to(catalog_of(f"B{number:05}" for number in range(900))) as platform:
            async for batch in platform.catalog.list_batches(DATASET, TAGS):
                if batch.id == "B00150":
                    return batch
        return None

    found = run(main())
    assert found is not None


def test_a_server_that_ignores_the_offset_is_noticed() -> None:
    page = {f"B{number:05}": a_batch() for number in range(100)}
    seen, server = counting(lambda _: httpx.Response(200, json=page))
    assert run(listed(server)) == sorted(page)
    assert len(seen) <= 3


def test_a_server_that_ignores_offset_and_filter_is_noticed() -> None:
    page = {f"B{number:05}": a_batch(relatedObjects=[]) for number in range(100)}
    seen, server = counting(lambda _: httpx.Response(200, json=page))
    assert run(listed(server)) == []
    assert len(seen) <= 3


def test_pages_that_overlap_give_each_batch_once() -> None:
    names = [f"B{number:05}" for number in range(250)]
    moved = catalog_of([*names[:100], *names[90:]])
    assert run(listed(moved)) == names


@pytest.mark.parametrize("status", [404, 400])
def test_behind_the_last_page_not_found_is_the_end(status: int) -> None:
    pages = catalog_of(f"B{number:05}" for number in range(250))

    def serve(request: httpx.Request) -> httpx.Response:
        beyond = int(request.url.params["start"]) >= 300
        answer = httpx.Response(status) if beyond else pages(request)
        assert isinstance(answer, httpx.Response)
        return answer

    assert len(run(listed(serve))) == 250


def test_an_exact_last_page_may_be_followed_by_not_found() -> None:
    pages = catalog_of(f"B{number:05}" for number in range(100))

    def serve(request: httpx.Request) -> httpx.Response:
        answer = httpx.Response(404) if int(request.url.params["start"]) else pages(request)
        assert isinstance(answer, httpx.Response)
        return answer

    assert len(run(listed(serve))) == 100


def test_not_found_at_the_start_is_no_empty_listing() -> None:
    with pytest.raises(NotFound):
        run(listed(Script(httpx.Response(404))))


def test_a_page_that_fails_fails_the_listing() -> None:
    pages = catalog_of(f"B{number:05}" for number in range(500))

    def serve(request: httpx.Request) -> httpx.Response:
        answer = httpx.Response(403) if request.url.params["start"] == "200" else pages(request)
        assert isinstance(answer, httpx.Response)
        return answer

    with pytest.raises(Unauthorized):
        run(listed(serve))


def test_the_filter_of_the_server_is_not_trusted() -> None:
    answer = {
        "OURS": a_batch(),
        "OTHER-DATASET": a_batch(relatedObjects=[{"type": "dataSet", "id": "x"}]),
        "NO-DATASET": a_batch(relatedObjects=[]),
        "OTHER-TAG": a_batch(tags={"reconciler_project": ["other"]}),
        "NO-TAG": a_batch(tags={}),
        "TWO-VALUES": a_batch(tags={"reconciler_project": ["other", "acme"]}),
        "SCALAR": a_batch(tags={"reconciler_project": "acme"}),
    }
    assert sorted(run(listed(lambda _: httpx.Response(200, json=answer)))) == ["OURS", "SCALAR", "TWO-VALUES"]


def test_replays_are_found_whoever_made_them() -> None:
    answer = {
        "R1": a_batch(replay={"predecessors": ["$B1"], "reason": "consolidation"}, tags={}),
        "R2": a_batch(replay={"reason": "consolidation"}),
        "B1": a_batch(),
        "R3": a_batch(replay={"predecessors": ["B1"]}, relatedObjects=[]),
    }
    seen, server = counting(lambda _: httpx.Response(200, json=answer))

    async def main() -> list[Observed]:
        async with talking_to(server) as platform:
            return [batch async for batch in platform.catalog.list_replays(DATASET)]

    batches = run(main())
    assert [(batch.id, batch.predecessors) for batch in batches] == [("R1", ("B1",)), ("R2", ())]
    assert seen[0].url.params["property"] == "replay"


# -- by id


async def by_id(server: Server, ids: Sequence[str]) -> dict[str, Observed]:
    async with talking_to(server) as platform:
        return await platform.catalog.batches_by_id(ids)


def by_path(known: set[str], *, missing: int = 200) -> Server:
    """A Catalog that answers `missing` to a path with an id that it does not know."""

    def serve(request: httpx.Request) -> httpx.Response:
        tail = request.url.path.rpartition("/")[2]
        ids = (request.url.params["batch"] if tail == "batches" else tail).split(",")
        if tail != "batches" and missing != 200 and set(ids) - known:
            return httpx.Response(missing)
        return httpx.Response(200, json={name: a_batch() for name in ids if name in known})

    return serve


ULIDS = [f"01EQ1C48TR4GD4FE7NH25{number:05}" for number in range(160)]


def test_urls_stay_short_and_every_id_is_asked_for_once() -> None:
    seen, server = counting(by_path(set(ULIDS)))
    assert sorted(run(by_id(server, [*ULIDS, *ULIDS[:9]]))) == ULIDS
    assert all(len(str(request.url)) < 2_000 for request in seen)
    asked = [name for request in seen for name in request.url.path.rpartition("/")[2].split(",")]
    assert sorted(asked) == ULIDS
    assert len(seen) == 4
    assert str(seen[0].url).startswith(f"{API}/catalog/batches/{ULIDS[0]},{ULIDS[1]},")


def test_long_ids_make_smaller_chunks() -> None:
    ids = [f"{number:03}" + "x" * 125 for number in range(60)]
    seen, server = counting(by_path(set(ids)))
    assert sorted(run(by_id(server, ids))) == ids
    assert all(len(str(request.url)) < 2_000 for request in seen)


@pytest.mark.parametrize("missing", [200, 404])
def test_missing_ids_do_not_take_others_with_them(missing: int) -> None:
    known = set(ULIDS[::3])
    assert set(run(by_id(by_path(known, missing=missing), ULIDS))) == known


def test_one_missing_id_is_just_that() -> None:
    script = Script(httpx.Response(404))
    assert run(by_id(script, ["B1"])) == {}
    assert len(script.requests) == 1


def test_no_ids_no_request() -> None:
    script = Script(httpx.Response(500))
    assert run(by_id(script, [])) == {}
    assert not script.requests


def test_a_batch_that_was_not_asked_for_is_left_out() -> None:
    assert set(run(by_id(Script(httpx.Response(200, json={"B1": a_batch(), "B9": a_batch()})), ["B1"]))) == {"B1"}


@pytest.mark.parametrize("name", ["", "..", "a/b", "a?b", "a,b", "B1\n", "B\x1b[2J", "ü", "x" * 129])
def test_what_is_no_id_does_not_end_in_a_url(name: str) -> None:
    script = Script(httpx.Response(200, json={}))
    with pytest.raises(Rejected) as caught:
        run(by_id(script, ["B1", name]))
    assert caught.value.hint
    assert not script.requests


# -- by external id


async def by_external_id(server: Server, names: Sequence[str]) -> list[Observed]:
    async with talking_to(server) as platform:
        return await platform.catalog.batches_by_external_id(names)


def test_external_ids_are_asked_for_in_short_urls_and_compared_exactly() -> None:
    names = [f"acme-crm.{number:020x}.1" for number in range(130)]

    def answer(request: httpx.Request) -> httpx.Response:
        wanted = request.url.params["externalId"].split(",")
        found = {f"B-{name[9:29]}": a_batch(external_id=name) for name in wanted}
        foreign = {f"F-{name[9:29]}": a_batch(external_id=f"{name}0") for name in wanted}
        return httpx.Response(200, json={**found, **foreign, "NONE": a_batch(externalId=None)})

    seen, server = counting(answer)
    found = run(by_external_id(server, names))
    assert sorted(batch.external_id or "" for batch in found) == sorted(names)
    assert all(len(str(request.url)) < 2_000 for request in seen)
    assert all(len(request.url.params["externalId"].split(",")) <= 50 for request in seen)
    assert {request.url.params["limit"] for request in seen} == {"100"}


def test_two_batches_with_one_external_id_are_both_told() -> None:
    twins = {"B2": a_batch(), "B1": a_batch()}
    found = run(by_external_id(Script(httpx.Response(200, json=twins)), ["acme.0123456789abcdef0123.1"]))
    assert [batch.id for batch in found] == ["B1", "B2"]


def test_a_look_up_with_many_hits_is_paged() -> None:
    pages = catalog_of(f"B{number:05}" for number in range(150))
    assert len(run(by_external_id(pages, [f"x.B{number:05}" for number in range(150)]))) == 150


@pytest.mark.parametrize("name", ["a,b", "!a", "a*", "a~b", "", "a\nb"])
def test_an_external_id_that_the_filter_cannot_spell_is_an_error_not_an_absence(name: str) -> None:
    script = Script(httpx.Response(200, json={}))
    with pytest.raises(Rejected):
        run(by_external_id(script, ["fine", name]))
    assert not script.requests


# -- datasets


async def exists(server: Server) -> bool:
    async with talking_to(server) as platform:
        return await platform.catalog.dataset_exists(DATASET)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (httpx.Response(200, json={DATASET: {"name": "loyalty"}}), True),
        (httpx.Response(200, json={DATASET: {}}), True),
        (httpx.Response(200, json={}), False),
        (httpx.Response(404), False),
        (httpx.Response(404, json={"title": "Not Found"}), False),
    ],
)
def test_whether_a_dataset_exists(answer: httpx.Response, expected: bool) -> None:
    script = Script(answer)
    assert run(exists(script)) is expected
    assert str(script.requests[0].url) == f"{API}/catalog/dataSets/{DATASET}?properties=name"


# -- trouble


@pytest.mark.parametrize(
    "step",
    [
        *(httpx.Response(status) for status in (408, 425, 429, 500, 502, 503, 504)),
        httpx.Response(503, headers={"retry-after": "20"}),
        httpx.Response(200, text='{"B1": {"status"'),
        httpx.Response(200, headers={"content-type": "text/html"}, text="<!doctype html><p>Just a moment"),
        httpx.Response(200, json={"error_code": "500000", "message": "odd"}),
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
        httpx.RemoteProtocolError("closed"),
    ],
)
def test_a_read_is_repeated_whatever_went_wrong(step: httpx.Response | Exception) -> None:
    script = Script(step, step, httpx.Response(200, json={"B1": a_batch()}))
    assert run(listed(script)) == ["B1"]
    assert len(script.requests) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 414, 301])
def test_a_definite_no_is_not_repeated(status: int) -> None:
    script = Script(httpx.Response(status))
    with pytest.raises(Rejected) as caught:
        run(listed(script))
    assert len(script.requests) == 1
    assert caught.value.status == status
    assert caught.value.hint


def test_a_read_that_fails_leaves_nothing_unknown() -> None:
    async def main() -> float:
        with pytest.raises(PlatformError) as caught:
            await listed(Script(httpx.Response(500, headers={"x-request-id": "R-77"})))
        assert type(caught.value) is PlatformError
        assert (caught.value.status, caught.value.request_id) == (500, "R-77")
        return clock() - 1_000

    assert 5 <= run(main()) < 120, "ten tries, then it is told"


def test_a_web_page_is_given_up_soon_and_said_to_be_one() -> None:
    async def main() -> float:
        page = httpx.Response(200, text="<html><style>p {}</style><title>Sign in</title><p>to the\nproxy</p></html>")
        with pytest.raises(PlatformError) as caught:
            await listed(Script(page))
        assert caught.value.detail == "the body is a web page (HTML): Sign in to the proxy"
        assert "AEP_API_URL" in (caught.value.hint or "")
        return clock() - 1_000

    assert run(main()) < 60


def test_a_web_page_is_no_proof_of_absence() -> None:
    page = httpx.Response(404, headers={"content-type": "text/html"}, text="<html>nginx</html>")
    with pytest.raises(Rejected) as one:
        run(exists(Script(page)))
    with pytest.raises(Rejected) as other:
        run(by_id(Script(page), ["B1"]))
    assert not isinstance(one.value, NotFound)
    assert not isinstance(other.value, NotFound)


def test_an_endless_body_is_not_read_to_its_end() -> None:
    sent = 0

    class Endless(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            nonlocal sent
            while True:
                sent += 1
                yield b" " * 1_048_576

    with pytest.raises(PlatformError, match="no readable answer"):
        run(listed(lambda _: httpx.Response(200, stream=Endless())))
    assert sent <= 8 * 34
