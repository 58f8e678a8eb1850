"""Puts the adapter together; nothing else in the package makes httpx clients. Opens no connection by itself."""

from __future__ import annotations

import ssl
from contextlib import asynccontextmanager, suppress
from http.cookiejar import CookieJar
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx

from reconciler import __version__
from reconciler.core.errors import SettingsInvalid
from reconciler.core.pace import DEFAULT, Pace
from reconciler.platform.auth import GatewayAuth, Tokens
from reconciler.platform.catalog import AepCatalog
from reconciler.platform.exchange import Exchange
from reconciler.platform.ingestion import AepIngestion
from reconciler.platform.proxies import proxy_for
from reconciler.platform.retry import Retries
from reconciler.platform.throttling import ConcurrencyLimit, RateLimit
from reconciler.ports import Platform
from reconciler.settings import API_URL, IMS_URL, Endpoints, Redactor, check_url

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

    from reconciler.core.manifests.project import Environment
    from reconciler.settings import Credentials

CONNECTIONS_OF_A_CLIENT = 2
"""One for AEP, one for the token server. Not more, since httpcore looks at every idle connection twice in each request,
and most are idle while the run waits for an fsync: a third of the time of a create (tests/benchmarks/NOTES.md)."""
KEEP_ALIVE = 4.0
"""Seconds that an idle connection is kept: less than the five after which common servers and proxies close it, so that
no create is sent on a connection that is being closed."""
LIMITS = httpx.Limits(
    max_connections=CONNECTIONS_OF_A_CLIENT,
    max_keepalive_connections=CONNECTIONS_OF_A_CLIENT,
    keepalive_expiry=KEEP_ALIVE,
)
TIMEOUT = httpx.Timeout(60.0, connect=10.0)
"""Seconds to connect, and seconds that a read or write may pause."""


@asynccontextmanager
async def open_platform(
    credentials: Credentials,
    environment: Environment,
    *,
    endpoints: Endpoints | None = None,
    pace: Pace = DEFAULT,
    retries: Retries | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
    redactor: Redactor | None = None,
) -> AsyncIterator[Platform]:
    """Open AEP for one environment; nothing is sent before one of its methods is called.

    A `transport` takes the place of the network: the embedded emulator, or a test. Every new token is added to
    `redactor`. Raises `SettingsInvalid` for a URL, a proxy variable or a certificate file that cannot be used.
    """
    endpoints = endpoints or Endpoints()
    api_url, ims_url = _checked_url(API_URL, endpoints.api_url), _checked_url(IMS_URL, endpoints.ims_url)
    retries = retries or Retries()
    redactor = redactor or Redactor.for_credentials(credentials)
    clients = [_client(transport)] if transport else _clients(pace.parallelism, (api_url, ims_url), redactor)
    tokens = Tokens(credentials, ims_url, clients[0], retries, redactor)
    exchange = Exchange(
        clients,
        tokens=tokens,
        auth=GatewayAuth(tokens, credentials, environment),
        concurrency=ConcurrencyLimit(pace.parallelism, retries.timing),
        rate=RateLimit(pace.rate, retries.timing),
        retries=retries,
        redactor=redactor,
    )
    try:
        catalog = AepCatalog(exchange, api_url, pace.parallelism)
        yield Platform(catalog, AepIngestion(exchange, api_url, environment.org, pace.part_bytes))
    finally:
        await exchange.aclose()


def _checked_url(name: str, text: str) -> str:
    """Return the URL of a service, whose host can be looked up and is what it looks like. Raises `SettingsInvalid`."""
    url = check_url(name, text)
    with suppress(ValueError, httpx.InvalidURL):
        if httpx.URL(url).host.isascii():  # reads the Punycode of `xn--`
            return url
    raise SettingsInvalid(
        f"`{name}` has a host that none of AEP can have: `{urlsplit(url).hostname}`",
        hint="the credential goes there: compare it, letter by letter, with the host that your organisation uses",
    )


def _clients(parallelism: int, urls: Iterable[str], redactor: Redactor) -> list[httpx.AsyncClient]:
    """One client for each request in flight. They share one TLS context, which takes long to make."""
    try:
        context = httpx.create_ssl_context()
    except (OSError, ssl.SSLError) as error:
        raise SettingsInvalid(
            "the certificates to trust cannot be read",
            detail=str(error),
            hint="check `SSL_CERT_FILE` and `SSL_CERT_DIR`",
        ) from error
    proxies = {url: proxy for url in urls if (proxy := proxy_for(url, context, redactor)) is not None}

    def transport(proxy: httpx.Proxy | None = None) -> httpx.AsyncHTTPTransport:
        return httpx.AsyncHTTPTransport(verify=context, limits=LIMITS, proxy=proxy)

    return [_client(transport(), {url: transport(proxies[url]) for url in proxies}) for _ in range(parallelism)]


class _NoCookies(CookieJar):
    """Keeps no cookies: AEP needs none, and parsing each answer for them takes time."""

    def extract_cookies(self, response: object, request: object) -> None:
        """Take none."""


def _client(
    transport: httpx.AsyncBaseTransport, mounts: Mapping[str, httpx.AsyncBaseTransport] | None = None
) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=transport,
        mounts=mounts,
        timeout=TIMEOUT,
        cookies=_NoCookies(),
        headers={"user-agent": f"reconciler/{__version__}", "accept-encoding": "gzip"},
        trust_env=False,  # `proxies` reads the variables
    )
