"""A create: what each answer means, when it is sent again, and when `about_to_send` is awaited."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx
import pytest

from reconciler.core.errors import (
    ConflictingWrite,
    NeverSent,
    NotFound,
    OutcomeUnknown,
    PlatformError,
    Rejected,
    Throttled,
    Unauthorized,
)
from tests.platform.servers import API, Script, a_request, body_of, nothing, talking_to
from tests.platform.virtual import clock, run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

CREATED = httpx.Response(201, json={"id": "B1", "status": "loading"})


async def create(script: Script, deadline: float = 300.0) -> tuple[str, list[float]]:
    """The id, and when `about_to_send` was called, in seconds from the start."""
    sent: list[float] = []

    async def note() -> None:
        sent.append(clock() - 1_000)

    async with talking_to(script, deadline=deadline) as platform:
        return await platform.ingestion.create(a_request({"format": "json"}), about_to_send=note), sent


@pytest.mark.parametrize(
    "answer",
    [
        CREATED,
        httpx.Response(200, json=["@/batches/B1"]),
        httpx.Response(201, json={"B1": {"status": "loading"}}),
        httpx.Response(201, headers={"content-type": "text/plain"}, content=b'{"id":"B1"}'),
    ],
)
def test_any_success_with_an_id_is_one(answer: httpx.Response) -> None:
    script = Script(answer)
    batch, sent = run(create(script))
    assert (batch, len(sent)) == ("B1", 1)
    (request,) = script.requests
    assert (request.method, str(request.url)) == ("POST", f"{API}/import/batches")
    assert request.headers["content-type"] == "application/json"
    assert body_of(request)["inputFormat"] == {"format": "json"}


HTML = {"content-type": "text/html; charset=utf-8"}


@pytest.mark.parametrize(
    ("step", "error"),
    [
        (httpx.Response(400, json={"title": "Bad Request", "detail": "no"}), Rejected),
        (httpx.Response(400), Rejected),
        (httpx.Response(401, json={"error_code": "401013"}), Unauthorized),
        (httpx.Response(403, json={"error_code": "403025", "message": "x"}), Unauthorized),
        (httpx.Response(404, text=""), NotFound),
        (httpx.Response(404, headers=HTML, text="<html>"), Rejected),
        (httpx.Response(409), ConflictingWrite),
        (httpx.Response(412), ConflictingWrite),
        (httpx.Response(413), Rejected),
        (httpx.Response(414), Rejected),
        (httpx.Response(415), Rejected),
        (httpx.Response(418), Rejected),
        *(
            (httpx.Response(status, headers={"location": "https://evil.example/"}), Rejected)
            for status in (301, 302, 303, 307, 308)
        ),
        (httpx.Response(304), Rejected),
        *((httpx.Response(status), OutcomeUnknown) for status in (408, 425, 500, 501, 502, 503, 504, 599)),
        (httpx.Response(503, headers={"retry-after": "1"}), OutcomeUnknown),
        (httpx.Response(201), OutcomeUnknown),
        (httpx.Response(204), OutcomeUnknown),
        (httpx.Response(201, json={}), OutcomeUnknown),
        (httpx.Response(201, json={"id": "../../etc"}), OutcomeUnknown),
        (httpx.Response(201, text='{"id": "B'), OutcomeUnknown),
        (httpx.Response(201, text="[" * 100_000), OutcomeUnknown),
        (httpx.Response(201, text='{"id": NaN}'), OutcomeUnknown),
        (httpx.Response(201, content=b"\xff\xfe\x00"), OutcomeUnknown),
        (httpx.Response(200, headers=HTML, text="<html>Sign in</html>"), OutcomeUnknown),
        (httpx.Response(201, content=b" " * 2_000_000 + b'{"id":"B1"}'), OutcomeUnknown),
        (httpx.Response(201, headers={"content-encoding": "gzip"}, stream=httpx.ByteStream(b"no")), OutcomeUnknown),
        (httpx.ReadTimeout("slow"), OutcomeUnknown),
        (httpx.WriteTimeout("slow"), OutcomeUnknown),
        (httpx.ReadError("reset"), OutcomeUnknown),
        (httpx.WriteError("reset"), OutcomeUnknown),
        (httpx.RemoteProtocolError("closed"), OutcomeUnknown),
    ],
)
def test_each_answer_has_its_error_and_is_not_repeated(
    step: httpx.Response | Exception, error: type[Exception]
) -> None:
    script = Script(step) if isinstance(step, Exception) else Script(lambda _: step)
    with pytest.raises(PlatformError) as caught:
        run(create(script))
    assert type(caught.value) is error
    assert len(script.requests) == 1
    assert caught.value.hint
    if isinstance(step, httpx.Response):
        assert caught.value.status == step.status_code


@pytest.mark.parametrize(
    "step",
    [
        httpx.Response(429),
        httpx.Response(429, json={"error_code": "429050", "message": "Too many requests"}),
        httpx.ConnectError("refused"),
        httpx.ConnectTimeout("slow"),
        httpx.PoolTimeout("full"),
        httpx.ProxyError("no tunnel"),
    ],
)
def test_what_had_no_effect_is_sent_again(step: httpx.Response | Exception) -> None:
    script = Script(step, step, CREATED)
    batch, sent = run(create(script))
    assert batch == "B1"
    assert len(sent) == len(script.requests) == 3


def test_after_the_deadline_it_is_given_up() -> None:
    async def main() -> float:
        with pytest.raises(Throttled):
            await create(Script(httpx.Response(429)), deadline=60)
        return clock() - 1_000

    assert 60 <= run(main()) < 61


def test_without_a_connection_it_is_given_up_soon() -> None:
    async def main() -> float:
        with pytest.raises(NeverSent):
            await create(Script(httpx.ConnectError("refused")))
        return clock() - 1_000

    assert run(main()) < 30


def test_an_unknown_outcome_after_a_throttled_one_is_unknown() -> None:
    script = Script(httpx.Response(429), httpx.ReadError("reset"), CREATED)
    with pytest.raises(OutcomeUnknown):
        run(create(script))
    assert len(script.requests) == 2


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("7", 7.0),
        ("Thu, 01 Jan 2026 00:00:42 GMT", 42.0),
        ("9.5", 9.5),
        ("300", 300.0),
    ],
)
def test_retry_after_is_honoured_up_to_the_deadline(header: str, wait: float) -> None:
    script = Script(httpx.Response(429, headers={"retry-after": header}), CREATED)
    _, sent = run(create(script))
    assert sent[0] == 0.0
    assert sent[1] == pytest.approx(wait, abs=0.6)


@pytest.mark.parametrize(
    ("header", "named"),
    [
        ("3600", "asks to wait 3,600 s"),
        ("Thu, 01 Jan 2026 01:00:00 GMT", "asks to wait 3,600 s"),
        ("301", "301 s"),
        ("9999999999", "more than a year"),
        ("9" * 400, "more than a year"),
        ("Fri, 31 Dec 9999 23:59:59 GMT", "more than a year"),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_a_wait_that_is_too_long_ends_the_request_at_once_and_is_named(header: str, named: str, status: int) -> None:
    script = Script(httpx.Response(status, headers={"retry-after": header}), CREATED)
    waits: list[str] = []

    async def main() -> None:
        async with talking_to(script, on_retry=waits.append) as platform:
            await platform.ingestion.create(a_request(), about_to_send=nothing)

    with pytest.raises(Throttled if status == 429 else OutcomeUnknown) as caught:
        run(main())
    assert len(script.requests) == 1
    assert named in (caught.value.hint or "")
    assert waits == []


def test_others_do_not_wait_for_a_throttled_one_that_was_given_up() -> None:
    script = Script(httpx.Response(429, headers={"retry-after": "3600"}), CREATED)

    async def main() -> float:
        async with talking_to(script) as platform:
            with pytest.raises(Throttled):
                await platform.ingestion.create(a_request(), about_to_send=nothing)
            await platform.ingestion.create(a_request(), about_to_send=nothing)
        return clock() - 1_000

    assert run(main()) < 1


def test_a_date_to_wait_for_is_compared_with_the_services_own_clock() -> None:
    ahead = {"retry-after": "Thu, 01 Jan 2026 02:00:09 GMT", "date": "Thu, 01 Jan 2026 02:00:00 GMT"}
    _, sent = run(create(Script(httpx.Response(429, headers=ahead), CREATED)))
    assert sent[1] == pytest.approx(9, abs=0.6)


@pytest.mark.parametrize("header", ["0", "-5", "soon", "Thu, 01 Jan 1970 00:00:00 GMT", "1e9", "Thu, 99 Foo", ""])
def test_a_senseless_retry_after_means_an_ordinary_wait(header: str) -> None:
    script = Script(httpx.Response(429, headers={"retry-after": header}), CREATED)
    _, sent = run(create(script))
    assert sent[1] <= 0.5


def test_a_throttled_create_makes_everybody_wait() -> None:
    async def main() -> list[float]:
        seen: list[float] = []

        async def serve(_: httpx.Request) -> httpx.Response:
            seen.append(clock() - 1_000)
            await asyncio.sleep(0.1)
            return httpx.Response(429, headers={"retry-after": "30"}) if len(seen) == 1 else CREATED

        async with talking_to(serve, parallelism=1) as platform:
            await asyncio.gather(*(platform.ingestion.create(a_request(), about_to_send=nothing) for _ in range(5)))
        return seen

    first, *others = run(main())
    assert first == 0
    assert min(others) == pytest.approx(30.1)


def test_what_the_engine_refuses_at_the_last_moment_does_not_leave() -> None:
    script = Script(CREATED)

    class Stopped(Exception):
        pass

    async def stop() -> None:
        raise Stopped

    async def main() -> None:
        async with talking_to(script, parallelism=1) as platform:
            for _ in range(3):
                with pytest.raises(Stopped):
                    await platform.ingestion.create(a_request(), about_to_send=stop)
            await platform.ingestion.create(a_request(), about_to_send=nothing)

    run(main())
    assert len(script.requests) == 1


def test_creations_keep_to_the_rate_and_the_concurrency_limit() -> None:
    async def main() -> tuple[float, int]:
        in_flight = most = 0

        async def serve(_: httpx.Request) -> httpx.Response:
            nonlocal in_flight, most
            in_flight += 1
            most = max(most, in_flight)
            await asyncio.sleep(0.4)
            in_flight -= 1
            return CREATED

        async with talking_to(serve, parallelism=4, rate=300) as platform:
            await asyncio.gather(*(platform.ingestion.create(a_request(), about_to_send=nothing) for _ in range(300)))
        return clock() - 1_000, most

    seconds, most = run(main())
    assert 58 <= seconds <= 61
    assert most <= 4


def test_a_body_that_drips_is_not_waited_for_for_ever() -> None:
    class Drip(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            while True:
                await asyncio.sleep(5)
                yield b" "

    async def main() -> float:
        async with talking_to(lambda _: httpx.Response(201, stream=Drip())) as platform:
            with pytest.raises(OutcomeUnknown, match="no whole answer"):
                await platform.ingestion.create(a_request(), about_to_send=nothing)
        return clock() - 1_000

    assert run(main()) == pytest.approx(120)


def test_a_verdict_stands_even_if_its_explanation_is_cut() -> None:
    class Cut(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b'{"title": "Bad'
            raise httpx.ReadError("reset")

    with pytest.raises(Rejected) as caught:
        run(create(Script(lambda _: httpx.Response(400, stream=Cut()))))
    assert caught.value.status == 400


def test_retries_are_told() -> None:
    said: list[str] = []

    async def main(step: Callable[[httpx.Request], httpx.Response]) -> None:
        async with talking_to(step, on_retry=said.append) as platform:
            await platform.ingestion.create(a_request(), about_to_send=nothing)

    run(main(Script(httpx.Response(429), httpx.Response(429), CREATED)))
    assert len(said) == 2
    assert said[0].startswith(
        "AEP answered 429 Too Many Requests to: create a batch in dataset `5c8c3c555033b814b69f947f`"
    )
    assert said[1].endswith("(try 3)")
