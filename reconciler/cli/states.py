"""`state …`, `output`, `import`: what is recorded, and how a person corrects it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from reconciler.cli.invocation import SETTLE, pass_invocation
from reconciler.cli.parameters import FILE, GIVEN_FILE, TEXT
from reconciler.core.errors import ExitCode
from reconciler.core.pace import Pace

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from reconciler.cli.invocation import Invocation
    from reconciler.core.batch import Observed, Record


@click.command()
@click.argument("globs", nargs=-1, type=TEXT, metavar="[GLOB]...")
@click.option("--format", "form", type=click.Choice(["text", "json", "env"]), default="text", show_default=True)
@pass_invocation
def output(invocation: Invocation, globs: tuple[str, ...], form: str) -> int:
    """Print address and batch id of what is recorded, for the jobs that upload."""
    from reconciler import records
    from reconciler.views import state_text

    found = _matching(records.read(invocation.workspace()).state.records, globs)
    ids = {address: record.id for address, record in found.items()}
    view = {"text": state_text.output_text, "json": state_text.output_json, "env": state_text.output_env}[form]
    invocation.console.out(view(ids))
    return ExitCode.OK


def _matching(records: Mapping[str, Record], globs: tuple[str, ...]) -> dict[str, Record]:
    """The records whose addresses match one of the globs; all of them if there is no glob."""
    from reconciler.core.address import Globs

    wanted = Globs(globs)
    return {address: record for address, record in records.items() if wanted.match(address)}


@click.command("import")
@click.argument("address", type=TEXT, required=False)
@click.argument("batch_id", type=TEXT, required=False)
@click.option(
    "--discover", type=TEXT, metavar="DATASET_ID", help="Print a manifest that imports every batch of this dataset."
)
@click.option(
    "--as", "name", type=TEXT, metavar="NAME", help="The dataset's name in that manifest.  [default: from its id]"
)
@pass_invocation
def import_(
    invocation: Invocation, address: str | None, batch_id: str | None, discover: str | None, name: str | None
) -> int:
    """Record the existing batch BATCH_ID at ADDRESS; this also settles which of two is right."""
    if discover is not None and address is None:
        return _discover(invocation, discover, name)
    if address is None or batch_id is None or discover is not None:
        raise click.UsageError("give ADDRESS and BATCH_ID, or --discover DATASET_ID")
    from reconciler import recovery
    from reconciler.cli.interrupts import run_interruptible

    connect = invocation.connector()
    record = run_interruptible(lambda _: recovery.import_batch(invocation.workspace(), address, batch_id, connect))
    invocation.console.out([f"recorded {record.address}: {record.id}"])
    return ExitCode.OK


def _discover(invocation: Invocation, dataset: str, name: str | None) -> int:
    from reconciler import recovery
    from reconciler.cli.interrupts import run_interruptible
    from reconciler.core.address import is_name
    from reconciler.views.manifest_text import discovered

    called = name or f"dataset-{dataset.lower()}"
    if not is_name(called):
        raise click.UsageError(f"`{called}` cannot be a dataset's name: give one with --as NAME")
    connect = invocation.connector()
    found = run_interruptible(lambda _: recovery.discover(invocation.workspace(), dataset, connect))
    invocation.console.out(discovered(called, dataset, found))
    invocation.console.err([f"{len(found)} batches to import; save this as a manifest, then `reconciler plan`"])
    return ExitCode.OK


@click.group()
def state() -> None:
    """Look at the records, and mend them by hand."""


@state.command("list")
@click.argument("globs", nargs=-1, type=TEXT, metavar="[GLOB]...")
@pass_invocation
def list_(invocation: Invocation, globs: tuple[str, ...]) -> int:
    """List the recorded batches."""
    from reconciler import records
    from reconciler.views.amounts import undecided_creates
    from reconciler.views.state_text import list_text

    loaded = records.read(invocation.workspace())
    invocation.console.out(list_text(_matching(loaded.state.records, globs)))
    if loaded.open_intents:
        invocation.console.err([f"{undecided_creates(len(loaded.open_intents))}: run `apply`"])
    return ExitCode.OK


@state.command("show")
@click.argument("address", type=TEXT)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--refresh/--no-refresh", default=True, help="Whether the text tells the batch's status.")
@pass_invocation
def show_record(invocation: Invocation, address: str, form: str, refresh: bool) -> int:  # noqa: FBT001
    """Show one record and, if Catalog can be asked, what became of its batch."""
    from reconciler import records
    from reconciler.views import state_text

    record = records.one(invocation.workspace(), address)
    if form == "json":
        invocation.console.out([state_text.show_json(record)])
    else:
        invocation.console.out(state_text.show_text(record, *(_status(invocation, record) if refresh else ())))
    return ExitCode.OK


def _status(invocation: Invocation, record: Record) -> tuple[Observed | None, str | None]:
    """The batch in Catalog, None if it is not there or if Catalog cannot be asked; and what contradicts the record."""
    from reconciler import recovery
    from reconciler.cli.interrupts import run_interruptible
    from reconciler.core.errors import ReconcilerError
    from reconciler.views.escape import for_terminal

    connect = invocation.connector()
    try:
        return run_interruptible(lambda _: recovery.observe(invocation.workspace(), record, connect))
    except ReconcilerError as error:
        invocation.console.err([f"its status is not known: {for_terminal(error.summary)}"])
        return None, None


@state.command()
@click.argument("origin", type=TEXT, metavar="FROM")
@click.argument("target", type=TEXT, metavar="TO")
@pass_invocation
def mv(invocation: Invocation, origin: str, target: str) -> int:
    """Rename a record; the batch stays."""
    from reconciler import records

    records.move(invocation.workspace(), origin, target)
    invocation.console.out([f"moved {origin} to {target}"])
    return ExitCode.OK


@state.command()
@click.argument("address", type=TEXT)
@pass_invocation
def rm(invocation: Invocation, address: str) -> int:
    """Forget a record; the batch stays."""
    from reconciler import records

    record = records.remove(invocation.workspace(), address)
    invocation.console.out([f"forgot {address}: batch {record.id} stays in place"])
    return ExitCode.OK


@state.command()
@pass_invocation
def commit(invocation: Invocation) -> int:
    """Write what a killed run left in its journal into the state file, offline."""
    from reconciler import records
    from reconciler.views.amounts import counted

    count = len(records.commit(invocation.workspace()).records)
    invocation.console.out([f"the state holds {counted(count, 'batch', 'batches')}"])
    return ExitCode.OK


@state.command()
@SETTLE
@pass_invocation
def rebuild(invocation: Invocation, settle_timeout: float) -> int:
    """Make the state file anew from Catalog, for the declared addresses."""
    from reconciler import recovery
    from reconciler.cli.interrupts import run_interruptible
    from reconciler.operations import Options
    from reconciler.views.amounts import counted

    connect = invocation.connector()
    options = Options(pace=Pace(settle=settle_timeout), ignore_limits=True)
    rebuilt = run_interruptible(lambda _: recovery.rebuild(invocation.workspace(), options, connect))
    count = len(rebuilt.state.records)
    invocation.console.out([f"recorded {counted(count, 'batch', 'batches')} from Catalog"])
    if rebuilt.not_found:
        invocation.console.out([f"{rebuilt.not_found} declared addresses have no batch: `apply` would create them"])
    if rebuilt.left_out:
        invocation.console.out(
            [f"{rebuilt.left_out} declared addresses are left out: their files are not there to tell"]
        )
    return ExitCode.OK


@state.command()
@SETTLE
@pass_invocation
def check(invocation: Invocation, settle_timeout: float) -> int:
    """Compare state, journal and Catalog; exit 1 when they disagree."""
    from reconciler import recovery
    from reconciler.cli.interrupts import run_interruptible
    from reconciler.operations import Options
    from reconciler.views.state_text import check_text

    connect = invocation.connector()
    options = Options(pace=Pace(settle=settle_timeout), ignore_limits=True)
    report = run_interruptible(lambda _: recovery.check(invocation.workspace(), options, connect))
    invocation.console.out(check_text(report.plan))
    return ExitCode.OK if report.is_sound else ExitCode.ERROR


@state.command()
@click.argument("base", type=FILE)
@click.argument("ours", type=GIVEN_FILE)
@click.argument("theirs", type=GIVEN_FILE)
@pass_invocation
def merge(invocation: Invocation, base: Path, ours: Path, theirs: Path) -> int:
    """Merge two state files as a Git merge driver does (`%O %A %B`): the result goes to OURS."""
    from reconciler import records

    merged = records.merge(base, ours, theirs)
    invocation.console.err([f"merged {len(merged.records)} records"])
    return ExitCode.OK
