"""What a plan found beside changes: conflicts, drift, orphans. Blocks of lines, safe for a terminal."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from reconciler.core.ranges import address_ranges
from reconciler.views.amounts import counted, undecided_creates
from reconciler.views.escape import LONGEST_OF_MANY, for_terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.core.plans.plan import Drift, Plan

MOST_ERRORS = 3
"""How many of the service's errors are shown for one batch."""

MOST_ORPHANS = 10
"""How many orphans are named; more are counted."""


def conflicts(plan: Plan) -> Iterator[list[str]]:
    """Each conflict: what it is and in which file, then what to do."""
    for each in plan.conflicts:
        file = f"  ({for_terminal(each.place.file)})" if each.place else ""
        yield [f"{for_terminal(each.address)}: {for_terminal(each.message)}{file}", f"hint: {for_terminal(each.hint)}"]


def drift(plan: Plan) -> Iterator[list[str]]:
    """Each batch that was changed by another hand, with the service's first errors; equal drift is shown as ranges."""
    for _, group in groupby(plan.drift, key=lambda each: (each.status, each.message, each.hint, each.errors)):
        alike = {each.address: each for each in group}
        for each in address_ranges(list(alike)):
            first = alike[each.first]
            batch = f"  {for_terminal(first.id)}" if each.count == 1 else ""
            yield [f"{for_terminal(each.text)}{batch}  {for_terminal(first.message)}", *_details(first)]


def _details(each: Drift) -> Iterator[str]:
    for error in each.errors[:MOST_ERRORS]:
        yield f"error: {for_terminal(error, LONGEST_OF_MANY)}"
    if len(each.errors) > MOST_ERRORS:
        yield f"and {len(each.errors) - MOST_ERRORS} more errors"
    if each.hint:
        yield f"hint: {for_terminal(each.hint)}"


def remarks(plan: Plan) -> Iterator[str]:
    """What is no change but should be known: orphans, and what an earlier run left undecided."""
    count = len(plan.orphans)
    if count:
        one, many = (
            "batch carries our marker and no record knows it",
            "batches carry our marker and no record knows them",
        )
        named = [
            f"{for_terminal(o.id)} ({for_terminal(o.address or 'no address', LONGEST_OF_MANY)})"
            for o in plan.orphans[:MOST_ORPHANS]
        ]
        if count > MOST_ORPHANS:
            named.append(f"{count - MOST_ORPHANS} more")
        yield f"{counted(count, one, many)}: {', '.join(named)}"
    if plan.unsettled:
        yield f"{undecided_creates(plan.unsettled)}: `apply` looks before it sends anything"
