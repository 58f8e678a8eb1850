"""Answers that nobody would send in good faith: bombs, doubled names, numbers without end, ids that are paths."""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zlib

import httpx
import pytest

from reconciler.core.errors import OutcomeUnknown, PlatformError
from reconciler.platform.answer import Answer, Unreadable
from reconciler.platform.auth import ASSUMED_LIFETIME, LONGEST_LIFETIME, RENEWAL_MARGIN, read_token
from reconciler.platform.wire import read_created, read_objects, read_page
from reconciler.ports import Verb
from tests.platform.servers import DATASET, Script, a_batch, a_request, nothing, talking_to
from tests.platform.virtual import run

MEBIBYTE = 1024 * 1024
ONE = json.dumps({"B1": a_batch()}).encode()


def packed(codings: str, body: bytes, status: int = 200) -> httpx.Response:
    return httpx.Response(status, headers={"content-encoding": codings}, stream=httpx.ByteStream(body))


class Serving:
    """Gives a fresh copy of one packed answer to each request; `Script` would unpack it."""

    def __init__(self, codings: str, body: bytes, status: int = 200) -> None:
        self.requests: list[httpx.Request] = []
        self._answer = codings, body, status

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return packed(*self._answer)


async def ids(server: Serving | Script) -> list[str]:
    async with talking_to(server) as platform:
        return sorted(await platform.catalog.batches_by_id(["B1"]))


async def create(server: Serving | Script) -> str:
    async with talking_to(server) as platform:
        return await platform.ingestion.create(a_request(), about_to_send=nothing)


@pytest.mark.parametrize("codings", ["gzip", "GZIP", "x-gzip", "identity, gzip", "gzip, identity"])
def test_the_one_coding_that_is_asked_for_is_read(codings: str) -> None:
    server = Serving(codings, gzip.compress(ONE))
    assert run(ids(server)) == ["B1"]
    assert server.requests[0].headers["accept-encoding"] == "gzip"


@pytest.mark.parametrize(
    ("codings", "body"),
    [
        ("gzip, gzip", gzip.compress(gzip.compress(ONE))),
        ("gzip,gzip,gzip", gzip.compress(ONE)),
        ("deflate", zlib.compress(ONE)),
        ("br", b"\x8b\x02\x80"),
        ("zstd", b"\x28\xb5\x2f\xfd"),
        ("compress", ONE),
        ("gzip", ONE),
        ("gzip", gzip.compress(ONE)[:-20]),
        ("\x01gzip", ONE),
    ],
)
def test_any_other_packing_is_no_answer(codings: str, body: bytes) -> None:
    with pytest.raises(PlatformError):
        run(ids(Serving(codings, body)))
    with pytest.raises(OutcomeUnknown):
        run(create(Serving(codings, body, 201)))


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("status", [200, 400, 500])
def test_a_small_answer_never_becomes_much_memory(times: int, status: int) -> None:
    bomb = b" " * (48 * MEBIBYTE)
    for _ in range(times):
        bomb = gzip.compress(bomb, 1 if times == 1 else 9)
    tracemalloc.start()
    try:
        with pytest.raises(PlatformError):
            run(create(Serving(", ".join(["gzip"] * times), bomb, status)))
        assert tracemalloc.get_traced_memory()[1] < 16 * MEBIBYTE
    finally:
        tracemalloc.stop()


def test_an_answer_that_is_too_long_is_not_kept_try_after_try() -> None:
    server = Serving("gzip", gzip.compress(b" " * (48 * MEBIBYTE)))
    tracemalloc.start()
    try:
        with pytest.raises(PlatformError, match="no readable answer"):
            run(ids(server))
        assert len(server.requests) > 3
        assert tracemalloc.get_traced_memory()[1] < 110 * MEBIBYTE
    finally:
        tracemalloc.stop()


def answer(text: str) -> Answer:
    return Answer(200, httpx.Headers(), text.encode())


def test_a_name_that_stands_twice_in_the_answer_to_a_create_leaves_its_id_unknown() -> None:
    with pytest.raises(OutcomeUnknown):
        run(create(Script(httpx.Response(201, text='{"id": "A", "status": "loading", "id": "B"}'))))


@pytest.mark.parametrize(
    "text", ["NaN", '{"B1": {"created": Infinity}}', "[" * 100_000, '{"a":' * 100_000, "9" * 5_000]
)
def test_what_python_reads_and_json_is_not_is_unreadable(text: str) -> None:
    with pytest.raises(Unreadable):
        answer(text).json()


@pytest.mark.parametrize("number", ["1e400", "-1e400", "9" * 4_000, "1.5", "1e30", '"' + "9" * 5_000 + '"'])
def test_a_number_that_is_no_time_and_no_count_is_none(number: str) -> None:
    fields = json.dumps(a_batch(recordCount=7)).replace("1767225600000", number).replace(": 7", f": {number}")
    (batch,) = read_page(answer(f'{{"B1": {fields}}}').json()).batches
    assert (batch.created, batch.records) == (None, None)


