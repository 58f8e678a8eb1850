"""Opens AEP for what was declared: the real service, or the embedded emulator if the environment says so."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from contextlib import ExitStack, asynccontextmanager, contextmanager, nullcontext
from dataclasses import replace
from http import HTTPStatus
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.core.errors import StateCorrupt, StoreFailed, Unauthorized
from reconciler.core.pace import DEFAULT, Pace
from reconciler.platform import Retries, Timing, open_platform
from reconciler.settings import ReadyToken, Redactor, Secret, read_credentials, read_endpoints

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    import httpx

    from reconciler.core.manifests.project import Environment
    from reconciler.ports import Platform
    from reconciler.session import Connect
    from reconciler.workspace import Declared

ANY_CREDENTIAL = ReadyToken(Secret("embedded"), Secret("embedded"))
"""For the embedded emulator, which accepts every credential."""

UNLIMITED = 10_000_000
"""Creations a minute: the embedded emulator has no quota that others share."""


def connector(
    pace: Pace = DEFAULT,
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    on_retry: Callable[[str], None] | None = None,
    log: bool = False,
) -> Connect:
    """Return what opens AEP for a run.

    `sleep` waits before an attempt is repeated, and may end the run by raising. `on_retry` is called with one line of
    text before each such wait. `log` writes a line for each request to stderr.
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
                on_retry=on_retry,
                log=log,
            )
            async with opened as platform:
                yield platform

    return connect


def _embedded(declared: Declared, state: Path, stack: ExitStack) -> httpx.AsyncBaseTransport:
    """Start the embedded emulator: it keeps its data beside the state file and has the declared datasets."""
    from sqlite3 import OperationalError

    from reconciler.emulator import Emulator, World

    data = state.with_suffix(".emulator")
    stack.enter_context(_damage_told(data))
    try:
        _refuse_links(data)
        data.parent.mkdir(parents=True, exist_ok=True)
        return stack.enter_context(Emulator(data, world=World(datasets=declared.datasets))).transport()
    except (OSError, OperationalError) as error:
        raise StoreFailed(
            f"the embedded emulator cannot use `{data}`: {error}",
            hint="make the state folder writable, and put no link, folder or pipe in the file's place",
        ) from error
    except ValueError as error:
        raise _unreadable(data, error) from error


@contextmanager
def _damage_told(data: Path) -> Iterator[None]:
    """Translate what SQLite says of data that is damaged, then or later."""
    from sqlite3 import Error

    try:
        yield
    except Error as error:
        raise _unreadable(data, error) from error


def _unreadable(data: Path, error: Exception) -> StateCorrupt:
    return StateCorrupt(
        f"the embedded emulator cannot read its data: {error}", hint=f"remove `{data}`: it starts anew then"
    )


def _refuse_links(data: Path) -> None:
    """Raise `OSError` for a link in place of anything that the emulator or SQLite would open; they follow links."""
    names = [data.with_name(f"{data.name}{suffix}") for suffix in ("", "-wal", "-shm", "-journal", ".files")]
    kept = (Path(top) / name for top, folders, files in os.walk(names[-1]) for name in (*folders, *files))
    for path in chain(names, kept):
        if path.is_symlink():
            raise OSError(errno.ELOOP, f"`{path}` is a symbolic link, and links are not followed")


@asynccontextmanager
async def open_environment(
    environment: Environment,
    pace: Pace = DEFAULT,
    transport: httpx.AsyncBaseTransport | None = None,
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    on_retry: Callable[[str], None] | None = None,
    log: bool = False,
) -> AsyncIterator[Platform]:
    """Open AEP for an environment. With a `transport` in the place of the network, no credential is read."""
    credentials = ANY_CREDENTIAL if transport else read_credentials(os.environ)
    redactor = Redactor.for_credentials(credentials)
    with _request_log(redactor) if log else nullcontext(), _refusals_name(environment):
        async with open_platform(
            credentials,
            environment,
            endpoints=None if transport else read_endpoints(os.environ),
            pace=pace,
            retries=Retries(timing=Timing(sleep=sleep), on_retry=on_retry),
            transport=transport,
            redactor=redactor,
        ) as platform:
            yield platform


@contextmanager
def _request_log(redactor: Redactor) -> Iterator[None]:
    """Write httpx's own log line of each request to stderr, with every secret masked."""
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
def _refusals_name(environment: Environment) -> Iterator[None]:
    """Add to a 403 for which environment, sandbox and organisation it came: AEP's own messages rarely say it."""
    try:
        yield
    except Unauthorized as error:
        if error.status == HTTPStatus.FORBIDDEN:
            place = f"environment `{environment.name}` is sandbox `{environment.sandbox}` of `{environment.org}`"
            error.hint = "; ".join(filter(None, (error.hint, place)))
        raise
