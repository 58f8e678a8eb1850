"""What an option or argument may be. An empty text is none: a variable that is not set must not choose a default.

Numbers are plain decimal digits. Python would also read `nan`, `inf`, `1_000` and the digits of other scripts.
"""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click import Context, Parameter

LONGEST_WAIT = 604_800
"""Seconds: a week."""


class _Text(click.ParamType[str]):
    name = "text"

    def convert(self, value: Any, param: Parameter | None, ctx: Context | None) -> str:  # noqa: ANN401
        if not str(value).strip():
            self.fail("it is empty: leave it out, or say what is meant", param, ctx)
        return str(value)


class _Path(click.Path):
    def convert(self, value: Any, param: Parameter | None, ctx: Context | None) -> Any:  # noqa: ANN401
        return super().convert(TEXT.convert(value, param, ctx), param, ctx)


class _Seconds(click.ParamType[float]):
    name = "seconds"

    def convert(self, value: Any, param: Parameter | None, ctx: Context | None) -> float:  # noqa: ANN401
        if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{0,9})?", str(value)) or float(value) > LONGEST_WAIT:
            self.fail(f"{value!r} is no number of seconds from 0 to {LONGEST_WAIT} (a week)", param, ctx)
        return float(value)


class Whole(click.IntRange):
    """A whole number."""

    def convert(self, value: Any, param: Parameter | None, ctx: Context | None) -> Any:  # noqa: ANN401, D102
        if not re.fullmatch(r"-?[0-9]{1,18}", str(value)):
            self.fail(f"{value!r} is no whole number", param, ctx)
        return super().convert(value, param, ctx)


class _Date(click.ParamType[date]):
    name = "date"

    def convert(self, value: Any, param: Parameter | None, ctx: Context | None) -> date:  # noqa: ANN401
        if isinstance(value, date):
            return value
        try:
            found = re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value)
            return date.fromisoformat(found[0] if found else "")
        except ValueError:
            self.fail(f"{value!r} is no date such as 2026-01-31", param, ctx)


TEXT = _Text()
SECONDS = _Seconds()
DATE = _Date()
FILE = _Path(dir_okay=False, path_type=Path)
"""A file that need not exist."""
GIVEN_FILE = _Path(exists=True, dir_okay=False, path_type=Path)
"""A file that must exist."""
FOLDER = _Path(exists=True, file_okay=False, path_type=Path)
UNSEEN_FILE = _Path(path_type=Path)
"""A file that is looked at later: `-C` may still change the folder."""
