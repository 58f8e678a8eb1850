"""A plan as text for a reviewer: short, equal changes together, batches that go first, Terraform's last line."""

from __future__ import annotations

from collections import Counter
from itertools import filterfalse
from typing import TYPE_CHECKING

from reconciler.core.batch import STATUS_CLASSES, StatusClass
from reconciler.core.plans.observation import CatalogRead
from reconciler.core.plans.plan import Action
from reconciler.views.amounts import counted, undecided_creates
from reconciler.views.color import Palette
from reconciler.views.escape import for_terminal
from reconciler.views.plan_findings import conflicts, drift, remarks
from reconciler.views.plan_rows import by_dataset, rows, withdraws

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reconciler.core.plans.plan import Drift, Plan
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
        for changes in (filter(withdraws, plan.changes), filterfalse(withdraws, plan.changes)):
            for _, some in by_dataset(changes):
                for row in rows(some):
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
        return "No changes can be made before the conflicts are settled."
    to_look_at = f" To look at: {', '.join(found)}." if (found := _to_look_at(plan)) else ""
    return f"No changes.{_all_is_well(plan)}{to_look_at}"


def _all_is_well(plan: Plan) -> str:
    """What no change means, as far as that is true."""
    if any(_class(each) in _WORDS for each in plan.drift):
        return ""
    if plan.refresh_only:
        return " Catalog is as recorded."
    if plan.destroys_all:
        return " Nothing is recorded."
    batches = " Every declared batch is recorded"
    return f"{batches}; Catalog was not read." if plan.read is CatalogRead.NOTHING else f"{batches} and in Catalog."


_WORDS = {
    StatusClass.FAILED: "failed",
    StatusClass.WITHDRAWN: "withdrawn",
    StatusClass.UNFINISHED: "never completed",
    StatusClass.STUCK: "stalled",
    StatusClass.MISSING: "missing",
}
"""What became of a batch that is not as it should be, in one word; in other classes, it is only not as recorded."""


def _class(drift: Drift) -> StatusClass | None:
    return StatusClass.MISSING if drift.is_missing else STATUS_CLASSES.get(drift.status)


def _to_look_at(plan: Plan) -> list[str]:
    """What is no change and yet not as it should be, counted."""
    classes = map(_class, plan.drift)
    words = Counter(_WORDS.get(each, "not as recorded") if each else "not as recorded" for each in classes)
    found = [f"{count} {word}" for word, count in sorted(words.items())]
    if plan.orphans:
        found.append(counted(len(plan.orphans), "orphan", "orphans"))
    return [*found, undecided_creates(plan.unsettled)] if plan.unsettled else found


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
