"""The settings in environment variables, as values; and secrets, which no text, log or error of ours ever shows."""

from __future__ import annotations

import logging
import re
from collections import deque
from dataclasses import dataclass
from difflib import get_close_matches
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus, urlsplit

from reconciler.core.errors import SettingsInvalid

if TYPE_CHECKING:
    from collections.abc import Mapping

CLIENT_ID = "AEP_CLIENT_ID"
CLIENT_SECRET = "AEP_CLIENT_SECRET"  # noqa: S105  (a variable's name)
SCOPES = "AEP_SCOPES"
ACCESS_TOKEN = "AEP_ACCESS_TOKEN"  # noqa: S105  (a variable's name)
API_KEY = "AEP_API_KEY"
API_URL = "AEP_API_URL"
IMS_URL = "AEP_IMS_URL"
VARIABLES = (CLIENT_ID, CLIENT_SECRET, SCOPES, ACCESS_TOKEN, API_KEY, API_URL, IMS_URL)

DEFAULT_API_URL = "https://platform.adobe.io"
DEFAULT_IMS_URL = "https://ims-na1.adobelogin.com"
DEFAULT_SCOPES = "openid,AdobeID,read_organizations,additional_info.projectedProductContext"
"""What Developer Console usually lists for an AEP credential. The first three are documented; where a project has
others, `AEP_SCOPES` names them (aep-api.md §2.1)."""

_LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*\.?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")
"""A name or an IPv4 address, or an IPv6 address: what can be looked up."""

MASK = "***"
SHORTEST_SECRET = 4
"""Characters; anything shorter is no secret, and masking it would make messages unreadable."""
MOST_TOKENS = 64
"""Added secrets that are remembered: enough for every token that can still be valid."""


class Secret:
    """A text that shows as `***` wherever it is printed, formatted or logged."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself: only for the header or form that needs it."""
        return self._text

    def __repr__(self) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __reduce__(self) -> str:
        raise TypeError("a secret is never written anywhere")


@dataclass(frozen=True, slots=True)
class ServerToServer:
    """An OAuth server-to-server credential, for which IMS gives tokens (aep-api.md §2.1)."""

    client_id: Secret
    client_secret: Secret
    scopes: str = DEFAULT_SCOPES

    @property
    def api_key(self) -> Secret:
        """The value of `x-api-key`: the client id."""
        return self.client_id


@dataclass(frozen=True, slots=True)
class ReadyToken:
    """An access token that the user got elsewhere, and the API key that it belongs to. It cannot be renewed."""

    access_token: Secret
    api_key: Secret


Credentials = ServerToServer | ReadyToken


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The URLs of AEP and of its token server, without a slash at the end."""

    api_url: str = DEFAULT_API_URL
    ims_url: str = DEFAULT_IMS_URL


def read_credentials(env: Mapping[str, str]) -> Credentials:
    """Return the credential that the variables hold; an empty variable counts as not set.

    Raises `SettingsInvalid` if none is complete, if there are two, and for a value that cannot be one.
    """
    given = {name: value for name in VARIABLES if (value := _value(env, name))}
    if ACCESS_TOKEN in given and CLIENT_SECRET in given:
        raise SettingsInvalid(
            f"both `{ACCESS_TOKEN}` and `{CLIENT_SECRET}` are set",
            hint=f"unset one: `{CLIENT_SECRET}` gets tokens by itself, `{ACCESS_TOKEN}` is one that is ready",
        )
    if ACCESS_TOKEN in given:
        _require(given, env, (ACCESS_TOKEN, API_KEY))
        return ReadyToken(Secret(given[ACCESS_TOKEN]), Secret(given[API_KEY]))
    _require(given, env, (CLIENT_ID, CLIENT_SECRET))
    scopes = given.get(SCOPES, DEFAULT_SCOPES)
    return ServerToServer(Secret(given[CLIENT_ID]), Secret(given[CLIENT_SECRET]), scopes)


def read_endpoints(env: Mapping[str, str]) -> Endpoints:
    """Return where requests are sent. Raises `SettingsInvalid` for a URL to which no credential must be sent."""
    return Endpoints(
        api_url=check_url(API_URL, _value(env, API_URL) or DEFAULT_API_URL),
        ims_url=check_url(IMS_URL, _value(env, IMS_URL) or DEFAULT_IMS_URL),
    )


def _value(env: Mapping[str, str], name: str) -> str:
    text = env.get(name, "").strip()
    if name == SCOPES:
        text = ",".join(filter(None, re.split(r"[,\s]+", text)))
    if not re.fullmatch(r"[!-~]*", text):
        host = _ascii_host(text) if name in {API_URL, IMS_URL} else ""
        raise SettingsInvalid(
            f"`{name}` holds a blank, a line break or a character that is not ASCII{host}",
            hint="copy the value again: quotes, line breaks and notes around it are no part of it",
        )
    return text


def _ascii_host(url: str) -> str:
    """A half-sentence that shows which host a URL really names: letters of two alphabets look alike."""
    try:
        host = (urlsplit(url).hostname or "").encode("idna").decode()
    except ValueError:
        return ""
    return f": its host is `{host}`" if host.startswith("xn--") or ".xn--" in host else ""


def _require(given: Mapping[str, str], env: Mapping[str, str], needed: tuple[str, ...]) -> None:
    missing = [name for name in needed if name not in given]
    if not missing:
        return
    names = " and ".join(f"`{name}`" for name in missing)
    raise SettingsInvalid(
        f"no credential for AEP: {names} {'are' if len(missing) > 1 else 'is'} not set",
        hint=f"{_misspelt(env, missing)}set `{CLIENT_ID}` and `{CLIENT_SECRET}`, or `{ACCESS_TOKEN}` and `{API_KEY}`",
    )


def _misspelt(env: Mapping[str, str], missing: list[str]) -> str:
    """The start of a hint if a variable's name looks misspelt; its value is not read."""
    for name in sorted(env):
        if name in VARIABLES or not name.upper().startswith("AEP"):
            continue
        near = get_close_matches(name.upper(), missing, n=1, cutoff=0.8)
        if near:
            return f"did you mean `{near[0]}` by `{name}`? Else "
    return ""


