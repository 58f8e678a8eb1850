"""`plan`, `apply`, `show`: what the program is for."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from reconciler.cli.approval import Approval, read_plan
from reconciler.cli.invocation import make_options, pass_invocation, run_options
from reconciler.cli.parameters import FILE, GIVEN_FILE, TEXT, Whole
from reconciler.core.errors import ExitCode, ReconcilerError
from reconciler.core.pace import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from datetime import date
    from pathlib import Path

    from reconciler.apply.run import Stop
    from reconciler.cli.invocation import Invocation
    from reconciler.cli.reporting import Reporter
    from reconciler.core.plans.plan import Plan
    from reconciler.operations import Applied, Options

FORMATS = click.Choice(["text", "json", "markdown"])


@click.command()
@click.option("--out", type=FILE, metavar="FILE", help="Save the plan.")
@click.option("--format", "form", type=FORMATS, default="text", show_default=True)
@click.option("--markdown", type=FILE, metavar="FILE", help="Markdown as well.")
@click.option("--detailed-exitcode", is_flag=True, help="Exit 2 when there are changes.")
@run_options
@pass_invocation
def plan(
    invocation: Invocation,
    /,
    out: Path | None,
    form: str,
    markdown: Path | None,
    detailed_exitcode: bool,  # noqa: FBT001  (click passes flags by name)
    **flags: Any,  # noqa: ANN401
) -> int:
    """Show what `apply` would do."""
    from reconciler import operations
    from reconciler.cli.interrupts import run_interruptible

    options = make_options(flags)
    connect = invocation.connector(options.pace)
    declared, made = run_interruptible(
        lambda _stop: operations.plan(invocation.workspace(flags["today"]), options, connect)
    )
    invocation.warn(declared)
    _print_plan(invocation, made, form)
    _save(invocation, out, markdown, made)
    operations.check(made, declared, options)
    return ExitCode.CHANGES if detailed_exitcode and made.has_changes else ExitCode.OK


@click.command()
@click.argument("planfile", required=False, type=GIVEN_FILE)
@click.option("--approved", type=TEXT, metavar="DIGEST", help="Apply only the plan with this digest.")
@click.option("--auto-approve", is_flag=True, help="Do not ask.")
@click.option(
    "--rate", type=Whole(1, 1_000_000), default=DEFAULT.rate, show_default=True, metavar="N", help="Creates a minute."
)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--markdown", type=FILE, metavar="FILE", help="An account as well.")
@click.option(
    "--wait/--no-wait", default=None, help="Wait until completed batches are loaded.  [default: in a terminal]"
)
@click.option(
    "--part-size",
    type=Whole(1, 512_000_000),
    default=DEFAULT.part_bytes,
    show_default=True,
    metavar="BYTES",
    envvar="RECONCILER_PART_SIZE",
    help="Files above 256 MB go in parts of this size.",
)
@run_options
@pass_invocation
def apply(
    invocation: Invocation,
    /,
    planfile: Path | None,
    approved: str | None,
    auto_approve: bool,  # noqa: FBT001
    form: str,
    markdown: Path | None,
    wait: bool | None,  # noqa: FBT001
    **flags: Any,  # noqa: ANN401
) -> int:
    """Do what `plan` shows: with PLANFILE or --approved that or less, never more."""
    from reconciler.cli.reporting import reporter

    if planfile is not None and approved is not None:
        raise click.UsageError("PLANFILE and --approved exclude each other")
    report = reporter(invocation, form)
    options = make_options({**flags, "wait": sys.stderr.isatty() if wait is None else wait})
    try:
        approval = Approval.read(
            invocation, report, planfile, approved, auto_approve=auto_approve, can_ask=form == "text"
        )
        done = _carry_out(invocation, report, approval, options, flags["today"])
    except ReconcilerError as error:
        report.not_begun(error)
        raise
    except KeyboardInterrupt:
        report.not_begun(None)
        raise
    try:
        _save_account(invocation, markdown, done)
    except ReconcilerError as error:
        report.finish(done, error)
        raise
    report.finish(done)
    return _exit_code(done, declined=approval.declined)


def _carry_out(
    invocation: Invocation,
    report: Reporter,
    approval: Approval,
    options: Options,
    today: date | None,
) -> Applied:
    """Plan again, get the plan approved, and apply it until it is done or interrupted."""
    from reconciler import operations
    from reconciler.cli.interrupts import run_interruptible

    workspace = invocation.workspace(today or approval.today)
    scoped = approval.scoped(options)

    def start(stop: Stop) -> Coroutine[object, object, Applied]:
        connect = invocation.connector(scoped.pace, stop)
        return operations.apply(workspace, scoped, connect, approve=approval, listener=report.listen, stop=stop)

    return run_interruptible(start)


def _exit_code(done: Applied, *, declined: bool) -> int:
    from reconciler.core.plans.events import Ending

    if declined:
        return ExitCode.ERROR
    if done.account is None:
        return ExitCode.OK
    if done.account.ending is Ending.INTERRUPTED:
        return ExitCode.INTERRUPTED
    if done.account.cause is not None:
        return ExitCode.ERROR
    return ExitCode.OK if done.account.is_whole else ExitCode.PARTIAL


@click.command()
@click.argument("planfile", type=GIVEN_FILE)
@click.option("--format", "form", type=FORMATS, default="text", show_default=True)
@pass_invocation
def show(invocation: Invocation, planfile: Path, form: str) -> int:
    """Show a saved plan again."""
    _print_plan(invocation, read_plan(invocation, planfile), form)
    return ExitCode.OK


def _print_plan(invocation: Invocation, made: Plan, form: str) -> None:
    from reconciler.views import plan_json, plan_markdown, plan_text

    console = invocation.console
    match form:
        case "json":
            console.out([plan_json.dump_plan(made).rstrip("\n")])
        case "markdown":
            console.out([plan_markdown.render_plan(made).rstrip("\n")])
        case _:
            console.out(plan_text.render_plan(made, color=console.color, verbose=bool(console.verbose)))


def _save(invocation: Invocation, out: Path | None, markdown: Path | None, made: Plan) -> None:
    from reconciler.views import plan_json, plan_markdown

    if out is not None:
        invocation.write(out, plan_json.dump_plan(made))
    if markdown is not None:
        invocation.write(markdown, plan_markdown.render_plan(made))


def _save_account(invocation: Invocation, markdown: Path | None, done: Applied) -> None:
    if markdown is not None:
        from reconciler.views.plan_markdown import account_markdown
        from reconciler.views.plan_text import summary_line

        idle = "The plan was not approved: nothing was done." if done.plan.has_changes else summary_line(done.plan)
        invocation.write(markdown, account_markdown(done.account) if done.account else f"{idle}\n")
