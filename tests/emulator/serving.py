"""An emulator on a socket, for tests of whole command lines."""

from __future__ import annotations

from contextlib import contextmanager
from queue import Queue
from threading import Event, Thread
from typing import TYPE_CHECKING

from reconciler.emulator import serve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.emulator import Emulator


@contextmanager
def served(emulator: Emulator) -> Iterator[str]:
    """The URL at which a thread serves the emulator, until the block ends."""
    ports: Queue[int] = Queue()
    stop = Event()
    thread = Thread(target=lambda: serve(emulator, ready=ports.put, stop=stop))
    thread.start()
    try:
        yield f"http://127.0.0.1:{ports.get(timeout=20)}"
    finally:
        stop.set()
        thread.join(timeout=20)
        assert not thread.is_alive()
