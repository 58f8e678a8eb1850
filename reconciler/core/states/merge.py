"""Two versions of one state made one, for Git. It joins facts and never chooses between two."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING

from reconciler.core.errors import StateMismatch
from reconciler.core.states.state import State, clashes

if TYPE_CHECKING:
    from reconciler.core.batch import Record


def merge(base: State | None, ours: State, theirs: State) -> State:
    """Return the state with what both sides added, changed and removed since `base`, None if there is none.

    Raises `StateMismatch` that names every contradiction at once: both sides changed one address differently,
    one batch came to stand at two addresses, or the sides belong to different environments.
    """
    for side in (theirs, base):
        if side is not None and side.identity != ours.identity:
            raise StateMismatch(
                "these are states of different environments",
                detail="\n".join(_whose(each) for each in (ours, side)),
                hint="merge the versions of one state file; each environment has its own",
            )
    before = base.records if base else {}
    records: dict[str, Record] = {}
    contradictions: list[str] = []
    for address in sorted({*before, *ours.records, *theirs.records}):
        mine, other, was = ours.records.get(address), theirs.records.get(address), before.get(address)
        merged = other if mine == was else mine
        if mine not in (was, other) and other != was:
            merged = _decided(mine, other)
            if merged is None:
                contradictions.append(_contradiction(address, mine, other))
                continue
        if merged is not None:
            records[address] = merged
    contradictions += clashes(records.values())
    if contradictions:
        raise StateMismatch(
            "the two sides contradict each other",
            detail="\n".join(contradictions),
            hint="look at these batches in AEP, then keep the right lines by hand: `reconciler state check`",
        )
    return State(ours.identity, records)


def _decided(ours: Record | None, theirs: Record | None) -> Record | None:
    """What two records of one generation come to when one side decided against the other's batch; None if neither did.

    That is how two runs at the same time end (`apply.rivals`): one keeps its batch, the other gives its own up.
    """
    if ours is None or theirs is None:
        return None
    rivals = tuple(sorted({*ours.rivals, *theirs.rivals}))
    for kept, given_up in ((ours, theirs), (theirs, ours)):
        is_settled = kept.id == given_up.id or (given_up.id in kept.rivals and kept.id not in given_up.rivals)
        if is_settled and replace(given_up, id=kept.id, rivals=kept.rivals) == kept:
            return replace(kept, rivals=rivals)
    return None


def _contradiction(address: str, ours: Record | None, theirs: Record | None) -> str:
    if ours is not None and theirs is not None and ours.id == theirs.id:
        differing = [each.name for each in fields(ours) if getattr(ours, each.name) != getattr(theirs, each.name)]
        return f"`{address}`: batch `{ours.id}` on both sides, but they differ in {', '.join(differing)}"
    return f"`{address}`: ours {_fact(ours)}, theirs {_fact(theirs)}"


def _whose(state: State) -> str:
    who = state.identity
    return f"project `{who.project}`, environment `{who.environment}`, {who.org}, sandbox `{who.sandbox}`"


def _fact(record: Record | None) -> str:
    return "removed it" if record is None else f"has batch `{record.id}` of generation {record.generation}"
