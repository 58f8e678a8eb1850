"""Up to where Catalog was read: with it the next refresh asks for changes only.

A bookmark is a cache beside the state: it may be lost, it is never committed, and one that does not fit is not used.
It stands for "every recorded batch is as recorded, but for those that are read again"; so a refresh that trusts it must
learn of each batch that was changed (Catalog stamps `updated`: aep-api.md §8.4), that is new, or that is gone (count).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from reconciler.core.batch import STATUS_CLASSES, Stage, StatusClass
from reconciler.core.plans.decide import drift_of_tags, known
from reconciler.core.states.lines import refuse_doubled_keys

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.core.batch import Observed, Record

VERSION = 3

WORTH_IT = 1_000
"""Recorded batches from which on a bookmark is used: reading fewer takes only a few calls."""

MOST_RECHECKED = 1_000
"""Batches that are read one by one: beyond, reading everything is cheaper."""

LONGEST_LIFE_MS = 12 * 3600 * 1000
"""Milliseconds after which everything is read again."""

LEAST_LAG_MS = 3_000
"""Milliseconds that Catalog is given to show a change even where the settle time is less (its lag is unverified:
aep-api.md §4). What comes later than both is seen by the next full refresh."""

LARGEST = 1024 * 1024
"""Bytes of a bookmark's text that is read."""


@dataclass(frozen=True, slots=True)
class Bookmark:
    """What is known of Catalog without asking."""

    began: int
    """Epoch milliseconds by Catalog's clock: when the reading began."""
    newest: int
    """Epoch milliseconds: when the last change was that was seen. Asked for what was changed then or later, a Catalog
    that has understood the question shows something."""
    count: int
    """How many batches carry our marker."""
    recheck: frozenset[str]
    """Ids that are read one by one: recorded ones that are not as recorded, and marked ones without a record."""
    uncounted: frozenset[str]
    """Those of `recheck` that are not in `count`."""
    full_at: int
    """Epoch milliseconds by Catalog's clock: when everything was read."""
    state: str = ""
    """The digest of the state file that it goes with."""

    def is_young(self, now: int | None) -> bool:
        """Whether it may be used now (epoch milliseconds by Catalog's clock; None where it does not say)."""
        return now is not None and 0 <= now - self.full_at < LONGEST_LIFE_MS

    def since(self, settle: float) -> int:
        """From when on to ask for changes, Catalog being given `settle` seconds to show one; epoch milliseconds."""
        shown = self.began - max(LEAST_LAG_MS, int(settle * 1000))  # what was changed before was shown
        return min(self.newest + 1, shown)

    def after(self, before: Mapping[str, Record], now: Mapping[str, Record]) -> Bookmark | None:
        """The bookmark once a run has made other records of those that were; None when too many changed."""
        old = {record.id for address, record in before.items() if not _is_same(record, now.get(address))}
        new = {record.id for address, record in now.items() if not _is_same(record, before.get(address))}
        recheck = self.recheck | old | new
        uncounted = self.uncounted | (new - old - self.recheck)
        return None if len(recheck) > MOST_RECHECKED else replace(self, recheck=recheck, uncounted=uncounted)


def _is_same(one: Record, other: Record | None) -> bool:
    return one is other or one == other  # nearly always the very same: a comparison is ten times as dear


def dump(bookmark: Bookmark) -> bytes:
    """Return the text of a bookmark."""
    fields = asdict(bookmark) | {name: sorted(getattr(bookmark, name)) for name in ("recheck", "uncounted")}
    return json.dumps({"version": VERSION, **fields}, separators=(",", ":")).encode()


def parse(text: bytes) -> Bookmark | None:
    """Return the bookmark of a text; None when it holds none."""
    try:
        fields = refuse_doubled_keys(text.decode())
    except ValueError:
        return None
    match fields:
        case {
            "version": int(version),
            "began": int(began),
            "newest": int(newest),
            "count": int(count),
            "recheck": [*recheck],
            "uncounted": [*uncounted],
            "full_at": int(full_at),
            "state": str(state),
        } if version == VERSION and count > 0:
            sets = frozenset(map(str, recheck)), frozenset(map(str, uncounted))
            return Bookmark(began, newest, count, *sets, full_at, state)
        case _:
            return None


def is_as_recorded(record: Record, observed: Observed) -> bool:
    """Whether a plan that trusts the record decides the same as one that sees the batch, for any manifests."""
    return (
        observed.status in STATUS_CLASSES
        and observed.status_class in {StatusClass.OPEN, StatusClass.IN_FLIGHT, StatusClass.DONE}
        and not (record.stage is Stage.COMPLETED and observed.status_class is StatusClass.OPEN)  # it may be overdue
        and not (record.deposed or record.rivals)
        and observed.external_id == record.external_id
        and record.dataset in observed.datasets
        and observed.successor is None
        and drift_of_tags(record, observed) is None
        and not observed.is_partial
        and all(
            known(record.spec, name, observed) == known(record.spec, name, None) for name in ("format", "multiline")
        )
    )
