"""The one place that says what an answer, or the lack of one, means for the request (design.md §5). No I/O.

DONE          2xx: it was done
REJECTED      a definite no: no effect, and repeating it would not help (any 3xx or 4xx that is not named below)
THROTTLED     429: no effect, try again later
NEVER_SENT    no connection was made: no effect
UNAUTHORIZED  401: no effect, the token may have ended
UNKNOWN       it may or may not have had its effect: a timeout, a cut connection, 408, 425, any 5xx
"""

from __future__ import annotations

import ssl
from enum import StrEnum
from http import HTTPStatus

import httpx


class Outcome(StrEnum):
    """What is known about a request after one attempt."""

    DONE = "done"
    REJECTED = "rejected"
    THROTTLED = "throttled"
    NEVER_SENT = "never sent"
    UNAUTHORIZED = "unauthorized"
    UNKNOWN = "unknown"


WITHOUT_EFFECT = frozenset({Outcome.NEVER_SENT, Outcome.THROTTLED})
"""After these anything can safely be sent again, even a create."""

WITHOUT_VERDICT = WITHOUT_EFFECT | {Outcome.UNKNOWN}
"""After these a read or an idempotent write can safely be sent again."""

_NO_VERDICT = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY})

_NOT_CONNECTED = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,  # raised while a tunnel is made, before the request
    httpx.UnsupportedProtocol,
    httpx.InvalidURL,
)


def outcome_of_status(status: int) -> Outcome:
    """Return what an HTTP status means. A redirect is a no: it is never followed, so nothing was done."""
    if status == HTTPStatus.UNAUTHORIZED:
        return Outcome.UNAUTHORIZED
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Outcome.THROTTLED
    if httpx.codes.is_success(status):
        return Outcome.DONE
    is_verdict = httpx.codes.is_redirect(status) or httpx.codes.is_client_error(status)
    if is_verdict and status not in _NO_VERDICT:
        return Outcome.REJECTED
    return Outcome.UNKNOWN


def outcome_of_error(error: httpx.HTTPError | httpx.InvalidURL) -> Outcome:
    """Return what an exception of httpx means: if a connection was made, the request may have had its effect."""
    return Outcome.NEVER_SENT if isinstance(error, _NOT_CONNECTED) else Outcome.UNKNOWN


def is_untrusted(error: BaseException | None) -> bool:
    """Whether the server's certificate was refused: trying again does not help."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