def check_url(name: str, url: str) -> str:
    """Return the URL without a slash at its end.

    Raises `SettingsInvalid` unless it is https, or http to this machine, and has nothing but host, port and path. The
    message does not repeat the URL, which may hold a password.
    """
    try:
        parts = urlsplit(url)
        has_port = parts.port is None or parts.port > 0
    except ValueError:
        raise _bad_url(name, "is not a URL") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or not has_port:
        raise _bad_url(name, "is not a web address with a host")
    if "@" in parts.netloc or "?" in url or "#" in url:
        raise _bad_url(name, "has a user, a query or a fragment")
    if not _HOST.fullmatch(parts.hostname) or "\\" in url:
        raise _bad_url(name, "has a host that cannot be one")
    if parts.scheme == "http" and not is_loopback(url):
        raise _bad_url(name, "is plain http, which would show the credential to everybody on the way")
    return url.rstrip("/")


def _bad_url(name: str, why: str) -> SettingsInvalid:
    return SettingsInvalid(
        f"`{name}` {why}",
        hint="give `https://HOST` (plain http only to `localhost`, `127.0.0.1` or `[::1]`), or leave it unset",
    )


def is_loopback(url: str) -> bool:
    """Whether a URL names this machine."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _spellings(secret: Secret) -> list[str]:
    """The secret as it is, and as URLs and forms encode it."""
    text = secret.reveal()
    spellings = dict.fromkeys((text, quote(text, safe=""), quote_plus(text)))
    return [each for each in spellings if len(each) >= SHORTEST_SECRET]


class Redactor(logging.Filter):
    """Masks secrets in text that comes from outside and, as a filter of a log handler, in log records."""

    def __init__(self, *secrets: Secret) -> None:
        super().__init__()
        self._permanent = tuple(text for secret in secrets for text in _spellings(secret))
        self._added: deque[str] = deque(maxlen=MOST_TOKENS)

    @classmethod
    def for_credentials(cls, credentials: Credentials) -> Redactor:
        """Return one that masks everything that is secret in a credential."""
        match credentials:
            case ServerToServer(client_id=client_id, client_secret=client_secret):
                return cls(client_id, client_secret)
            case ReadyToken(access_token=access_token, api_key=api_key):
                return cls(access_token, api_key)

    def add(self, secret: Secret) -> None:
        """Mask this secret too from now on, such as a new token. Only the last ones that were added are remembered."""
        self._added.extend(_spellings(secret))

    def redact(self, text: str) -> str:
        """Return the text with every secret masked, also where it stands as URLs and forms encode it."""
        for secret in sorted((*self._permanent, *self._added), key=len, reverse=True):
            text = text.replace(secret, MASK)
        return text

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask the record's message and traceback. True: no record is dropped."""
        record.msg, record.args = self.redact(record.getMessage()), ()
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = self.redact(record.exc_text)
        return True
