"""A signal may strike in any task: the run ends by it, and says nothing that only helps its authors."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from reconciler.cli.interrupts import run_interruptible
from reconciler.core.errors import StoreFailed

if TYPE_CHECKING:
    from reconciler.apply.run import Stop

STRUCK = """
import asyncio, os, sys
from reconciler.cli.interrupts import run_interruptible

async def start(stop):
    async def work():
        os.kill(os.getpid(), {number})
        await asyncio.sleep(5)
    works = asyncio.create_task(work())
    await asyncio.sleep(5)

try:
    run_interruptible(start)
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_strikes_a_task_is_told_without_a_traceback(number: signal.Signals) -> None:
    code = STRUCK.format(number=int(number))
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "interrupted\n", "")


def test_what_goes_wrong_unnoticed_without_a_signal_is_still_told() -> None:
    code = STRUCK.format(number=0).replace("await asyncio.sleep(5)", "raise SystemError('odd')", 1)
    code = code.replace("await asyncio.sleep(5)", "await asyncio.sleep(0.1)").replace("works = ", "")
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert "SystemError: odd" in ended.stderr


def test_what_the_system_refuses_is_an_error_of_the_run_and_no_defect() -> None:
    async def start(_: Stop) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with pytest.raises(StoreFailed, match="running failed") as caught:
        run_interruptible(start)
    assert caught.value.detail == "Too many open files"
