"""What an answer, or the lack of one, means: every status class and every exception of httpx has its place."""

from __future__ import annotations

import ssl

import httpx
import pytest

from reconciler.platform.outcome import Outcome, is_untrusted, outcome_of_error, outcome_of_status

DONE, REJECTED, THROTTLED = Outcome.DONE, Outcome.REJECTED, Outcome.THROTTLED
UNAUTHORIZED, UNKNOWN, NEVER_SENT = Outcome.UNAUTHORIZED, Outcome.UNKNOWN, Outcome.NEVER_SENT


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        *((status, DONE) for status in (200, 201, 202, 204, 206, 299)),
        *((status, REJECTED) for status in (300, 301, 302, 303, 304, 307, 308, 399)),
        *((status, REJECTED) for status in (400, 402, 403, 404, 405, 409, 412, 413, 414, 415, 422, 451, 499)),
        (401, UNAUTHORIZED),
        (429, THROTTLED),
        *((status, UNKNOWN) for status in (408, 425, 500, 501, 502, 503, 504, 520, 529, 599)),
        *((status, UNKNOWN) for status in (100, 103, 199, 600, 999)),
    ],
)
def test_each_status_has_one_meaning(status: int, outcome: Outcome) -> None:
    assert outcome_of_status(status) is outcome


ERRORS: dict[type[httpx.HTTPError | httpx.InvalidURL], Outcome] = {
    httpx.ConnectError: NEVER_SENT,
    httpx.ConnectTimeout: NEVER_SENT,
    httpx.PoolTimeout: NEVER_SENT,
    httpx.ProxyError: NEVER_SENT,
    httpx.UnsupportedProtocol: NEVER_SENT,
    httpx.InvalidURL: NEVER_SENT,
    httpx.CloseError: UNKNOWN,
    httpx.DecodingError: UNKNOWN,
    httpx.HTTPError: UNKNOWN,
    httpx.HTTPStatusError: UNKNOWN,
    httpx.LocalProtocolError: UNKNOWN,
    httpx.NetworkError: UNKNOWN,
    httpx.ProtocolError: UNKNOWN,
    httpx.ReadError: UNKNOWN,
    httpx.ReadTimeout: UNKNOWN,
    httpx.RemoteProtocolError: UNKNOWN,
    httpx.RequestError: UNKNOWN,
    httpx.TimeoutException: UNKNOWN,
    httpx.TooManyRedirects: UNKNOWN,
    httpx.TransportError: UNKNOWN,
    httpx.WriteError: UNKNOWN,
    httpx.WriteTimeout: UNKNOWN,
}
MISUSE = {
    httpx.CookieConflict,
    httpx.RequestNotRead,
    httpx.ResponseNotRead,
    httpx.StreamClosed,
    httpx.StreamConsumed,
    httpx.StreamError,
}
"""Raised only by a mistake in our own code: a bug must not look like a bad network."""


def test_every_exception_of_httpx_is_accounted_for() -> None:
    names = {name: getattr(httpx, name) for name in dir(httpx)}
    known = {each for each in names.values() if isinstance(each, type) and issubclass(each, Exception)}
    assert known == set(ERRORS) | MISUSE


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_each_exception_has_one_meaning(kind: type[httpx.HTTPError | httpx.InvalidURL]) -> None:
    request = httpx.Request("POST", "https://platform.adobe.io")
    error = (
        httpx.HTTPStatusError("broken", request=request, response=httpx.Response(500))
        if kind is httpx.HTTPStatusError
        else kind("broken")
    )
    assert outcome_of_error(error) is ERRORS[kind]


def test_a_refused_certificate_is_found_behind_its_wrappings() -> None:
    error = httpx.ConnectError("handshake")
    error.__cause__ = OSError("deeper")
    assert not is_untrusted(error)
    error.__cause__.__context__ = ssl.SSLCertVerificationError("self-signed")
    assert is_untrusted(error)
