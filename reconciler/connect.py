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

import httpx

from reconciler.core.errors import StoreFailed, Unauthorized
from reconciler.core.pace import DEFAULT, Pace
from reconciler.platform import Retries, Timing, open_platform
from reconciler.settings import ReadyToken, Redactor, Secret, read_credentials, read_endpoints

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

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
    from reconciler.emulator import Emulator, World

    data = state.with_suffix(".emulator")
    with _data_told(data):
        check_data(data)
        data.parent.mkdir(parents=True, exist_ok=True)
        try:
            emulator = stack.enter_context(Emulator(data, world=World(datasets=declared.datasets)))
        except ValueError as error:
            raise _unreadable(data, error) from error
    return _Embedded(emulator.transport(), data)


class _Embedded(httpx.AsyncBaseTransport):
    """The way to the embedded emulator. What happens to its data on the disk ends a run, as a failing disk does."""

    def __init__(self, emulator: httpx.AsyncBaseTransport, data: Path) -> None:
        self._emulator, self._data = emulator, data

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        with _data_told(self._data):
            return await self._emulator.handle_async_request(request)

    async def aclose(self) -> None:
        await self._emulator.aclose()


@contextmanager
def _data_told(data: Path) -> Iterator[None]:
    """Turn what the system and SQLite say of the emulator's data into `StoreFailed`."""
    from sqlite3 import Error, OperationalError

    try:
        yield
    except (OSError, OperationalError) as error:
        raise StoreFailed(
            f"the embedded emulator cannot use `{data}`: {error}",
            hint="make the state folder writable, with free space, and leave the file's place to the emulator",
        ) from error
    except Error as error:
        raise _unreadable(data, error) from error


def _unreadable(data: Path, error: Exception) -> StoreFailed:
    return StoreFailed(
        f"the embedded emulator cannot read its data: {error}", hint=f"remove `{data}`: it starts anew then"
    )


def check_data(data: Path) -> None:
    """Raise `OSError` unless the emulator can use the place: it and SQLite would follow links, and open a device."""
    names = [data.with_name(f"{data.name}{suffix}") for suffix in ("", "-wal", "-shm", "-journal", ".files")]
    kept = (Path(top) / name for top, folders, files in os.walk(names[-1]) for name in (*folders, *files))
    for path in chain(names, kept):
        if path.is_symlink():
            raise OSError(errno.ELOOP, "it is a symbolic link, and links are not followed", str(path))
    if data.exists() and not data.is_file():
        raise OSError(errno.EINVAL, "it is not a file", str(data))


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
