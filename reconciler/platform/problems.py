"""A request that did not succeed, as a value: what is known about it, the error to raise, how long to wait.

Texts of the service are optional and untrusted (aep-api.md §2.3: their shapes vary, and a body may be empty or no
JSON). They are cut short and cleared of control characters and secrets; only the choice of a hint depends on them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

import httpx

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
from reconciler.platform.answer import Answer, Unreadable
from reconciler.platform.outcome import Outcome, is_untrusted, outcome_of_error, outcome_of_status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reconciler.core.batch import Json

LONGEST_EXCERPT = 300
"""Characters of a service's text that a message shows."""
LONGEST_SCAN = 20_000
"""Characters of a service's text that are read to make an excerpt of them."""
NO_CONNECTION_TRIES = 6
"""About 15 seconds with the waits: a wrong host or a dead network is reported soon, and running again costs nothing."""
SERVICE_DOWN_TRIES = 10
"""Of a read, about a minute with the waits: a service that is down for longer is reported."""
UNREADABLE_TRIES = 6
"""A success with a web page, a cut body or none seldom passes by itself: mostly it is a wrong address or a proxy."""

STALE_HINT = (
    "the token is expired or wrong: check `AEP_ACCESS_TOKEN` and `AEP_API_KEY`, or `AEP_CLIENT_ID` and its secret"
)
SANDBOX_HINT = f"{STALE_HINT}; or the environment's `sandbox` is: some services refuse an unknown one so"
ACCESS_HINT = (
    "check the environment's `org` and `sandbox`, and that a role grants the credential the sandbox, the dataset and "
    "the permissions `View Datasets` and `Manage Datasets`; an access label on the dataset can refuse it too"
)
LATER_HINT = "the service has trouble or is out of reach: run again later"

HINTS_BY_CODE = {
    "401013": STALE_HINT,
    "403000": "no API key arrived: does a proxy drop the header `x-api-key`?",
    "403003": "the API key does not belong to the token: check `AEP_API_KEY` or `AEP_CLIENT_ID`",
    "400003": "no organisation arrived: check the environment's `org`",
    "403010": "no token arrived: does a proxy drop the header `authorization`?",
    "403023": "the organisation or its technical account is not entitled: check the environment's `org`",
    "403025": "the organisation or its technical account is not entitled: check the environment's `org`",
    "403027": "check the environment's `org`, and that the technical account has a product profile",
}
"""What the gateway's codes mean (aep-api.md §2.2)."""

MOST_LINKS = 5
"""Links of an `error-chain` that are read."""

HINTS_BY_STATUS = {
    400: "check the fields of the manifest; what AEP said stands above",
    401: SANDBOX_HINT,
    403: ACCESS_HINT,
    404: "check the id, and that it is in the environment's `sandbox`",
    409: "look at what is there already with `reconciler plan`",
    412: "another hand changed it meanwhile: run again",
    414: "an id or a name is too long",
    429: "others may use the same credential: run again later, or lower `--rate` and `--parallelism`",
}

TEXT_FIELDS = ("error_code", "error", "title", "errorMessage", "error_description", "message", "detail")


@dataclass(frozen=True, slots=True)
class Operation:
    """What a request is for, as messages say it."""

    what: str
    """An infinitive, such as "list the batches of dataset `x`"."""
    is_read: bool
    """Whether it changes nothing: then a lost answer leaves nothing unknown."""
    service: str = "AEP"
    url_variable: str = "AEP_API_URL"
    """The environment variable that holds the service's URL."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One attempt that did not succeed."""

    outcome: Outcome
    error: PlatformError
    retry_after: float | None = None
    """Seconds to wait at least."""
    most_tries: int | None = None
    """After how many tries to give up, even before the deadline."""


def failure_of_answer(operation: Operation, answer: Answer, redact: Callable[[str], str], now: float) -> Failure:
    """Return what an answer that is not a 2xx means; `now` is epoch seconds."""
    outcome = outcome_of_status(answer.status)
    error_class = _error_class(outcome, operation, answer)
    said = _explanations(answer)
    error = error_class(
        _summary(operation, answer.status),
        detail=excerpt(" · ".join(said), redact) or None,
        hint=_hint(operation, answer, said),
        status=answer.status,
        request_id=_redacted(answer.request_id, redact),
    )
    is_down = operation.is_read and outcome is Outcome.UNKNOWN
    return Failure(
        outcome, error, retry_after=answer.retry_after(now), most_tries=SERVICE_DOWN_TRIES if is_down else None
    )


def failure_of_error(
    operation: Operation, error: httpx.HTTPError | httpx.InvalidURL, redact: Callable[[str], str]
) -> Failure:
    """Return what an exception of httpx means."""
    outcome = outcome_of_error(error)
    reason = excerpt(f"{type(error).__name__}: {error}", redact)
    if outcome is not Outcome.NEVER_SENT:
        lost = _lost_answer(operation)(f"no answer to: {operation.what}", detail=reason, hint=LATER_HINT)
        return Failure(outcome, lost, most_tries=SERVICE_DOWN_TRIES if operation.is_read else None)
    if is_untrusted(error):
        hint = "its certificate is not trusted: set `SSL_CERT_FILE` to the bundle of your private CA"
        untrusted = NeverSent(f"no safe connection to {operation.what}", detail=reason, hint=hint)
        return Failure(outcome, untrusted, most_tries=1)
    hint = f"check the network, the proxy variables and `{operation.url_variable}`"
    unconnected = NeverSent(f"no connection to {operation.what}", detail=reason, hint=hint)
    return Failure(outcome, unconnected, most_tries=NO_CONNECTION_TRIES)


