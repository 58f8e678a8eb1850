"""The emulator on a socket, for other processes. uvicorn is an optional extra, imported only by `serve`."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import struct
import threading
from typing import TYPE_CHECKING, Final

from reconciler.emulator.admin import with_admin
from reconciler.emulator.emulator import Emulator
from reconciler.emulator.faultfile import load_faults
from reconciler.emulator.faults import ConnectionLost, Loss
from reconciler.emulator.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, MutableMapping
    from pathlib import Path
    from typing import Any

    from starlette.types import ASGIApp, Receive, Scope, Send

LOOPBACK: Final = "127.0.0.1"
BACKLOG: Final = 2048
RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
"""SO_LINGER of 0 seconds: closing sends RST instead of FIN."""


def serve(
    emulator: Emulator,
    *,
    host: str = LOOPBACK,
    port: int = 0,
    ready: Callable[[int], None] | None = None,
    stop: threading.Event | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, or until `stop` is set; call `ready` with the port once it accepts connections.

    Port 0 takes a free one. Raises OSError if the port is taken and ModuleNotFoundError without uvicorn.
    Anyone who can reach the port can do anything with the emulator: use loopback only.
    """
    end = stop or threading.Event()
    with bound_socket(host, port) as listener, _signals_set(end):
        asyncio.run(_serve(losing_connections(with_admin(emulator)), listener, ready or (lambda _port: None), end))


async def _serve(app: ASGIApp, listener: socket.socket, ready: Callable[[int], None], stop: threading.Event) -> None:
    import uvicorn  # noqa: PLC0415 - an optional extra

    class Server(uvicorn.Server):
        """uvicorn that stops when `stop` is set. Its own handling raises the signal again, which ends the process."""

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            ready(listener.getsockname()[1])

        async def on_tick(self, counter: int) -> bool:
            return await super().on_tick(counter) or stop.is_set()

    config = uvicorn.Config(
        app,
        http="h11",
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=1,
    )
    await Server(config).serve([listener])


def run_server(
    *,
    port: int,
    data: Path | None = None,
    faults: Path | None = None,
    datasets: Collection[str] = (),
    ready: Callable[[int], None] | None = None,
) -> None:
    """Serve an emulator as the command line describes it; no datasets: any. Raises what `serve` does.

    Also raises `FaultsInvalid` for a bad file of faults and ValueError for data of another version.
    """
    world = World(datasets=frozenset(datasets), any_dataset=not datasets)
    with Emulator(data, world=world, faults=load_faults(faults) if faults else None) as emulator:
        serve(emulator, port=port, ready=ready)


def bound_socket(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises OSError."""
    family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    # with any other protocol number asyncio leaves Nagle's algorithm on, and each answer takes 40 ms
    listener = socket.socket(family, kind, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


@contextlib.contextmanager
def _signals_set(stop: threading.Event) -> Iterator[None]:
    """Let SIGTERM and SIGINT set `stop` until the block ends; outside the main thread, which gets them, do nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, lambda _number, _frame: stop.set()) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def losing_connections(app: ASGIApp) -> ASGIApp:
    """Return the app; each `ConnectionLost` that it raises ends the TCP connection under uvicorn."""

    async def serving(scope: Scope, receive: Receive, send: Send) -> None:
        has_more = True

        async def watching_receive() -> MutableMapping[str, Any]:
            nonlocal has_more
            message = await receive()
            has_more = message.get("more_body", False)
            return message

        try:
            await app(scope, watching_receive, send)
        except ConnectionLost as lost:
            while has_more:  # a client that is still sending would see one of several errors, by chance
                await watching_receive()
            _lose(_connection(send), lost.loss)
            while (await receive())["type"] != "http.disconnect":
                pass  # uvicorn answers 500 if the app returns before uvicorn sees the end of the connection

    return serving


def _connection(send: Send) -> asyncio.Transport:
    """Return the connection behind uvicorn's `send`, a bound method of its request."""
    connection = getattr(getattr(send, "__self__", None), "transport", None)
    if not isinstance(connection, asyncio.Transport):
        raise TypeError("connections can only be lost under uvicorn")
    return connection


def _lose(connection: asyncio.Transport, loss: Loss) -> None:
    """Close the connection after what was sent, or reset it at once."""
    if loss is Loss.CLOSE:
        connection.close()
        return
    with contextlib.suppress(OSError):  # the client may be gone already
        connection.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    connection.abort()
