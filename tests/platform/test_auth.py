"""Headers and tokens: one renewal for all, one repeat after a 401, and no secret in any message."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote_plus

import httpx
import pytest

from reconciler.core.errors import NeverSent, PlatformError, Unauthorized
from reconciler.platform.auth import read_token
from tests.platform.servers import (
    CLIENT_SECRET,
    DATASET,
    KEY,
    ORG,
    READY,
    SERVER_TO_SERVER,
    TOKEN,
    a_request,
    nothing,
    talking_to,
)
from tests.platform.virtual import clock, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.core.batch import Json


class Ims:
    """A token server and AEP in one: tokens are valid for `life` seconds of the virtual clock."""

    def __init__(self, life: float = 86_399, latency: float = 0.0) -> None:
        self.life = life
        self.latency = latency
        self.asked: list[httpx.Request] = []
        self.served = 0
        self.refusals = 0
        self.valid_until: dict[str, float] = {}
        self.trouble: list[Callable[[], httpx.Response]] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.host == "ims-na1.adobelogin.com":
            return await self._token(request)
        token = request.headers["authorization"].removeprefix("Bearer ")
        await asyncio.sleep(self.latency)
        if clock() >= self.valid_until.get(token, 0.0):
            self.refusals += 1
            return httpx.Response(401, json={"error_code": "401013", "message": f"Oauth token {token} is not valid"})
        self.served += 1
        return httpx.Response(200, json={DATASET: {"name": "loyalty"}})

    async def _token(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        await asyncio.sleep(0.05)
        if self.trouble:
            return self.trouble.pop(0)()
        token = f"token-{len(self.asked)}-0a1b2c3d"
        self.valid_until[token] = clock() + self.life
        return httpx.Response(200, json={"access_token": token, "token_type": "bearer", "expires_in": self.life})


def fail(error: Exception) -> Callable[[], httpx.Response]:
    def step() -> httpx.Response:
        raise error

    return step


def answer(status: int, body: Json = None, **headers: str) -> Callable[[], httpx.Response]:
    return lambda: httpx.Response(status, json=body, headers={k.replace("_", "-"): v for k, v in headers.items()})


async def ask(ims: Ims, times: int = 1) -> None:
    async with talking_to(ims, credentials=SERVER_TO_SERVER) as platform:
        for _ in range(times):
            assert await platform.catalog.dataset_exists(DATASET)


def test_the_gateway_gets_its_headers() -> None:
    seen: list[httpx.Headers] = []

    def serve(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers)
        return httpx.Response(200, json={})

    async def main() -> None:
        async with talking_to(serve, credentials=READY) as platform:
            await platform.catalog.dataset_exists(DATASET)

    run(main())
    assert {name: seen[0][name] for name in seen[0] if name.startswith(("x-", "auth", "accept"))} == {
        "authorization": f"Bearer {TOKEN}",
        "x-api-key": KEY,
        "x-gw-ims-org-id": ORG,
        "x-sandbox-name": "dev",
        "accept": "application/json",
        "accept-encoding": seen[0]["accept-encoding"],
    }
    assert "gzip" in seen[0]["accept-encoding"]


def test_a_token_is_asked_for_in_a_form_and_kept() -> None:
    ims = Ims()
    run(ask(ims, times=5))
    (request,) = ims.asked
    assert (request.method, str(request.url)) == ("POST", "https://ims-na1.adobelogin.com/ims/token/v3")
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert "authorization" not in request.headers
    assert parse_qs(request.content.decode()) == {
        "grant_type": ["client_credentials"],
        "client_id": [KEY],
        "client_secret": [CLIENT_SECRET],
        "scope": ["openid,AdobeID"],
    }


def test_all_wait_for_one_renewal() -> None:
    async def main() -> int:
        ims = Ims()
        async with talking_to(ims, credentials=SERVER_TO_SERVER) as platform:
            await asyncio.gather(*(platform.catalog.dataset_exists(DATASET) for _ in range(40)))
        return len(ims.asked)

    assert run(main()) == 1


@pytest.mark.parametrize("latency", [0.0, 0.3, 0.9, 1.5])
def test_tokens_of_two_seconds_last_through_a_long_run(latency: float) -> None:
    async def main() -> Ims:
        ims = Ims(life=2, latency=latency)
        async with talking_to(ims, credentials=SERVER_TO_SERVER) as platform:

            async def work() -> None:
                for _ in range(60):
                    assert await platform.catalog.dataset_exists(DATASET)
                    await asyncio.sleep(0.13)

            await asyncio.gather(*(work() for _ in range(8)))
        return ims

    ims = run(main())
    assert ims.served == 8 * 60
    assert 4 <= len(ims.asked) <= 120


def test_a_token_that_is_withdrawn_costs_one_new_one_for_all() -> None:
    async def main() -> Ims:
        ims = Ims(latency=0.2)
        async with talking_to(ims, credentials=SERVER_TO_SERVER) as platform:
            for _ in range(3):
                ims.valid_until.clear()
                await asyncio.gather(*(platform.catalog.dataset_exists(DATASET) for _ in range(20)))
        return ims

    ims = run(main())
    assert ims.served == 60
    assert len(ims.asked) == 3


def test_a_late_refusal_uses_the_token_that_somebody_else_renewed() -> None:
    async def main() -> Ims:
        ims = Ims()
        async with talking_to(ims, credentials=SERVER_TO_SERVER) as platform:
            await platform.catalog.dataset_exists(DATASET)
            ims.valid_until.clear()
            ims.latency = 5.0
            late = asyncio.create_task(platform.catalog.dataset_exists(DATASET))
            await asyncio.sleep(1)
            ims.latency = 0.1
            assert await platform.catalog.dataset_exists(DATASET)
            assert await late
        return ims

    ims = run(main())
    assert (ims.refusals, len(ims.asked)) == (2, 2)


def test_a_credential_that_is_never_accepted_does_not_ask_for_a_token_each_time() -> None:
    async def main() -> list[Unauthorized]:
        errors = []

        def serve(request: httpx.Request) -> httpx.Response:
            if request.url.host == "ims-na1.adobelogin.com":
                asked.append(request)
                return httpx.Response(200, json={"access_token": f"t-{len(asked)}-abcd", "expires_in": 86_399})
            return httpx.Response(401, json={"error_code": "401013", "message": "Oauth token is not valid"})

        async with talking_to(serve, credentials=SERVER_TO_SERVER) as platform:
            for _ in range(10):
                with pytest.raises(Unauthorized) as caught:
                    await platform.catalog.dataset_exists(DATASET)
                errors.append(caught.value)
        return errors

    asked: list[httpx.Request] = []
    assert {error.detail for error in run(main())} == {"401013 · Oauth token is not valid"}
    assert len(asked) == 2


def test_a_ready_token_that_is_refused_is_not_repeated() -> None:
    seen: list[httpx.Request] = []

    def serve(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(401, json={"error_code": "401013", "message": f"{TOKEN} is not valid"})

    async def main() -> None:
        async with talking_to(serve) as platform:
            await platform.catalog.dataset_exists(DATASET)

    with pytest.raises(Unauthorized) as caught:
        run(main())
    assert len(seen) == 1
    assert caught.value.status == 401
    assert caught.value.detail == "401013 · *** is not valid"
    assert "AEP_ACCESS_TOKEN" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "trouble",
    [
        [answer(429), answer(429, {"error": "slow_down"}, retry_after="3")],
        [answer(500), answer(503), answer(502)],
        [fail(httpx.ReadError("reset")), fail(httpx.ConnectError("refused")), fail(httpx.ReadTimeout("slow"))],
        [answer(200, {"expires_in": 5}), answer(200, []), lambda: httpx.Response(200, text="<html>login</html>")],
    ],
)
def test_a_token_server_in_trouble_is_asked_again(trouble: list[Callable[[], httpx.Response]]) -> None:
    ims = Ims()
    ims.trouble = list(trouble)
    run(ask(ims))
    assert len(ims.asked) == len(trouble) + 1


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"error": "invalid_scope", "error_description": f"not for {CLIENT_SECRET} {quote_plus(CLIENT_SECRET)}"}),
        (401, {"error": "invalid_client", "error_description": f"{KEY} unknown"}),
        (403, None),
    ],
)
def test_a_refused_credential_is_final_and_names_the_variables_only(status: int, body: Json) -> None:
    async def main() -> list[Unauthorized]:
        ims, errors = Ims(), []
        ims.trouble = [answer(status, body)]
        async with talking_to(ims, credentials=SERVER_TO_SERVER) as platform:
            for _ in range(3):
                with pytest.raises(Unauthorized) as caught:
                    await platform.ingestion.create(a_request(), about_to_send=nothing)
                errors.append(caught.value)
        assert len(ims.asked) == 1
        return errors

    for error in run(main()):
        assert error.status == 401
        assert f"({status})" in error.summary
        said = f"{error} {error.summary} {error.detail} {error.hint}"
        assert "AEP_CLIENT_SECRET" in said
        assert not any(secret in said for secret in (CLIENT_SECRET, quote_plus(CLIENT_SECRET), KEY))


def test_without_a_token_nothing_was_sent() -> None:
    async def main() -> float:
        ims, sent = Ims(), []

        async def serve(request: httpx.Request) -> httpx.Response:
            if request.url.host == "ims-na1.adobelogin.com":
                raise httpx.ConnectTimeout("no way")
            return await ims(request)

        async def note() -> None:
            sent.append(1)

        async with talking_to(serve, credentials=SERVER_TO_SERVER, deadline=60) as platform:
            with pytest.raises(NeverSent) as caught:
                await platform.ingestion.create(a_request(), about_to_send=note)
        assert "AEP_IMS_URL" in (caught.value.hint or "")
        assert not sent
        return clock() - 1_000

    assert run(main()) < 30, "six tries, then it is told"


def test_one_who_gives_up_waiting_does_not_end_the_renewal_of_the_others() -> None:
    async def main() -> int:
        ims = Ims()
        async with talking_to(ims, credentials=SERVER_TO_SERVER) as platform:
            first = asyncio.create_task(platform.catalog.dataset_exists(DATASET))
            second = asyncio.create_task(platform.catalog.dataset_exists(DATASET))
            await asyncio.sleep(0.01)
            first.cancel()
            assert await second
        return len(ims.asked)

    assert run(main()) == 1


def test_closing_ends_a_renewal_under_way() -> None:
    async def main() -> None:
        async with talking_to(Ims(), credentials=SERVER_TO_SERVER) as platform:
            waiting = asyncio.create_task(platform.catalog.dataset_exists(DATASET))
            await asyncio.sleep(0.01)
        with pytest.raises((asyncio.CancelledError, PlatformError)):
            await waiting

    run(main())


@pytest.mark.parametrize(
    ("expires_in", "usable_for"),
    [
        (86_399, 86_099),
        ("3600", 3_300),
        (1_200, 900),
        (2, 1.5),
        (86_399_992, 86_100),
        (None, 3_300),
        (0, 3_300),
        (-5, 3_300),
        (True, 3_300),
        ("soon", 3_300),
        ([], 3_300),
    ],
)
def test_a_token_is_renewed_before_it_ends(expires_in: Json, usable_for: float) -> None:
    assert read_token({"access_token": "abcd", "expires_in": expires_in}, 100.0).usable_until == 100 + usable_for


@pytest.mark.parametrize("token", [None, "", 7, "two words", "line\nbreak", "ümlaut", ["abcd"]])
def test_what_cannot_be_a_header_is_no_token(token: Json) -> None:
    with pytest.raises(ValueError, match="no access token"):
        read_token({"access_token": token}, 0.0)
