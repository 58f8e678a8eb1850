"""What a plan found beside changes: conflicts, drift, orphans. As blocks of lines, safe for a terminal."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from reconciler.core.ranges import address_ranges
from reconciler.views.escape import for_terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.core.plans.plan import Drift, Plan

MOST_ERRORS = 3
"""Errors of the service that are shown for one batch."""

MOST_ORPHANS = 10
"""Orphans that are named."""


def conflicts(plan: Plan) -> Iterator[list[str]]:
    """Each conflict: what and where it is declared, then the way on."""
    for each in plan.conflicts:
        file = f"  ({for_terminal(each.place.file)})" if each.place else ""
        yield [f"{for_terminal(each.address)}: {for_terminal(each.message)}{file}", f"hint: {for_terminal(each.hint)}"]


def drift(plan: Plan) -> Iterator[list[str]]:
    """Each batch that another hand changed, with the first errors of the service; runs of the same are folded."""
    for _, group in groupby(plan.drift, key=lambda each: (each.status, each.message, each.hint, each.errors)):
        alike = {each.address: each for each in group}
        for piece in address_ranges(list(alike)):
            first = alike[piece.first]
            batch = f"  {for_terminal(first.id)}" if piece.count == 1 else ""
            yield [f"{for_terminal(piece.text)}{batch}  {for_terminal(first.message)}", *_details(first)]


def _details(each: Drift) -> Iterator[str]:
    for error in each.errors[:MOST_ERRORS]:
        yield f"error: {for_terminal(error)}"
    if len(each.errors) > MOST_ERRORS:
        yield f"and {len(each.errors) - MOST_ERRORS} more errors"
    if each.hint:
        yield f"hint: {for_terminal(each.hint)}"


def remarks(plan: Plan) -> Iterator[str]:
    """What is no change and still to be known: orphans, and what an earlier run left undecided."""
    count = len(plan.orphans)
    if count:
        what = "batch carries our marker and no record knows it"
        if count > 1:
            what = "batches carry our marker and no record knows them"
        named = [
            f"{for_terminal(o.id)} ({for_terminal(o.address or 'no address')})" for o in plan.orphans[:MOST_ORPHANS]
        ]
        more = [f"{count - MOST_ORPHANS} more"] if count > MOST_ORPHANS else []
        yield f"{count} {what}: {', '.join([*named, *more])}"
    if plan.unsettled:
        what = "create of an earlier run is" if plan.unsettled == 1 else "creates of an earlier run are"
        yield f"{plan.unsettled} {what} undecided: `apply` looks before it sends anything"
