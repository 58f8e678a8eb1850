"""The command line: flags → settings → operation → view → exit code. Heavy modules are imported by the commands."""

from __future__ import annotations

import gc
import os
import sys
from contextlib import chdir, suppress
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from reconciler import __version__
from reconciler.cli.console import Console, ensure_streams, open_console
from reconciler.cli.invocation import Invocation
from reconciler.cli.manifests import init, schema, validate
from reconciler.cli.parameters import FOLDER, TEXT, UNSEEN_FILE
from reconciler.cli.plans import apply, plan, show
from reconciler.cli.serve import emulator
from reconciler.cli.states import import_, output, state
from reconciler.core.errors import ExitCode, ManifestInvalid, ReconcilerError, SettingsInvalid

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType


class _Commands(click.Group):
    """The commands; an error of any of them becomes text on stderr, in the colours that were asked for."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except ReconcilerError as error:
            _explain(ctx.obj.console, error)
            return error.exit_code


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="reconciler")
@click.option(
    "-C",
    "root",
    metavar="DIR",
    type=FOLDER,
    help="Work in this folder (the repository), as if started there: every other path is relative to it.",
)
@click.option(
    "--env",
    "environment",
    type=TEXT,
    metavar="NAME",
    envvar="RECONCILER_ENV",
    help="The environment to work on. An empty RECONCILER_ENV counts as not set.",
)
@click.option(
    "--manifests", type=TEXT, metavar="DIR", default="manifests", show_default=True, help="Where the manifests are."
)
@click.option(
    "--state",
    "state_file",
    metavar="FILE",
    type=UNSEEN_FILE,
    help="The state file.  [default: state/ENVIRONMENT.jsonl]",
)
@click.option("--color", type=click.Choice(["auto", "always", "never"]), default="auto", show_default=True)
@click.option("-v", "verbose", count=True, help="Say more; -vv logs each request.")
@click.pass_context
def cli(
    context: click.Context,
    root: Path | None,
    environment: str | None,
    manifests: str,
    state_file: Path | None,
    color: str,
    verbose: int,
) -> None:
    """Declare the batches of Adobe Experience Platform datasets in Git; plan and apply them, never twice."""
    console = open_console(color, verbose)
    context.obj = Invocation(Path(), Path(manifests), environment, state_file, console)
    _enter(context, root)


def _enter(context: click.Context, root: Path | None) -> None:
    """Go to the folder that `-C` names, before any other path is looked at; the way back is for who calls `run`."""
    try:
        if root is not None:
            try:
                context.with_resource(chdir(root))
            except FileNotFoundError:  # the folder of now was removed, or the other one just now
                os.chdir(root)
        Path.cwd()
    except OSError as error:
        raise SettingsInvalid(
            f"cannot work in `{root or '.'}`: {error.strerror}",
            hint="go to a folder that exists, or name one with `-C`",
        ) from error


UNWRITTEN = "error: the output could not be written: "


@cli.result_callback()
@click.pass_context
def finish(context: click.Context, /, code: object, **_: object) -> object:
    """Turn a success into an error if its result could not be written."""
    failures = context.obj.console.failures
    if failures and code in {ExitCode.OK, ExitCode.CHANGES}:
        context.obj.console.err([UNWRITTEN + failures[0]])
        return ExitCode.ERROR
    return code


for command in (validate, plan, apply, show, output, import_, state, init, schema, emulator):
    cli.add_command(command)


COLLECTOR = (50_000, 20, 100)
"""Thresholds of Python's cyclic garbage collector. Manifests, states and plans are up to a million small values without
a cycle; with the default thresholds, the search for cycles takes a third of the time that building them takes."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit code (design §9)."""
    gc.set_threshold(*COLLECTOR)
    ensure_streams()
    # Plugins of other packages for pydantic must not change how manifests are read, and the search for them takes time.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    sys.excepthook = _unexpected
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; errors become text on stderr."""
    try:
        code = cli.main(args=arguments, prog_name="reconciler", standalone_mode=False)
    except click.UsageError as error:
        return _said(_misplaced(error), ExitCode.USAGE)
    except click.ClickException as error:
        return _said(error, ExitCode.ERROR)
    except (click.Abort, KeyboardInterrupt):
        Console().err(["interrupted"])
        return ExitCode.INTERRUPTED
    except SystemExit:  # click's answer to a closed pipe, when nobody reads its own texts, such as the help
        return ExitCode.OK
    except OSError as error:
        if error.filename is not None:
            raise
        console = Console()  # those texts go to none
        console.err([f"{UNWRITTEN}{error.strerror}"])
        console.out([])  # what is left of them would be written, and fail, once more when Python ends
        return ExitCode.ERROR
    return code if isinstance(code, int) else ExitCode.OK


def _said(error: click.ClickException, code: ExitCode) -> ExitCode:
    """The code, once click's text for the error is on stderr."""
    text = StringIO()
    error.show(file=text)
    Console().err([text.getvalue().rstrip("\n")])
    return code


def _misplaced(error: click.UsageError) -> click.UsageError:
    """The error; for a global flag that stands behind the command, it says where the flag goes."""
    if isinstance(error, click.NoSuchOption) and any(error.option_name in each.opts for each in cli.params):
        where = f"it goes before the command: `reconciler {error.option_name} … COMMAND`"
        return click.UsageError(f"No such option {error.option_name!r} here: {where}", ctx=error.ctx)
    return error


def _explain(console: Console, error: ReconcilerError) -> None:
    from reconciler.views.diagnostics import render
    from reconciler.views.error_text import render_error

    if isinstance(error, ManifestInvalid):
        console.err([render(error.diagnostics, color=console.color_err)])
    else:
        console.err([render_error(error, color=console.color_err)])


def _unexpected(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """For a defect of reconciler itself: the user sees two lines and gets a file to report, never a traceback."""
    import tempfile

    frames = [f"  {line}" for line in _frames(kind, error, trace)]
    shown, where = frames, "the lines below"
    with suppress(OSError):  # a disk that is full or read-only
        with tempfile.NamedTemporaryFile(
            "w", prefix="reconciler-crash-", suffix=".txt", delete=False, encoding="utf-8"
        ) as report:
            report.writelines(f"{line.strip()}\n" for line in frames)
        where = report.name
        shown = frames if "CI" in os.environ else []  # a runner's files are deleted with it
    Console().err(
        [
            f"error: internal error ({kind.__name__}): this is a defect of reconciler",
            f"hint: report it with {where}; whatever was done is in the journal, and a rerun picks it up",
            *shown,
        ]
    )


def _frames(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> Iterator[str]:
    """Where it happened: types and lines only, since values could hold secrets."""
    import traceback

    for frame in traceback.extract_tb(trace):
        yield f"{Path(frame.filename).name}:{frame.lineno} {frame.name}"
    yield kind.__name__
    for nested in getattr(error, "exceptions", ()):
        yield from _frames(type(nested), nested, nested.__traceback__)
