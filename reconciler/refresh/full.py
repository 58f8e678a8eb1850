"""Reads every batch that carries our marker: one listing a dataset, then what it left open.

With `--target` only what the targets name is read: the batches of an address by its marker tag, or the whole dataset
where that takes fewer calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.core.address import names_address
from reconciler.core.identity import ADDRESS_TAG
from reconciler.core.plans.bookmark import MOST_RECHECKED, Bookmark, is_as_recorded
from reconciler.core.plans.observation import CatalogRead
from reconciler.core.plans.planner import moved_to
from reconciler.ports import PAGE
from reconciler.refresh.reading import Reading, together

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.ports import Catalog
    from reconciler.refresh.reading import RefreshRequest


class FullReading(Reading):
    """A refresh that knows nothing of Catalog beforehand."""

    def __init__(self, catalog: Catalog, request: RefreshRequest) -> None:
        self.addresses = _in_scope(request)
        """The addresses that are looked at; None for all."""
        records = request.inputs.records
        if self.addresses is not None:
            records = {address: each for address, each in records.items() if address in self.addresses}
        super().__init__(catalog, request, records)

    @property
    def read(self) -> CatalogRead:
        """How much of Catalog is read."""
        if not self.request.listings:
            return CatalogRead.CHANGES
        return CatalogRead.EVERYTHING if self.addresses is None else CatalogRead.TARGETS

    async def run(self) -> None:
        """Read what a first plan needs. Raises `PlatformError`, and `StateMismatch` when nothing recorded is found."""
        if self.request.listings:
            await together(self._list(dataset, tags) for dataset, tags in self._listings())
        imports = self.request.inputs.imports
        wanted = {entry.id for entry in imports if self.addresses is None or entry.target in self.addresses}
        await self.read_ids((self.recorded_ids | wanted) - self.seen.keys())
        await self.look_for_the_rest()

    def _listings(self) -> Iterator[tuple[str, dict[str, str]]]:
        """Datasets to list, with the tags that a batch must carry."""
        marker = self.request.marker
        for dataset, addresses in sorted(_by_dataset(self.request).items()):
            wanted = addresses if self.addresses is None else addresses & self.addresses
            if len(wanted) > len(addresses) // PAGE:
                yield dataset, marker
            else:
                yield from ((dataset, {**marker, ADDRESS_TAG: address}) for address in sorted(wanted))

    async def _list(self, dataset: str, tags: dict[str, str]) -> None:
        async for batch in self.catalog.list_batches(dataset, tags):
            self.seen[batch.id] = batch
            self.marked.add(batch.id)

    def bookmark(self) -> Bookmark | None:
        """Up to where Catalog was read; None where that does not pay, or where something was not found."""
        if self.read is not CatalogRead.EVERYTHING or self.request.unsettled or self.absent():
            return None
        return bookmark_of(self, newest=0)


def bookmark_of(reading: Reading, *, newest: int, full_at: int | None = None) -> Bookmark | None:
    """The bookmark of a reading that has found everything; None where Catalog tells no times, or too much differs.

    `newest` is when the last change was that an earlier reading saw, `full_at` when everything was read, if not now:
    both in epoch milliseconds by Catalog's clock.
    """
    began = reading.service_began
    stamps = [batch.updated for batch in reading.seen.values() if batch.id in reading.marked]
    if began is None or None in stamps:
        return None
    newest = max([newest, *filter(None, stamps)])
    records = reading.records.values()
    as_recorded = {r.id for r in records if (b := reading.seen.get(r.id)) is not None and is_as_recorded(r, b)}
    as_recorded = (as_recorded & reading.marked) | reading.trusted
    recheck = frozenset((reading.seen.keys() | reading.recorded_ids) - as_recorded)
    if len(recheck) > MOST_RECHECKED:
        return None
    return Bookmark(
        began=began,
        newest=newest,
        count=len(reading.marked),
        recheck=recheck,
        uncounted=recheck - reading.marked,
        full_at=began if full_at is None else full_at,
    )


def _in_scope(request: RefreshRequest) -> set[str] | None:
    """The addresses that the targets name, by their old names as well, and those that they replay; None for all."""
    targets, inputs = request.scope.targets, request.inputs
    if not targets.patterns:
        return None
    moved = moved_to(inputs.moves)
    found = {address for address in inputs.desired.keys() | inputs.records.keys() if targets.match(address)}
    found |= {target for origin, target in moved.items() if targets.match(origin)}
    found |= {origin for origin, target in moved.items() if target in found}
    specs = [each.spec for address in found if (each := inputs.desired.get(address)) is not None]
    return found | {name for spec in specs for name in spec.get("replaces", ()) if names_address(name)}


def _by_dataset(request: RefreshRequest) -> dict[str, set[str]]:
    """By dataset: the addresses that are declared or recorded in it, or were before they were moved.

    A batch whose record was lost still carries the name that it had when it was created.
    """
    inputs = request.inputs
    places = [(each.dataset, address) for address, each in inputs.desired.items()]
    places += [(each.dataset, address) for address, each in inputs.records.items()]
    for origin, target in moved_to(inputs.moves).items():
        if target in inputs.desired:
            places.append((inputs.desired[target].dataset, origin))
    found: dict[str, set[str]] = {}
    for dataset, address in places:
        found.setdefault(dataset, set()).add(address)
    return found
