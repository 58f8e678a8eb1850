"""Signals: after the first, a run commits what it knows, starts nothing new and waits a while for what is under way.

The second ends it at once. In both cases state and journal hold all that was done.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from reconciler.apply.run import Stop
from reconciler.core.errors import ExitCode
from reconciler.storage.disk import store_failed

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from types import FrameType

Result = TypeVar("Result")

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The last says that the terminal was closed; it stays ignored under `nohup`."""


def run_interruptible(start: Callable[[Stop], Coroutine[object, object, Result]]) -> Result:
    """Run the coroutine. Raises `KeyboardInterrupt` if it was interrupted before anything was under way.

    Raises `StoreFailed` where the operating system refuses what no step expects.
    """
    results: list[Result] = []

    # It returns nothing: at its end, `signal.signal` computes the repr of asyncio's task, and that includes the result.
    async def main() -> None:
        stop = Stop()
        with _handled(stop, asyncio.get_running_loop()):
            results.append(await start(stop))

    try:
        asyncio.run(main())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    except OSError as error:  # of what no step expects: all file descriptors are used up, say
        raise store_failed(error, "running") from error
    return results[0]


@contextmanager
def _handled(stop: Stop, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Install Python's own handlers, not the loop's: they also run while a question or a lock blocks the loop."""
    presses = 0

    def handle(number: int, frame: FrameType | None) -> None:
        del number, frame
        nonlocal presses
        presses += 1
        if presses > 1:
            _say("interrupted twice: leaving at once; the next run picks up from the journal")
            os._exit(ExitCode.INTERRUPTED)
        if not stop.has_begun:
            raise KeyboardInterrupt
        loop.call_soon_threadsafe(stop.request)
        _say("interrupted: starting nothing new, waiting a few seconds for what is under way (again to leave now)")

    def unhandled(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        # A signal's KeyboardInterrupt may end any task: asyncio's warning that nobody took it would only confuse.
        if not presses:
            loop.default_exception_handler(context)

    loop.set_exception_handler(unhandled)
    taken = [each for each in SIGNALS if each is not signal.SIGHUP or signal.getsignal(each) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handle) for number in taken}
    try:
        yield
    finally:
        if not presses:  # else a second one still ends it, with the exit code of an interrupt
            for number, handler in before.items():
                signal.signal(number, handler)


def _say(text: str) -> None:
    with suppress(OSError, RuntimeError):  # RuntimeError: the signal came in the middle of another write
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
