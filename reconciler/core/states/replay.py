"""State + journal → state: what is recorded once the facts of a run are taken in. Twice gives the same as once.

A journal may be older than the state (a run died after it wrote the state and before it cleared the journal), so
entries are facts about where batches stand, not orders. Of these facts

    about one batch       the last one counts: it stands at one address, or at none; it is always the same batch
    about one address     the highest generation counts, a lower one is history; the later one wins a tie
    about one generation  state and journal must name the same batch, unless one names the other as its rival
    about one file        the last step counts, and it belongs to the batch that it names
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from reconciler.core.errors import StateCorrupt
from reconciler.core.states.journal import Done, Dropped, Intent, OpenIntents, Staged, Uploaded, Uploading, follow
from reconciler.core.states.progress import Progress
from reconciler.core.states.state import clashes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from reconciler.core.batch import Record
    from reconciler.core.states.journal import Entry, Step
    from reconciler.core.states.state import State


@dataclass(frozen=True, slots=True)
class Replayed:
    """The state after the journal, and what the journal leaves undecided."""

    state: State
    open_intents: tuple[Intent, ...]
    """Neither done nor void, sorted by address and generation: to be settled by looking."""


def replay(state: State, entries: Iterable[Entry]) -> Replayed:
    """Return the state with the entries taken in; raises `StateCorrupt` with every contradiction."""
    facts = _facts(entries)
    records = {address: each for address, each in state.records.items() if facts.leaves(each)}
    contradictions = _changed(state, facts)
    for address, placed in sorted(facts.placed.items()):
        there = records.get(address, placed)
        latest = _latest(there, placed)
        if latest is None:
            contradictions.append(
                f"generation {placed.generation} at `{address}`: the state has batch `{there.id}`, "
                f"the journal batch `{placed.id}`"
            )
        else:
            records[address] = latest
    for (address, batch), steps in facts.steps.items():
        if address in records and records[address].id == batch:
            records[address] = _stepped(records[address], steps)
    if facts.placed:
        contradictions += clashes(records.values())
    if contradictions:
        raise StateCorrupt(
            "the journal contradicts the state",
            detail="\n".join(contradictions),
            hint="look at both batches in AEP; then move the journal away and record the right one with "
            "`reconciler import ADDRESS BATCH_ID`",
        )
    return Replayed(replace(state, records=records), _open(facts.intents, records))


def _changed(state: State, facts: _Facts) -> list[str]:
    """Name the batches that the journal has under another external id or in another dataset: those never change."""
    if not facts.placed:
        return []
    placed = {record.id: record for record in facts.placed.values()}
    return [
        f"batch `{was.id}`: the state has it at `{was.address}` with external id `{was.external_id}` in dataset "
        f"`{was.dataset}`, the journal at `{now.address}` with `{now.external_id}` in `{now.dataset}`"
        for was in state.records.values()
        if (now := placed.get(was.id)) is not None and (was.external_id, was.dataset) != (now.external_id, now.dataset)
    ]


def _stepped(record: Record, steps: Iterable[Step]) -> Record:
    progress = Progress(record)
    for step in steps:
        progress.take(step)
    return progress.record()


def open_intents(state: State, entries: Iterable[Entry]) -> tuple[Intent, ...]:
    """Return the intents that neither the entries nor the state decide; contradictions are not looked for."""
    return _open(_facts(entries).intents, state.records)


@dataclass(slots=True)
class _Facts:
    """What a journal says by its end."""

    placed: dict[str, Record] = field(default_factory=dict)
    """By address: the record that stands there."""
    where: dict[str, str] = field(default_factory=dict)
    """By batch id: the address of the record that is placed."""
    gone: set[tuple[str, str]] = field(default_factory=set)
    """Address and batch id of what no longer stands there."""
    reached: dict[str, int] = field(default_factory=dict)
    """By address: the highest generation that stood there."""
    intents: OpenIntents = field(default_factory=dict)
    steps: dict[tuple[str, str], list[Step]] = field(default_factory=dict)
    """By address and batch id: the steps since its record was last written whole."""

    def place(self, record: Record) -> None:
        there = self.placed.get(record.address)
        if there is not None and there.generation > record.generation:
            return
        if there is not None:
            self.take(there.address, there.id)
        if record.id in self.where:
            self.take(self.where[record.id], record.id)
        self.placed[record.address] = record
        self.where[record.id] = record.address
        self.gone.discard((record.address, record.id))
        self.steps.pop((record.address, record.id), None)
        self.reached[record.address] = max(record.generation, self.reached.get(record.address, 0))

    def take(self, address: str, batch: str) -> None:
        self.gone.add((address, batch))
        if self.where.get(batch) == address:
            del self.where[batch], self.placed[address]

    def leaves(self, record: Record) -> bool:
        """Whether the state's record may still stand where it does."""
        return (
            self.where.get(record.id, record.address) == record.address
            and (record.address, record.id) not in self.gone
            and self.reached.get(record.address, 0) <= record.generation
        )


def _facts(entries: Iterable[Entry]) -> _Facts:
    facts = _Facts()
    for entry in entries:
        follow(facts.intents, entry)
        if isinstance(entry, Done):
            facts.place(entry.record)
        elif isinstance(entry, Dropped):
            facts.take(entry.address, entry.id)
        elif isinstance(entry, Uploading | Uploaded | Staged):
            facts.steps.setdefault((entry.address, entry.id), []).append(entry)
    return facts


def _latest(there: Record, placed: Record) -> Record | None:
    """Return which of two records stands at their address; None if they contradict each other."""
    if placed.generation != there.generation:
        return max(there, placed, key=lambda each: each.generation)
    if placed.id == there.id or there.id in placed.rivals:
        return placed
    if placed.id in there.rivals:
        return there
    return None


def _open(intents: OpenIntents, records: Mapping[str, Record]) -> tuple[Intent, ...]:
    """The intents without those that a record has overtaken: a merged state may hold the batch already."""
    found = []
    for address, by_generation in sorted(intents.items()):
        there = records.get(address)
        settled = there.generation if there else 0
        found += [intent for generation, intent in sorted(by_generation.items()) if generation > settled]
    return tuple(found)
