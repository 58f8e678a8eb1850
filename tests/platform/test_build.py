"""How the adapter is put together: clients, TLS, proxies, and a real socket."""

from __future__ import annotations

import asyncio
import json
import ssl
from typing import TYPE_CHECKING, Any

import httpcore
import httpx
import pytest

from reconciler.core.errors import NeverSent, SettingsInvalid
from reconciler.core.pace import Pace
from reconciler.platform import Retries, open_platform
from reconciler.platform.build import _clients
from reconciler.platform.catalog import AepCatalog
from reconciler.platform.ingestion import AepIngestion
from reconciler.ports import Catalog, Ingestion
from reconciler.settings import Endpoints
from tests.platform.servers import DATASET, ENVIRONMENT, READY, SERVER_TO_SERVER, Script, a_request, nothing, talking_to
from tests.platform.virtual import run

if TYPE_CHECKING:
    from pathlib import Path


def opening(*arguments: Any, **named: Any) -> None:
    """Open a platform and close it again."""

    async def main() -> None:
        async with open_platform(*arguments, **named):
            pass

    asyncio.run(main())


PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*PROXIES, *map(str.lower, PROXIES), "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("parallelism", [1, 8, 256])
def test_there_is_a_client_for_each_request_in_flight_and_they_share_one_tls_context(parallelism: int) -> None:
    clients = _clients(parallelism)
    contexts = {id(_pool(client)._ssl_context) for client in clients}
    assert (len(clients), len(contexts)) == (parallelism, 1)
    context = _pool(clients[0])._ssl_context
    assert isinstance(context, ssl.SSLContext)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def _pool(client: httpx.AsyncClient) -> httpcore.AsyncConnectionPool:
    transport = client._transport
    assert isinstance(transport, httpx.AsyncHTTPTransport)
    assert isinstance(transport._pool, httpcore.AsyncConnectionPool)
    return transport._pool


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "ALL_PROXY"])
def test_proxies_of_the_environment_are_used_but_never_for_plain_http(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "http://proxy.example:3128")
    (client,) = _clients(1)
    direct = client._transport
    assert client._transport_for_url(httpx.URL("https://platform.adobe.io")) is not direct
    assert client._transport_for_url(httpx.URL("http://127.0.0.1:8080")) is direct


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTPS_PROXY", "gopher://u:pass-word@proxy"),
        ("ALL_PROXY", "http://host:port"),
        ("ALL_PROXY", "socks5://host:1080"),
    ],
)
def test_a_senseless_proxy_is_a_setting_that_is_wrong(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsInvalid) as caught:
        opening(READY, ENVIRONMENT)
    assert "pass-word" not in f"{caught.value.summary}{caught.value.detail}{caught.value.hint}"
    assert name in (caught.value.hint or "")


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_senseless_certificate_file_is_a_setting_that_is_wrong(
    content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "ca.pem"
    if content is not None:
        bundle.write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    with pytest.raises(SettingsInvalid) as caught:
        opening(READY, ENVIRONMENT)
    assert "SSL_CERT_FILE" in (caught.value.hint or "")


def test_each_half_of_the_platform_is_the_port_that_the_shell_asks_for() -> None:
    for port, adapter in ((Catalog, AepCatalog), (Ingestion, AepIngestion)):
        operations = {name for name in vars(port) if not name.startswith("_")}
        assert operations == {name for name in vars(adapter) if not name.startswith("_")}
    assert not {name for name in vars(AepCatalog) if name in vars(AepIngestion) and not name.startswith("_")}


def test_plain_http_to_elsewhere_is_refused_here_too() -> None:
    with pytest.raises(SettingsInvalid):
        opening(READY, ENVIRONMENT, endpoints=Endpoints(api_url="http://platform.adobe.io"))
    with pytest.raises(SettingsInvalid):
        opening(READY, ENVIRONMENT, endpoints=Endpoints(ims_url="http://ims.example"))


def test_a_certificate_that_is_not_trusted_is_not_tried_again() -> None:
    error = httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED]")
    error.__cause__ = ssl.SSLCertVerificationError("self-signed certificate")
    script = Script(error)

    async def main() -> None:
        async with talking_to(script) as platform:
            await platform.ingestion.create(a_request(), about_to_send=nothing)

    with pytest.raises(NeverSent) as caught:
        run(main())
    assert len(script.requests) == 1
    assert "SSL_CERT_FILE" in (caught.value.hint or "")


class Socket:
    """A small HTTP server on a real socket: answers each request with the JSON for its path."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.in_flight = self.most = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                await reader.readexactly(int(length[0].split(b":")[1]) if length else 0)
                self.heads.append(head)
                self.in_flight += 1
                self.most = max(self.most, self.in_flight)
                await asyncio.sleep(0.02)
                self.in_flight -= 1
                body = json.dumps(self._answer(head)).encode()
                writer.write(b"HTTP/1.1 201 Created\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
                await writer.drain()
        except asyncio.IncompleteReadError:
            writer.close()

    @staticmethod
    def _answer(head: bytes) -> object:
        if b"/ims/token/v3" in head:
            return {"access_token": "socket-token", "expires_in": 3600}
        return {"id": "B1"} if head.startswith(b"POST") else {DATASET: {}}


def test_over_a_real_socket_wide_and_with_a_proxy_variable_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")

    async def main() -> Socket:
        socket = Socket()
        server = await asyncio.start_server(socket, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with open_platform(
            SERVER_TO_SERVER,
            ENVIRONMENT,
            endpoints=Endpoints(url, url),
            pace=Pace(parallelism=40),
            retries=Retries(20),
        ) as platform:
            assert await platform.ingestion.create(a_request(), about_to_send=nothing) == "B1"
            assert all(await asyncio.gather(*(platform.catalog.dataset_exists(DATASET) for _ in range(200))))
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0)
        return socket

    socket = asyncio.run(main())
    assert 16 < socket.most <= 40
    assert sum(b"/ims/token/v3" in head for head in socket.heads) == 1
    assert all(b"authorization: bearer socket-token" in head.lower() for head in socket.heads[1:])
    assert all(b"user-agent: reconciler/" in head.lower() for head in socket.heads)


def test_where_nobody_listens_nothing_is_sent() -> None:
    async def main() -> None:
        nowhere = Endpoints("http://127.0.0.1:9", "http://127.0.0.1:9")
        async with open_platform(READY, ENVIRONMENT, endpoints=nowhere, retries=Retries(0.3)) as platform:
            await platform.ingestion.create(a_request(), about_to_send=nothing)

    with pytest.raises(NeverSent) as caught:
        asyncio.run(main())
    assert "AEP_API_URL" in (caught.value.hint or "")
