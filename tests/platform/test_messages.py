"""Every error says what happened and what to do, in text that is safe to print, without a secret."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

import httpx
import pytest

from reconciler.core.errors import PlatformError
from reconciler.platform.problems import HINTS_BY_CODE, LONGEST_EXCERPT
from reconciler.ports import Verb
from tests.platform.servers import (
    CLIENT_SECRET,
    DATASET,
    KEY,
    SERVER_TO_SERVER,
    Script,
    a_request,
    nothing,
    talking_to,
)
from tests.platform.virtual import run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from reconciler.ports import Platform
    from tests.platform.servers import Server

ISSUED = "issued-token-9f8e7d6c"
SECRETS = (KEY, CLIENT_SECRET, ISSUED, quote(CLIENT_SECRET, safe=""), quote_plus(CLIENT_SECRET))


async def _list(platform: Platform) -> None:
    async for _ in platform.catalog.list_batches(DATASET, {}):
        pass


async def _create(platform: Platform) -> None:
    await platform.ingestion.create(a_request(), about_to_send=nothing)


OPERATIONS: dict[str, Callable[[Platform], Awaitable[object]]] = {
    "create": _create,
    "list": _list,
    "abort": lambda platform: platform.ingestion.act("B1", Verb.ABORT),
    "tags": lambda platform: platform.ingestion.change_tags("B1", {"team": ["crm"]}, ()),
    "ids": lambda platform: platform.catalog.batches_by_id(["B1", "B2"]),
    "external": lambda platform: platform.catalog.batches_by_external_id(["x"]),
    "dataset": lambda platform: platform.catalog.dataset_exists(DATASET),
}


def echo(status: int) -> Server:
    """A server whose answers repeat everything that it received, in body and headers."""

    def serve(request: httpx.Request) -> httpx.Response:
        if "ims" in request.url.host:
            return httpx.Response(200, json={"access_token": ISSUED, "expires_in": 86_399})
        told = " ".join([*(f"{name}={value}" for name, value in request.headers.items()), *SECRETS])
        return httpx.Response(status, json={"title": told, "detail": told}, headers={"x-request-id": ISSUED})

    return serve


def burst(request: httpx.Request) -> httpx.Response:
    """Fails as h11 does, whose message repeats the header that it refuses."""
    if "ims" in request.url.host:
        return httpx.Response(200, json={"access_token": ISSUED, "expires_in": 86_399})
    raise httpx.LocalProtocolError(f"Illegal header value {SECRETS}")


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("server", [*(echo(status) for status in (302, 400, 401, 403, 409, 429, 500)), burst])
def test_no_secret_gets_into_a_message(
    operation: str, server: Server, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []

    async def main() -> PlatformError:
        with caplog.at_level(logging.INFO):
            async with talking_to(server, credentials=SERVER_TO_SERVER, deadline=20, on_retry=said.append) as platform:
                with pytest.raises(PlatformError) as caught:
                    await OPERATIONS[operation](platform)
        return caught.value

    error = run(main())
    causes = [error, error.__cause__, error.__context__]
    words = " ".join(f"{each!r} {each} {getattr(each, '__dict__', '')}" for each in causes)
    text = " ".join([words, *said, caplog.text, *capsys.readouterr()])
    assert not [secret for secret in SECRETS if secret in text]
    assert error.hint
    assert not error.summary.endswith(".")


@pytest.mark.parametrize("operation", ["create", "list", "tags", "ids", "external", "dataset"])
def test_no_secret_gets_into_a_message_about_a_body(operation: str) -> None:
    async def main() -> PlatformError:
        async with talking_to(echo(200), credentials=SERVER_TO_SERVER, deadline=20) as platform:
            with pytest.raises(PlatformError) as caught:
                await OPERATIONS[operation](platform)
        return caught.value

    error = run(main())
    assert "***" in (error.detail or "")
    assert not [secret for secret in SECRETS if secret in f"{error} {error.detail}"]


def failing(answer: httpx.Response) -> PlatformError:
    async def main() -> PlatformError:
        async with talking_to(Script(answer)) as platform:
            with pytest.raises(PlatformError) as caught:
                await platform.ingestion.create(a_request(), about_to_send=nothing)
        return caught.value

    return run(main())


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (httpx.Response(400), None),
        (httpx.Response(400, text="   "), None),
        (httpx.Response(400, text="plain words"), "plain words"),
        (
            httpx.Response(400, json={"title": "Bad Request", "detail": "no dataset", "status": 400}),
            "Bad Request · no dataset",
        ),
        (httpx.Response(400, json={"title": "x", "report": {"detailed-message": "deep"}}), "x · deep"),
        (httpx.Response(400, json={"error": "invalid", "error_description": "because"}), "invalid · because"),
        (httpx.Response(400, json={"errorMessage": "m", "message": "m"}), "m"),
        (httpx.Response(400, json={"error_code": 400003, "message": "header"}), "400003 · header"),
        (httpx.Response(400, json=["odd"]), '["odd"]'),
        (httpx.Response(400, json={"title": {"deep": 1}}), None),
        (httpx.Response(400, text="a\x1b[31mred\x00\x07\u202e\r\n\tend"), "a[31mred end"),
        (httpx.Response(400, text="<h1>Bad</h1>\n<script>x()</script><p>Request</p>"), "Bad Request"),
        (httpx.Response(302, headers={"location": "https://login.example/?token=1"}), "to https://login.example/"),
        (httpx.Response(400, content=b"\xff\xfe"), "\ufffd\ufffd"),
    ],
)
def test_the_explanation_is_one_safe_line(answer: httpx.Response, detail: str | None) -> None:
    assert failing(answer).detail == detail


def test_a_long_explanation_is_cut() -> None:
    detail = failing(httpx.Response(400, text="x" * 5_000)).detail
    assert detail is not None
    assert len(detail) == LONGEST_EXCERPT


@pytest.mark.parametrize("code", HINTS_BY_CODE)
def test_the_gateways_codes_are_explained(code: str) -> None:
    error = failing(httpx.Response(int(code[:3]), json={"error_code": code, "message": "whatever"}))
    assert error.hint == HINTS_BY_CODE[code]
    assert error.detail == f"{code} · whatever"


@pytest.mark.parametrize("name", ["x-request-id", "X-Adobe-Request-Id", "x-correlation-id"])
def test_the_request_is_named_for_a_support_ticket(name: str) -> None:
    error = failing(httpx.Response(400, headers={name: "b7K2-9.x"}))
    assert error.request_id == "b7K2-9.x"


@pytest.mark.parametrize("value", ["", "a b", "x" * 129, "\x1b[31m"])
def test_a_strange_request_id_is_left_out(value: str) -> None:
    assert failing(httpx.Response(400, headers={"x-request-id": value})).request_id is None