@pytest.mark.parametrize(
    ("expires_in", "lifetime"),
    [
        ("9" * 4_000, LONGEST_LIFETIME),
        ('"' + "9" * 5_000 + '"', LONGEST_LIFETIME),
        ("1e400", LONGEST_LIFETIME),
        ("-1e400", ASSUMED_LIFETIME),
        ('"\u00b2"', ASSUMED_LIFETIME),
    ],
)
def test_a_lifetime_without_end_ends(expires_in: str, lifetime: float) -> None:
    token = read_token(answer(f'{{"access_token": "t-1234", "expires_in": {expires_in}}}').json(), 0.0)
    assert token.usable_until == lifetime - RENEWAL_MARGIN


@pytest.mark.parametrize("name", ["../B1", "B/1", "B?1", "..", "B 1", "", "B%2F", "B\n1", "B\u00e9", "B" * 129])
def test_an_id_that_is_none_never_gets_in(name: str) -> None:
    with pytest.raises(Unreadable):
        read_objects({name: {"status": "success"}})
    with pytest.raises(Unreadable):
        read_created({"id": name}, a_request(), "ORG@AdobeOrg")
    with pytest.raises(Unreadable):
        read_created([f"@/batches/{name}"], a_request(), "ORG@AdobeOrg")
    (batch,) = read_page({"B1": {"tags": {"acp_successor": [name]}}}).batches
    assert batch.successor is None


def test_an_object_with_two_ids_is_none() -> None:
    with pytest.raises(Unreadable, match="two ids"):
        read_objects({"B1": {"id": "B2"}})
    with pytest.raises(Unreadable):
        read_created({"B1": {"id": "B2"}}, a_request(), "ORG@AdobeOrg")
    assert read_objects({"B1": {"id": None}, "B2": {"id": "B2"}}).keys() == {"B1", "B2"}


@pytest.mark.parametrize("name", ["error", "error-chain", "report", "errors", "message"])
def test_an_error_that_comes_as_a_success_is_never_a_batch(name: str) -> None:
    with pytest.raises(Unreadable, match="error message"):
        read_page({name: {"code": "500", "message": "odd"}})


@pytest.mark.parametrize("etag", ["\u00e9", "1\x7f", "a\tb"])
def test_a_version_that_no_header_can_hold_is_none(etag: str) -> None:
    batch = {key: value for key, value in a_batch().items() if key != "version"}
    script = Script(httpx.Response(200, json={"B1": batch}, headers=[(b"etag", etag.encode())]))

    async def main() -> None:
        async with talking_to(script) as platform:
            await platform.ingestion.change_tags("B1", {"team": ["crm"]}, ())

    with pytest.raises(PlatformError, match="no version"):
        run(main())


def test_every_post_says_what_its_body_is_even_without_one() -> None:
    script = Script(httpx.Response(200))

    async def main() -> None:
        async with talking_to(script) as platform:
            await platform.ingestion.act("B1", Verb.COMPLETE)

    run(main())
    assert script.requests[0].headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("status", "body", "detail", "hint"),
    [
        (
            401,
            {"title": "Unauthorized", "error-chain": [{"errorCode": "INSGHT-1003-401"}], "report": {"message": "bad"}},
            "Unauthorized · bad · INSGHT-1003-401",
            "`sandbox`",
        ),
        (403, {"error-chain": [{"serviceId": "X"}, 5, {"errorCode": "X-1-403"}]}, "X-1-403", "access label"),
        (
            403,
            {"report": {"message": 5}, "error-chain": "no list", "title": "Forbidden"},
            "Forbidden",
            "Manage Datasets",
        ),
    ],
)
def test_what_a_refusal_says_is_read_wherever_it_stands(status: int, body: object, detail: str, hint: str) -> None:
    with pytest.raises(PlatformError) as caught:
        run(ids(Script(httpx.Response(status, json=body))))
    assert caught.value.detail == detail
    assert hint in (caught.value.hint or "")


def test_a_chain_without_end_is_cut() -> None:
    chain = [{"errorCode": f"X-{number}-{'9' * 50}"} for number in range(500)]
    with pytest.raises(PlatformError) as caught:
        run(ids(Script(httpx.Response(400, json={"error-chain": chain, "report": {"message": "x" * 9_000}}))))
    assert len(caught.value.detail or "") <= 300


def test_the_dataset_of_a_listing_has_one_name() -> None:
    async def main() -> bool:
        async with talking_to(Script(httpx.Response(200, json={DATASET: {"id": "other"}}))) as platform:
            return await platform.catalog.dataset_exists(DATASET)

    with pytest.raises(PlatformError):
        run(main())
