"""ANSI colour as a value that the caller chooses. Colour only emphasises: no text means more in colour than without."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Palette:
    """How to paint text; switched off, it leaves text as it is. Text is escaped before it is painted."""

    enabled: bool

    def bold(self, text: str) -> str:
        """What is to be seen first."""
        return self._paint("1", text)

    def dim(self, text: str) -> str:
        """What may be passed over."""
        return self._paint("2", text)

    def red(self, text: str) -> str:
        """What goes, or went wrong."""
        return self._paint("31", text)

    def green(self, text: str) -> str:
        """What comes into being."""
        return self._paint("32", text)

    def yellow(self, text: str) -> str:
        """What changes, or needs a look."""
        return self._paint("33", text)

    def cyan(self, text: str) -> str:
        """What is recorded and stays as it is."""
        return self._paint("36", text)

    def _paint(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.enabled and text else text
