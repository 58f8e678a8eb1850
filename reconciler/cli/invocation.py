"""The global options of one command line, and what the commands derive from them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from reconciler.cli.parameters import DATE, SECONDS, TEXT, Whole
from reconciler.core.errors import SettingsInvalid
from reconciler.core.pace import DEFAULT, Pace

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date
    from pathlib import Path

    from reconciler.apply.run import Stop
    from reconciler.cli.console import Console
    from reconciler.operations import Options
    from reconciler.session import Connect
    from reconciler.workspace import Declared, Workspace


@dataclass(frozen=True, slots=True)
class Invocation:
    """The global options."""

    root: Path
    manifests: Path
    environment: str | None
    state_file: Path | None
    console: Console

    def workspace(self, today: date | None = None) -> Workspace:
        """The folder that operations work in; without `today`, it is the current UTC date."""
        from reconciler.workspace import Workspace

        return Workspace(
            root=self.root,
            manifests=self.manifests,
            today=today or datetime.now(UTC).date(),
            environment=self.environment,
            state_file=self.state_file,
        )

    def connector(self, pace: Pace = DEFAULT, stop: Stop | None = None) -> Connect:
        """What opens AEP. `-v` shows retries on stderr, `-vv` logs each request. `stop` ends waits between attempts."""
        import asyncio

        from reconciler.connect import connector
        from reconciler.views.escape import for_terminal

        def note(message: str) -> None:
            self.console.err([for_terminal(message)])

        return connector(
            pace,
            sleep=stop.pause if stop else asyncio.sleep,
            on_retry=note if self.console.verbose else None,
            log=self.console.verbose > 1,
        )

    def read(self, path: Path, most: int) -> bytes:
        """The bytes of a file that a person named, at most one more than `most`. Raises `SettingsInvalid`."""
        from reconciler.files.inside import read_given

        try:
            return read_given(path, self.root, most)
        except OSError as error:
            raise SettingsInvalid(
                f"cannot read `{path}`: {error.strerror or error}", hint="give the path of a file of its own"
            ) from error

    def write(self, path: Path, text: str) -> None:
        """Write a result to where a person wants it. Raises `SettingsInvalid`."""
        from reconciler.files.inside import write_private

        try:
            write_private(path, text, self.root)
        except OSError as error:
            raise SettingsInvalid(
                f"cannot write `{path}`: {error.strerror or error}", hint="choose another place"
            ) from error

    def warn(self, declared: Declared) -> None:
        """Show on stderr what was found in the manifests and the files that they name."""
        from reconciler.views.diagnostics import render

        if declared.diagnostics:
            self.console.err([render(declared.diagnostics, color=self.console.color_err)])


SETTLE = click.option(
    "--settle-timeout",
    type=SECONDS,
    default=DEFAULT.settle,
    show_default=True,
    metavar="S",
    envvar="RECONCILER_SETTLE_TIMEOUT",
    help="How long Catalog may lag behind, in seconds.",
)
"""How long a command waits for Catalog to show what was done."""

pass_invocation = click.make_pass_decorator(Invocation)


def _say_more(context: click.Context, _option: click.Parameter, count: int) -> None:
    """Accept `-v` after the command's name too, where people write it."""
    invocation: Invocation = context.obj
    console = replace(invocation.console, verbose=invocation.console.verbose + count)
    context.obj = replace(invocation, console=console)


def run_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The flags that `plan` and `apply` share."""
    for option in reversed(
        (
            click.option(
                "--target",
                "targets",
                type=TEXT,
                metavar="GLOB",
                multiple=True,
                help="Only these addresses. Repeatable.",
            ),
            click.option(
                "--replace", type=TEXT, metavar="ADDRESS", multiple=True, help="Make a next generation. Repeatable."
            ),
            click.option("--destroy", is_flag=True, help="Delete every recorded batch."),
            click.option("--refresh-only", is_flag=True, help="Only compare records with Catalog, and update them."),
            click.option("--refresh/--no-refresh", default=True, help="Whether to read Catalog.  [default: refresh]"),
            click.option(
                "--full-refresh", is_flag=True, help="Read all batches of a big state, not only what changed."
            ),
            click.option("--today", type=DATE, metavar="DATE", help="What `today` means in manifests (UTC)."),
            click.option(
                "--parallelism",
                type=Whole(1, 256),
                default=DEFAULT.parallelism,
                show_default=True,
                metavar="N",
            ),
            click.option(
                "--lock-timeout",
                type=SECONDS,
                default=0.0,
                metavar="S",
                help="Wait for another run.",
            ),
            SETTLE,
            click.option("--ignore-limits", is_flag=True, help="Go beyond the project's `limits`."),
            click.option("-v", count=True, expose_value=False, callback=_say_more, help="Say more; -vv logs requests."),
        )
    ):
        function = option(function)
    return function


def make_options(flags: dict[str, Any]) -> Options:
    """The flags of `run_options` as a value."""
    from reconciler.core.address import Globs, is_address
    from reconciler.core.plans.planner import Scope
    from reconciler.operations import Options

    for address in flags["replace"]:
        if not is_address(address):
            raise click.BadParameter(f"`{address}` is not an address", param_hint="--replace")
    if flags["destroy"] and flags["refresh_only"]:
        raise click.UsageError("--destroy and --refresh-only exclude each other")
    return Options(
        scope=Scope(
            targets=Globs(tuple(flags["targets"])),
            replace=frozenset(flags["replace"]),
            destroy=flags["destroy"],
            refresh_only=flags["refresh_only"],
        ),
        refresh=flags["refresh"],
        full_refresh=flags["full_refresh"],
        ignore_limits=flags["ignore_limits"],
        lock_timeout=flags["lock_timeout"],
        pace=Pace(
            parallelism=flags["parallelism"],
            rate=flags.get("rate", DEFAULT.rate),
            part_bytes=flags.get("part_size", DEFAULT.part_bytes),
            settle=flags["settle_timeout"],
        ),
        wait=bool(flags.get("wait")),
    )
