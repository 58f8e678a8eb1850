"""Another run that created the same batches at the same moment: the later of two empty batches is given up.

Both runs come to the same answer, since Catalog's `created` and the id decide. Only an empty batch of this very run is
aborted; what Catalog shows too late is reported by the next plan, and a person decides.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.apply.run import Stopped
from reconciler.core.batch import StatusClass
from reconciler.core.errors import PlatformError, StoreFailed
from reconciler.core.plans.events import Waiting
from reconciler.core.plans.observation import DEAD
from reconciler.core.states.journal import Done
from reconciler.ports import Verb

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from reconciler.apply.run import Run
    from reconciler.core.batch import Observed, Record

LONGEST_SEARCH = 5.0
"""Seconds, at the end of a run, that Catalog is given to show what it created: a rival would show by then."""


async def yield_to_rivals(run: Run, created: Iterable[Record]) -> int:
    """Look for rivals of the batches that this run created, and give up those that were second; return how many."""
    hidden = {record.external_id: record for record in created}
    until, delay = run.now() + min(run.pace.settle, LONGEST_SEARCH), run.pace.first_look
    yielded = 0
    try:
        while hidden:
            seen = await run.platform.catalog.batches_by_external_id(hidden.keys())
            for external_id, batches in _sharing(seen).items():
                yielded += await _yield_to(run, batches, hidden[external_id])
            shown = {batch.id for batch in seen}
            # Once Catalog shows our own batch, it shows what was created before it.
            hidden = {name: own for name, own in hidden.items() if own.id not in shown}
            left = until - run.now()
            if not hidden or left <= 0 or run.stop.is_over:
                break
            await run.stop.sleep(min(delay, left))
            delay = min(delay * 2, run.pace.longest_look)
    except (PlatformError, Stopped) as error:
        run.listener(Waiting(f"could not look for rivals of what was created: {error}"))
    except StoreFailed as error:
        run.stop.give_up(error)
    return yielded


async def _yield_to(run: Run, batches: Sequence[Observed], record: Record) -> bool:
    mine = next((batch for batch in batches if batch.id == record.id), None)
    first = _first([batch for batch in batches if record.dataset in batch.datasets])
    if mine is None or first is None or first == mine.id or mine.status_class is not StatusClass.OPEN:
        return False
    await run.platform.ingestion.act(record.id, Verb.ABORT)
    await run.ledger.write(Done(replace(record, id=first, rivals=tuple(sorted({*record.rivals, record.id})))))
    gone = f"{record.address}: another run created {first} first, so {record.id} was aborted"
    run.listener(Waiting(gone))
    return True


def _first(batches: Sequence[Observed]) -> str | None:
    """The id of the one that was created first; None when Catalog does not say, since both runs must agree."""
    if any(batch.created is None for batch in batches):
        return None
    return min(batches, key=lambda batch: (batch.created or 0, batch.id)).id if batches else None


def _sharing(batches: Iterable[Observed]) -> dict[str, list[Observed]]:
    """The live batches that share an external id with another one, by that id."""
    groups: dict[str, list[Observed]] = {}
    for batch in batches:
        if batch.external_id is not None and batch.status_class not in DEAD:
            groups.setdefault(batch.external_id, []).append(batch)
    return {name: group for name, group in groups.items() if len(group) > 1}
