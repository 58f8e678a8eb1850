"""Reads Catalog until a plan rests on nothing unread.

A create needs two witnesses (design §5): the listing by dataset and tag, and a look-up by external id.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from reconciler.core.plans.observation import Observation
from reconciler.core.plans.planner import make_plan
from reconciler.refresh.full import FullReading
from reconciler.refresh.incremental import IncrementalReading, Outdated

if TYPE_CHECKING:
    from reconciler.core.plans.bookmark import Bookmark
    from reconciler.core.plans.plan import Plan
    from reconciler.ports import Catalog
    from reconciler.refresh.reading import RefreshRequest


@dataclass(frozen=True, slots=True)
class Refreshed:
    """A plan that rests on nothing unread."""

    plan: Plan
    absent_datasets: frozenset[str]
    """Dataset ids that would get their first batch and do not exist in this sandbox."""
    bookmark: Bookmark | None
    """Up to where Catalog was read now; None when the next refresh had better read everything."""


async def refresh(catalog: Catalog, request: RefreshRequest) -> Refreshed:
    """Read Catalog until the plan rests on nothing unread.

    Raises `PlatformError` when Catalog cannot be read and `StateMismatch` when nothing recorded can be found.
    """
    if request.bookmark is not None:
        try:
            return await _read(IncrementalReading(catalog, request, request.bookmark))
        except Outdated:
            pass
    return await _read(FullReading(catalog, request))


async def _read(reading: FullReading | IncrementalReading) -> Refreshed:
    """Read, plan, and read on until the plan stands. Raises `Outdated` where the bookmark does not fit."""
    await reading.run()
    plan = _plan(reading)
    while (unread := reading.unread(plan)) or reading.not_looked_up(plan):
        await reading.read_unread(unread)
        missing = reading.not_looked_up(plan)
        is_news = bool(missing) and await reading.read_external_ids(missing)
        if is_news or unread:
            plan = _plan(reading)
    bookmark = None if plan.conflicts else reading.bookmark()  # what is in conflict must not be trusted next time
    return Refreshed(plan, await reading.absent_datasets(plan), bookmark)


def _plan(reading: FullReading | IncrementalReading) -> Plan:
    request = reading.request
    trusted, now = frozenset(reading.trusted), reading.catalog.service_time
    observation = Observation.of(reading.seen.values(), trusted=trusted, read=reading.read, now=now)
    inputs = replace(request.inputs, observation=observation)
    return make_plan(inputs, today=request.today, scope=request.scope, unsettled=request.unsettled)