def failure_of_timeout(operation: Operation, seconds: float) -> Failure:
    """Return what an attempt means that was given up after so many seconds."""
    error = _lost_answer(operation)(f"no whole answer within {seconds:g} s to: {operation.what}", hint=LATER_HINT)
    return Failure(Outcome.UNKNOWN, error)


def failure_of_body(operation: Operation, answer: Answer, problem: Unreadable, redact: Callable[[str], str]) -> Failure:
    """Return what a success with an unreadable body means: of a create, the id is lost, so its outcome is unknown."""
    shown = excerpt(plain_text(answer), redact)
    error = _lost_answer(operation)(
        f"{operation.service} gave no readable answer to: {operation.what}",
        detail=f"{problem}: {shown}" if shown else str(problem),
        hint=_wrong_host(operation),
        status=answer.status,
        request_id=_redacted(answer.request_id, redact),
    )
    return Failure(Outcome.UNKNOWN, error, most_tries=UNREADABLE_TRIES)


def excerpt(text: str, redact: Callable[[str], str]) -> str:
    """Return untrusted text as a message can show it: one line, no control characters, no secret, not too long."""
    line = " ".join(text[:LONGEST_SCAN].split())
    printable = "".join(char for char in line if char.isprintable())
    safe = redact(printable)
    return safe if len(safe) <= LONGEST_EXCERPT else f"{safe[: LONGEST_EXCERPT - 1]}…"


def plain_text(answer: Answer) -> str:
    """Return the body's text, without the tags of a web page."""
    text = answer.body[:LONGEST_SCAN].decode("utf-8", "replace")
    return re.sub(r"<(style|script)\b.*?</\1>|<[^>]*>", " ", text, flags=re.DOTALL | re.IGNORECASE)


def _redacted(text: str | None, redact: Callable[[str], str]) -> str | None:
    return None if text is None else redact(text)


def _lost_answer(operation: Operation) -> type[PlatformError]:
    """The error for a request whose answer is lost: a read had no effect, anything else may have had its effect."""
    return PlatformError if operation.is_read else OutcomeUnknown


def _error_class(outcome: Outcome, operation: Operation, answer: Answer) -> type[PlatformError]:
    match outcome:
        case Outcome.THROTTLED:
            return Throttled
        case Outcome.UNAUTHORIZED:
            return Unauthorized
        case Outcome.REJECTED:
            return _rejection(answer)
        case Outcome.UNKNOWN | Outcome.DONE:
            return _lost_answer(operation)
        case Outcome.NEVER_SENT:
            return NeverSent


def _rejection(answer: Answer) -> type[PlatformError]:
    match answer.status:
        case HTTPStatus.FORBIDDEN:
            return Unauthorized
        case HTTPStatus.NOT_FOUND if not answer.is_html:  # a web page is of a proxy: it proves no absence
            return NotFound
        case HTTPStatus.CONFLICT | HTTPStatus.PRECONDITION_FAILED:
            return ConflictingWrite
        case _:
            return Rejected


def _wrong_host(operation: Operation) -> str:
    return f"is `{operation.url_variable}` right, and does a proxy answer in its place?"


def _summary(operation: Operation, status: int) -> str:
    if httpx.codes.is_redirect(status):
        sent = f"{operation.service} sent a redirect ({status})"
        return f"{sent}, which is never followed; nothing was done to {operation.what}"
    try:
        phrase = f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        phrase = str(status)
    return f"{operation.service} answered {phrase} to: {operation.what}"


def _hint(operation: Operation, answer: Answer, said: list[str]) -> str:
    for text in said:
        if text in HINTS_BY_CODE:
            return HINTS_BY_CODE[text]
    if answer.is_html or httpx.codes.is_redirect(answer.status):
        return _wrong_host(operation)
    if answer.status in HINTS_BY_STATUS:
        return HINTS_BY_STATUS[answer.status]
    return HINTS_BY_STATUS[400] if httpx.codes.is_client_error(answer.status) else LATER_HINT


def _explanations(answer: Answer) -> list[str]:
    """Every text that the service may have meant as an explanation, each once."""
    if location := answer.header("location"):
        return [f"to {location.split('?')[0]}"]
    try:
        body = answer.json()
    except Unreadable:
        return [plain_text(answer)]
    texts = _texts(body) if isinstance(body, dict) else iter((plain_text(answer),))
    return list(dict.fromkeys(texts))


def _texts(body: dict[str, Json]) -> Iterator[str]:
    for name in TEXT_FIELDS:
        value = body.get(name)
        if isinstance(value, str | int) and not isinstance(value, bool):
            yield str(value)
    report, chain = body.get("report"), body.get("error-chain")
    said = [report.get(name) for name in ("message", "detailed-message")] if isinstance(report, dict) else []
    links = [link for link in chain[:MOST_LINKS] if isinstance(link, dict)] if isinstance(chain, list) else []
    for text in (*said, *(link.get("errorCode") for link in links)):
        if isinstance(text, str):
            yield text
