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
from reconciler.platform.proxies import proxy_for
from reconciler.ports import Catalog, Ingestion
from reconciler.settings import Endpoints, Redactor
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


API_URL, IMS_URL = "https://platform.adobe.io", "https://ims-na1.adobelogin.com"
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*PROXIES, *map(str.lower, PROXIES), "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("parallelism", [1, 8, 256])
def test_there_is_a_client_for_each_request_in_flight_and_they_share_one_tls_context(parallelism: int) -> None:
    clients = _clients(parallelism, (API_URL, IMS_URL), Redactor())
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


def goes_by_proxy(url: str) -> bool:
    (client,) = _clients(1, (url, IMS_URL), Redactor())
    return client._transport_for_url(httpx.URL(f"{url}/data")) is not client._transport


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "ALL_PROXY", "https_proxy"])
def test_proxies_of_the_environment_are_used_but_never_for_plain_http(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "http://proxy.example:3128")
    assert goes_by_proxy("https://platform.adobe.io")
    assert not goes_by_proxy("http://127.0.0.1:8080")
    assert not goes_by_proxy("https://localhost:8443")
    assert not goes_by_proxy("https://[::1]:8443")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTPS_PROXY", "gopher://u:pass-word@proxy"),
        ("ALL_PROXY", "http://host:port"),
        ("ALL_PROXY", "socks5://host:1080"),
        ("HTTPS_PROXY", "http://u:pass-word@"),
        ("HTTPS_PROXY", "http://u:pass-word@my proxy:3128"),
        ("HTTPS_PROXY", "::1:3128"),
        ("HTTPS_PROXY", "http://[fe80::1%25eth0]:1"),
        ("HTTPS_PROXY", "http://proxy\u00e9\u0001:1"),
        ("HTTPS_PROXY", "http://xn--0000000h:1"),
        ("HTTPS_PROXY", "http://proxy:0"),
        ("HTTPS_PROXY", "http://proxy:99999"),
        ("HTTPS_PROXY", "://"),
    ],
)
def test_a_senseless_proxy_is_a_setting_that_is_wrong(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsInvalid) as caught:
        opening(READY, ENVIRONMENT)
    assert "pass-word" not in f"{caught.value.summary}{caught.value.detail}{caught.value.hint}"
    assert name in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("no_proxy", "url", "by_proxy"),
    [
        ("fd00::/8", "https://platform.adobe.io", True),
        ("[::1]", "https://platform.adobe.io", True),
        ("[fd00::/8],::1/128, 10.0.0.0/8 ,[", "https://platform.adobe.io", True),
        ("fd00::/8", "https://[fd00::5]", False),
        ("[fd00::5]", "https://[fd00::5]:8443", False),
        ("fd00::5", "https://[fd00::6]", True),
        ("10.0.0.0/8", "https://10.1.2.3", False),
        ("10.1.2.3", "https://10.1.2.3", False),
        ("10.1.2.0/24", "https://10.1.3.3", True),
        ("adobe.io", "https://platform.adobe.io", False),
        (".adobe.io", "https://platform.adobe.io", False),
        ("*.adobe.io", "https://platform.adobe.io", False),
        ("PLATFORM.adobe.IO", "https://platform.adobe.io", False),
        ("https://platform.adobe.io/", "https://platform.adobe.io", False),
        ("dobe.io", "https://platform.adobe.io", True),
        ("localhost other.example adobe.io", "https://platform.adobe.io", False),
        ("*", "https://platform.adobe.io", False),
        ("localhost,*", "https://platform.adobe.io", False),
        (",,; \u00e9 %zz ::: http:// [] ../..", "https://platform.adobe.io", True),
    ],
)
def test_no_proxy_takes_names_addresses_and_networks_and_nothing_in_it_ends_a_command(
    no_proxy: str, url: str, by_proxy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert goes_by_proxy(url) is by_proxy


def test_a_variable_that_no_request_goes_by_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "no : proxy")
    opening(READY, ENVIRONMENT)
    monkeypatch.setenv("HTTPS_PROXY", "no : proxy")
    monkeypatch.setenv("NO_PROXY", "adobe.io,adobelogin.com")
    opening(READY, ENVIRONMENT)


@pytest.mark.parametrize("value", ["http://[::1]:3128", "https://u:pass%2Dword@proxy.example", "proxy.example"])
def test_a_proxy_has_any_address_and_its_password_is_shown_nowhere(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", value)
    redactor = Redactor()
    assert proxy_for(API_URL, ssl.create_default_context(), redactor) is not None
    if "@" in value:
        assert redactor.redact("pass-word pass%2Dword dTpwYXNzLXdvcmQ=") == "*** *** ***"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://xn--pltform-4fg.adobe.io", "xn--pltform-4fg.adobe.io"),
        ("https://xn--0000000h.example", "xn--0000000h.example"),
        ("https://999.1.1.1", "999.1.1.1"),
        ("https://a..b", None),
        ("https://-a.example", None),
        (f"https://{'a' * 64}.example", None),
        ("https://pl\u0430tform.adobe.io", None),
    ],
)
@pytest.mark.parametrize("name", ["AEP_API_URL", "AEP_IMS_URL"])
def test_a_host_that_can_hide_or_cannot_be_looked_up_is_a_setting_that_is_wrong(
    name: str, url: str, shown: str | None
) -> None:
    endpoints = Endpoints(api_url=url) if name == "AEP_API_URL" else Endpoints(ims_url=url)
    with pytest.raises(SettingsInvalid) as caught:
        opening(READY, ENVIRONMENT, endpoints=endpoints)
    assert name in caught.value.summary
    assert caught.value.summary.isascii()
    assert shown is None or f"`{shown}`" in caught.value.summary


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
