"""A plan as text for a reviewer: short, by dataset and address, equal changes together, Terraform's last line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.core.plans.observation import CatalogRead
from reconciler.core.plans.plan import Action
from reconciler.views.color import Palette
from reconciler.views.escape import for_terminal
from reconciler.views.plan_findings import conflicts, drift, remarks
from reconciler.views.plan_rows import by_dataset, rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reconciler.core.plans.plan import Plan
    from reconciler.views.plan_rows import Row

MOST_FINDINGS = 50
"""How many conflicts are shown, and how many blocks of drift; more are counted."""


def render_plan(plan: Plan, *, color: bool, verbose: bool = False) -> Iterator[str]:
    """The plan, line by line; `verbose` adds how Catalog was read and shows all conflicts and drift."""
    paint = Palette(color)
    who = plan.identity
    where = who.environment if who.environment == who.sandbox else f"{who.environment} (sandbox {who.sandbox})"
    yield paint.bold(for_terminal(f"{who.project} in {where}"))
    if verbose and plan.how:
        yield paint.dim(for_terminal(plan.how))
    most = None if verbose else MOST_FINDINGS
    yield from _findings("Conflicts, for a person to settle:", conflicts(plan), paint.red, most)
    yield from _findings("Changed outside of the manifests:", drift(plan), paint.yellow, most)
    if plan.changes:
        yield ""
        for _, changes in by_dataset(plan.changes):
            for row in rows(changes):
                yield from _row(row, paint)
    notes = [f"Note: {remark}" for remark in remarks(plan)]
    if notes:
        yield ""
        yield from notes
    yield ""
    yield paint.bold(summary_line(plan))
    yield f"Digest: {plan.digest}"


def summary_line(plan: Plan) -> str:
    """Terraform's last line, which people and tools read (design.md §7)."""
    if not plan.has_changes:
        return _no_changes(plan)
    count = plan.summary
    before = ((count.imported, "import"), (count.adopt, "adopt"))
    after = ((count.forget, "forget"), (count.move, "move"))
    parts = [f"{number} to {verb}" for number, verb in before if number]
    parts += [f"{count.add} to add", f"{count.change} to change", f"{count.destroy} to destroy"]
    parts += [f"{number} to {verb}" for number, verb in after if number]
    return f"Plan: {', '.join(parts)}."


def _no_changes(plan: Plan) -> str:
    if plan.conflicts:
        return "No changes can be made before the conflicts above are settled."
    if plan.refresh_only:
        return "No changes. Catalog is as recorded."
    if plan.destroys_all:
        return "No changes. Nothing is recorded."
    if plan.read is CatalogRead.NOTHING:
        return "No changes. Every declared batch is recorded; Catalog was not read."
    return "No changes. Every declared batch is recorded and in Catalog."


def symbol_column(action: Action, paint: Palette) -> str:
    """The symbol of an action in its colour, on the right of three columns."""
    blanks = " " * (3 - len(action.symbol))
    return f"{blanks}{_color(action, paint)(action.symbol)}"


def _color(action: Action, paint: Palette) -> Callable[[str], str]:
    match action:
        case Action.CREATE:
            return paint.green
        case Action.DELETE | Action.REPLACE:
            return paint.red
        case Action.UPDATE | Action.FORGET:
            return paint.yellow
        case Action.ADOPT | Action.IMPORT | Action.MOVE:
            return paint.cyan


def _row(row: Row, paint: Palette) -> Iterator[str]:
    symbol, reason = symbol_column(row.action, paint), paint.dim(f"# {row.reason.value}")
    yield from (f"  {symbol} {label}  {reason}" for label in row.labels)
    yield from (f"        {note}" for note in row.notes)


def _findings(title: str, blocks: Iterator[list[str]], color: Callable[[str], str], most: int | None) -> Iterator[str]:
    """The first blocks under a title, with `!` in front of each, and how many more there are; None: all blocks."""
    found = list(blocks)
    if not found:
        return
    yield ""
    yield color(title)
    shown = found[:most]
    for head, *notes in shown:
        yield f"    {color('!')} {head}"
        yield from (f"        {note}" for note in notes)
    if left := len(found) - len(shown):
        yield f"      and {left} more: `-v` shows them"
