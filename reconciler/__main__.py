"""The entry point, also of `python -m reconciler`: answers `--version` and handles signals before the slow imports."""

from __future__ import annotations

import atexit
import os
import signal
import sys
from contextlib import suppress

from reconciler import __version__

INTERRUPTED = 130
"""The same as `ExitCode.INTERRUPTED`, which would have to be imported."""


def main() -> None:
    """Run the command line."""
    if sys.argv[1:] == ["--version"] and sys.stdout is not None:
        with suppress(OSError):  # what cannot be written is told below
            sys.stdout.write(f"reconciler, version {__version__}\n")
            sys.stdout.flush()
            return
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN or number is not signal.SIGHUP:  # ignored: `nohup`
            signal.signal(number, _leave)
            atexit.register(signal.signal, number, signal.SIG_IGN)  # all is done: the exit code stands
    from reconciler.cli import main as run  # noqa: PLC0415  (click takes most of the start-up time)

    run()


def _leave(number: int, frame: object) -> None:
    """Leave at once: nothing is under way yet. A run installs its own handlers."""
    del number, frame
    with suppress(OSError):
        os.write(2, b"interrupted\n")
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    main()
