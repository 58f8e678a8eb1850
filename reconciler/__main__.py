"""The entry point, and `python -m reconciler`: answers `--version` and takes signals before the imports."""

from __future__ import annotations

import os
import signal
import sys

from reconciler import __version__

INTERRUPTED = 130


def main() -> None:
    """Run the command line."""
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write(f"reconciler, version {__version__}\n")
        return
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    from reconciler.cli import main as run  # noqa: PLC0415  (click is four fifths of the start)

    run()


def _leave(number: int, frame: object) -> None:
    """Leave at once: nothing is under way yet, and a run puts its own handlers in place."""
    del number, frame
    os.write(2, b"interrupted\n")
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    main()
