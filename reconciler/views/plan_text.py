"""A plan as text for a person who reviews it: short, in the order of addresses, runs folded, Terraform's last line."""

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
"""Conflicts, and as many lines of drift, that are shown; what is beyond is counted."""


def render_plan(plan: Plan, *, color: bool, verbose: bool = False) -> Iterator[str]:
    """The plan, line by line; `verbose` adds how Catalog was read and every line of drift."""
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
    for number, remark in enumerate(remarks(plan)):
        yield from ("",) if number == 0 else ()
        yield f"Note: {remark}"
    yield ""
    yield paint.bold(summary_line(plan))
    yield f"Digest: {plan.digest}"


def summary_line(plan: Plan) -> str:
    """Terraform's last line, which people and tools read (design §7)."""
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


def painted(action: Action, paint: Palette) -> str:
    """The symbol of an action in its colour."""
    match action:
        case Action.CREATE:
            return paint.green(action.symbol)
        case Action.DELETE | Action.REPLACE:
            return paint.red(action.symbol)
        case Action.UPDATE | Action.FORGET:
            return paint.yellow(action.symbol)
        case Action.ADOPT | Action.IMPORT | Action.MOVE:
            return paint.cyan(action.symbol)


def _row(row: Row, paint: Palette) -> Iterator[str]:
    symbol = " " * (3 - len(row.action.symbol)) + painted(row.action, paint)
    for label in row.labels:
        yield f"  {symbol} {label}  {paint.dim(f'# {row.reason.value}')}"
    for note in row.notes:
        yield f"        {note}"


def _findings(title: str, blocks: Iterator[list[str]], color: Callable[[str], str], most: int | None) -> Iterator[str]:
    """Blocks under a title, `!` in front of each; beyond `most` they are counted."""
    left = 0
    for number, (head, *notes) in enumerate(blocks):
        if most is not None and number >= most:
            left += 1
            continue
        if number == 0:
            yield ""
            yield color(title)
        yield f"    {color('!')} {head}"
        yield from (f"        {note}" for note in notes)
    if left:
        yield f"      and {left} more: `-v` shows them"
