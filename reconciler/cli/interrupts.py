"""Signals: the first one lets what flies land, the second one leaves at once. The journal has it all either way."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING, TypeVar

from reconciler.core.errors import ExitCode
from reconciler.engine import Stop

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

Result = TypeVar("Result")


def run_interruptible(start: Callable[[Stop], Coroutine[object, object, Result]]) -> Result:
    """Run the coroutine; raise KeyboardInterrupt when it was interrupted with nothing in flight."""
    try:
        return asyncio.run(_main(start))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


async def _main(start: Callable[[Stop], Coroutine[object, object, Result]]) -> Result:
    stop = Stop()
    loop = asyncio.get_running_loop()
    task = loop.create_task(start(stop))

    def on_signal() -> None:
        if stop.requested:
            sys.stderr.write("interrupted twice: leaving at once; the next run picks up from the journal\n")
            sys.stderr.flush()
            os._exit(ExitCode.INTERRUPTED)
        stop.request()
        if stop.is_landing:
            sys.stderr.write("interrupted: starting nothing new, waiting for what is under way (again to leave now)\n")
        else:
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    return await task
