"""Where text leaves the program: stdout is the result, stderr is the rest. A closed pipe does not end a run."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Console:
    """The two streams of one run, and how to write on them."""

    color: bool = False
    """Whether stdout takes colour."""
    color_err: bool = False
    """Whether stderr takes colour."""
    verbose: int = 0
    failures: list[str] = field(default_factory=list)
    """Why a stream could not be written; then the run is no success. A closed pipe does not count."""

    def out(self, lines: Iterable[str]) -> None:
        """Write lines of the result."""
        self._write(sys.stdout, lines)

    def err(self, lines: Iterable[str]) -> None:
        """Write lines about the run."""
        self._write(sys.stderr, lines)

    def _write(self, stream: TextIO, lines: Iterable[str]) -> None:
        try:
            stream.writelines(f"{line}\n" for line in lines)
            stream.flush()
        except OSError as error:
            # An apply must go on, even if nobody reads its output any more (`| head`) or the log's disk is full.
            if not isinstance(error, BrokenPipeError):
                self.failures.append(error.strerror or str(error))
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())

    @property
    def is_interactive(self) -> bool:
        """Whether a person can be asked."""
        return sys.stdin.isatty() and sys.stdout.isatty()


def ensure_streams() -> None:
    """Open standard streams that are closed (`>&-`): else the journal could be file descriptor 1 and get the output."""
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            mode = "w" if descriptor else "r"
            setattr(sys, name, open(descriptor, mode, encoding="utf-8", closefd=False))  # noqa: SIM115  (stays open)


def open_console(color: str, verbose: int) -> Console:
    """The console for `--color auto|always|never`; `auto` respects `NO_COLOR` (no-color.org) and `TERM=dumb`.

    An empty `NO_COLOR` counts as not set, as that convention says.
    """

    def wants(stream: TextIO) -> bool:
        if color != "auto":
            return color == "always"
        return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal without UTF-8 must not end an apply
    return Console(wants(sys.stdout), wants(sys.stderr), verbose)
