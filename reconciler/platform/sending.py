"""One attempt at one request: a successful answer, or a failure. Never repeats, never follows a redirect."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx

from reconciler.platform.answer import Answer, Unreadable, read_bounded
from reconciler.platform.problems import (
    failure_of_answer,
    failure_of_body,
    failure_of_error,
    failure_of_timeout,
)

if TYPE_CHECKING:
    from reconciler.platform.problems import Failure, Operation
    from reconciler.platform.throttling import Timing
    from reconciler.settings import Redactor

ATTEMPT_SECONDS = 120.0
"""The time limit of an attempt, so that a body that arrives byte by byte cannot go on long after the deadline."""
LARGEST_EXPLANATION = 64 * 1024
"""Bytes that are read of an answer whose body only explains: all that are not a success."""


async def send(
    client: httpx.AsyncClient,
    request: httpx.Request,
    operation: Operation,
    *,
    auth: httpx.Auth | None = None,
    max_bytes: int,
    time_limit: float = ATTEMPT_SECONDS,
    redactor: Redactor,
    timing: Timing,
) -> Answer | Failure:
    """Send once. Raises only what `auth` and the request's own body raise.

    Of a successful answer at most `max_bytes` are read; 0: its body does not matter, only that AEP says success.
    """
    redact = redactor.redact
    try:
        async with asyncio.timeout(time_limit):
            response = await client.send(request, stream=True, auth=auth, follow_redirects=False)
            try:
                answer, problem = await _read(response, max_bytes)
            finally:
                await response.aclose()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return failure_of_error(operation, error, redact)
    except TimeoutError:
        return failure_of_timeout(operation, time_limit)
    if not response.is_success:
        return failure_of_answer(operation, answer, redact, timing.now())
    if problem is None and max_bytes == 0 and answer.holds_markup:
        problem = Unreadable("the body is a web page (HTML)")  # of a proxy or a portal: AEP may not have been reached
    return answer if problem is None else failure_of_body(operation, answer, problem, redact)


async def _read(response: httpx.Response, max_bytes: int) -> tuple[Answer, Unreadable | None]:
    """Read the body, and say what is wrong with it. One that does not matter may be incomplete."""
    matters = response.is_success and max_bytes > 0
    body, problem = b"", None
    try:
        body = await read_bounded(response, max_bytes if matters else LARGEST_EXPLANATION)
    except Unreadable as error:
        # Its traceback would keep the body in memory, try after try.
        problem = error.with_traceback(None) if matters else None
    except httpx.HTTPError as error:
        problem = Unreadable(f"the body broke off ({type(error).__name__})") if matters else None
    return Answer(response.status_code, response.headers, body), problem
