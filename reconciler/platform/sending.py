"""One attempt at one request: an answer with success, or a failure. Never repeats, never follows a redirect."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

from reconciler.platform.answer import Answer, Unreadable, read_bounded
from reconciler.platform.problems import (
    failure_of_answer,
    failure_of_body,
    failure_of_error,
    failure_of_silence,
)

if TYPE_CHECKING:
    from reconciler.platform.problems import Asked, Failure
    from reconciler.platform.timing import Timing
    from reconciler.settings import Redactor

LONGEST_ATTEMPT = 120.0
"""Seconds, so that a body that drips in cannot hold an operation beyond its deadline for long."""
LARGEST_EXPLANATION = 64 * 1024
"""Bytes of an unsuccessful answer that are read: they only explain."""


@dataclass(frozen=True, slots=True)
class Sending:
    """What an attempt needs to know beside the request itself."""

    asked: Asked
    most: int
    """Bytes of a successful answer that are read; 0: its body does not matter, only that AEP says success."""
    redactor: Redactor
    timing: Timing
    longest: float = LONGEST_ATTEMPT
    """Seconds; an upload takes its time."""


async def send(
    client: httpx.AsyncClient, request: httpx.Request, auth: httpx.Auth | None, sending: Sending
) -> Answer | Failure:
    """Send once. Raises nothing but what `auth` and the request's own body raise."""
    asked, redact = sending.asked, sending.redactor.redact
    try:
        async with asyncio.timeout(sending.longest):
            response = await client.send(request, stream=True, auth=auth, follow_redirects=False)
            try:
                answer, problem = await _read(response, sending.most)
            finally:
                await response.aclose()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return failure_of_error(asked, error, redact)
    except TimeoutError:
        return failure_of_silence(asked, sending.longest)
    if not response.is_success:
        return failure_of_answer(asked, answer, redact, sending.timing.now())
    if problem is None and sending.most == 0 and answer.holds_markup:
        problem = Unreadable("the body is a web page (HTML)")  # a proxy's or a portal's: AEP did nothing, or who knows
    return answer if problem is None else failure_of_body(asked, answer, problem, redact)


async def _read(response: httpx.Response, most: int) -> tuple[Answer, Unreadable | None]:
    """Read the body; if it only explains (or does not matter), a broken one is as good as none."""
    matters = response.is_success and most > 0
    body, problem = b"", None
    try:
        body = await read_bounded(response, most if matters else LARGEST_EXPLANATION)
    except Unreadable as error:
        problem = error if matters else None
    except httpx.HTTPError as error:
        problem = Unreadable(f"the body broke off ({type(error).__name__})") if matters else None
    return Answer(response.status_code, response.headers, body), problem
