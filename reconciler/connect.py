"""Opens AEP for what was declared: the real service, or the embedded emulator where the environment says so."""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import ExitStack, asynccontextmanager, contextmanager, nullcontext
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING

from reconciler.core.errors import StateCorrupt, StoreFailed, Unauthorized
from reconciler.core.pace import DEFAULT, Pace
from reconciler.platform import Retries, Timing, open_platform
from reconciler.settings import ReadyToken, Redactor, Secret, read_credentials, read_endpoints

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

    import httpx

    from reconciler.core.manifests.project import Environment
    from reconciler.ports import Platform
    from reconciler.session import Connect
    from reconciler.workspace import Declared

NOBODY = ReadyToken(Secret("embedded"), Secret("embedded"))
"""The credential of the embedded emulator, which lets anyone in."""


UNLIMITED = 10_000_000
"""Creations a minute: the embedded emulator shares no quota with anyone."""


def connector(
    pace: Pace = DEFAULT,
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    note: Callable[[str], None] | None = None,
    log: bool = False,
) -> Connect:
    """What opens AEP for a run.

    `sleep` waits between attempts, and may end the run by raising; `note` hears of retries; `log` writes a line for
    each request to stderr.
    """

    @asynccontextmanager
    async def connect(declared: Declared, state: Path) -> AsyncIterator[Platform]:
        with ExitStack() as stack:
            transport = _embedded(declared, state, stack) if declared.environment.emulator else None
            opened = open_environment(
                declared.environment,
                replace(pace, rate=UNLIMITED) if transport else pace,
                transport,
                sleep=sleep,
                note=note,
                log=log,
            )
            async with opened as platform:
                yield platform

    return connect


def _embedded(declared: Declared, state: Path, stack: ExitStack) -> httpx.AsyncBaseTransport:
    """The embedded emulator: it keeps its data beside the state file and knows the declared datasets."""
    from sqlite3 import Error

    from reconciler.emulator import Emulator, World

    data = state.with_suffix(".emulator")
    try:
        data.parent.mkdir(parents=True, exist_ok=True)
        emulator = stack.enter_context(Emulator(data, world=World(datasets=declared.datasets)))
    except ValueError as error:
        raise StateCorrupt(
            f"the embedded emulator cannot read its data: {error}", hint=f"remove `{data.name}` beside the state file"
        ) from error
    except (OSError, Error) as error:
        raise StoreFailed(
            f"the embedded emulator cannot write `{data}`: {error}", hint="make the state folder writable"
        ) from error
    return emulator.transport()


@asynccontextmanager
async def open_environment(
    environment: Environment,
    pace: Pace = DEFAULT,
    transport: httpx.AsyncBaseTransport | None = None,
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    note: Callable[[str], None] | None = None,
    log: bool = False,
) -> AsyncIterator[Platform]:
    """AEP for an environment; a `transport` takes the place of the network, and then no credential is read."""
    credentials = NOBODY if transport else read_credentials(os.environ)
    redactor = Redactor.knowing(credentials)
    with _requests_logged(redactor) if log else nullcontext(), _environment_told(environment):
        async with open_platform(
            credentials,
            environment,
            endpoints=None if transport else read_endpoints(os.environ),
            pace=pace,
            retries=Retries(timing=Timing(sleep=sleep), on_retry=note),
            transport=transport,
            redactor=redactor,
        ) as platform:
            yield platform


@contextmanager
def _requests_logged(redactor: Redactor) -> Iterator[None]:
    """Write httpx's own line for each request, on stderr, with every secret taken out."""
    handler = logging.StreamHandler()
    handler.addFilter(redactor)
    logger = logging.getLogger("httpx")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)


@contextmanager
def _environment_told(environment: Environment) -> Iterator[None]:
    """Add to a refusal of the credential where it was refused: AEP's own words rarely say it."""
    try:
        yield
    except Unauthorized as error:
        if error.status == HTTPStatus.FORBIDDEN:
            place = f"environment `{environment.name}` is sandbox `{environment.sandbox}` of `{environment.org}`"
            error.hint = "; ".join(filter(None, (error.hint, place)))
        raise
