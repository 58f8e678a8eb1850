"""Which proxy a request goes by, as the variables of the environment say. Nothing is sent, and no password is shown.

httpx reads the same variables, but makes URLs of everything in `NO_PROXY` and fails on an IPv6 network, on an address
in brackets, and on a variable that no request of ours goes by.
"""

from __future__ import annotations

import re
from base64 import b64encode
from importlib.util import find_spec
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING
from urllib.request import getproxies

import httpx

from reconciler.core.errors import SettingsInvalid
from reconciler.settings import Secret, is_loopback

if TYPE_CHECKING:
    import ssl

    from reconciler.settings import Redactor

VARIABLES = {"https": "HTTPS_PROXY", "all": "ALL_PROXY"}
"""By the name that the standard library gives it: in capitals or not, the first one that is set. Plain http is for this
machine only (`settings.check_url`), so `HTTP_PROXY` is for no request of ours."""
SCHEMES = {"http", "https", "socks5", "socks5h"}
HTTPS_PORT, LARGEST_PORT = 443, 65_535


def proxy_for(url: str, context: ssl.SSLContext, redactor: Redactor) -> httpx.Proxy | None:
    """The proxy for a checked URL, None where there is none. This machine is never asked for by one.

    A password in the proxy's URL is added to `redactor`. Raises `SettingsInvalid` for a variable that is none.
    """
    given = getproxies()
    name = next((name for name in VARIABLES if given.get(name)), None)
    if name is None or is_loopback(url) or _bypasses(given.get("no", ""), httpx.URL(url)):
        return None
    return _proxy(VARIABLES[name], given[name], context, redactor)


def _bypasses(no_proxy: str, url: httpx.URL) -> bool:
    """Whether `NO_PROXY` names the host: itself, a domain above it, a network that it lies in, or `*`."""
    host = url.host.rstrip(".")
    names = (f".{host}", f".{host}:{url.port or HTTPS_PORT}")
    entries = [re.sub(r"^[a-z]+://|/$", "", entry.lower()) for entry in re.split(r"[,\s]+", no_proxy)]
    return any(
        entry == "*" or _network_holds(entry, host) or any(name.endswith(f".{entry.lstrip('*.')}") for name in names)
        for entry in filter(None, entries)
    )


def _network_holds(entry: str, host: str) -> bool:
    try:
        return ip_address(host) in ip_network(re.sub(r"[\[\]]", "", entry), strict=False)
    except ValueError:  # one of both is a name
        return False


def _proxy(variable: str, value: str, context: ssl.SSLContext, redactor: Redactor) -> httpx.Proxy:
    url = _url(value if "://" in value else f"http://{value}")
    if url is None:  # no detail, no cause: it may hold a password
        raise SettingsInvalid(
            f"`{variable}` holds no URL of a proxy",
            hint=f"set `{variable}` to `http://HOST:PORT`, unset it, or name the host of AEP in `NO_PROXY`",
        )
    if url.scheme.startswith("socks") and find_spec("socksio") is None:
        raise SettingsInvalid(
            f"`{variable}` names a SOCKS proxy, for which a package is missing",
            hint=f"`pip install 'httpx[socks]'`, or set `{variable}` to an HTTP proxy",
        )
    if url.password:
        header = b64encode(f"{url.username}:{url.password}".encode()).decode()
        for password in (url.password, url.userinfo.decode().partition(":")[2], header):  # as is, as written, as sent
            redactor.add(Secret(password))
    return httpx.Proxy(url, ssl_context=context if url.scheme == "https" else None)


def _url(text: str) -> httpx.URL | None:
    """The URL of a proxy that can be connected to; None for any other text."""
    try:
        url = httpx.URL(text)
        has_host = re.fullmatch(r"[\w.:-]+", url.host) is not None
    except (ValueError, httpx.InvalidURL):
        return None
    has_port = url.port is None or 0 < url.port <= LARGEST_PORT
    return url if has_host and has_port and url.scheme in SCHEMES else None
