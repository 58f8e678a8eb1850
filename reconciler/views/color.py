"""ANSI colour, switched on or off by the caller. Colour only emphasises: the text alone says everything."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Palette:
    """How to paint text; switched off, it returns the text unchanged. Escape text before you paint it."""

    enabled: bool

    def bold(self, text: str) -> str:
        """What to read first."""
        return self._paint("1", text)

    def dim(self, text: str) -> str:
        """What can be skipped."""
        return self._paint("2", text)

    def red(self, text: str) -> str:
        """What is deleted, or went wrong."""
        return self._paint("31", text)

    def green(self, text: str) -> str:
        """What is created."""
        return self._paint("32", text)

    def yellow(self, text: str) -> str:
        """What changes, or needs attention."""
        return self._paint("33", text)

    def cyan(self, text: str) -> str:
        """What only changes a record, and hints."""
        return self._paint("36", text)

    def _paint(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.enabled and text else text
