"""Where text leaves the program: stdout is the result, stderr is everything else. A closed pipe stops nobody."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Console:
    """The two streams of one run, and how to write on them."""

    color: bool
    """Whether stdout takes colour."""
    color_err: bool
    """Whether stderr takes colour."""
    verbose: int = 0

    def out(self, lines: Iterable[str]) -> None:
        """Write lines of the result."""
        _write(sys.stdout, lines)

    def err(self, lines: Iterable[str]) -> None:
        """Write lines about the run."""
        _write(sys.stderr, lines)

    @property
    def is_interactive(self) -> bool:
        """Whether a person can be asked."""
        return sys.stdin.isatty() and sys.stdout.isatty()


def open_console(color: str, verbose: int) -> Console:
    """The console for `--color auto|always|never`; `NO_COLOR` is honoured (no-color.org)."""

    def wants(stream: TextIO) -> bool:
        if color != "auto":
            return color == "always"
        return "NO_COLOR" not in os.environ and stream.isatty()

    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal without UTF-8 must not end an apply
    return Console(wants(sys.stdout), wants(sys.stderr), verbose)


def _write(stream: TextIO, lines: Iterable[str]) -> None:
    try:
        stream.writelines(f"{line}\n" for line in lines)
        stream.flush()
    except BrokenPipeError:
        # The reader went away (`| head`); an apply must go on, so the rest is written to nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
