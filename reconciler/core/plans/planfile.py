"""A saved plan, read back. Trusts nothing in it: what does not say exactly what we would have written is refused.

The file is read into values, the values are written as JSON again, and both must be equal. So the part that a person
or a policy reads can never show less than the effects that are approved, and the digest stands for exactly them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from reconciler.core.diagnostics import Place
from reconciler.core.errors import Refused
from reconciler.core.identity import Identity
from reconciler.core.plans.document import (
    FORMATS,
    PlanDocument,
    change_entry,
    conflict_entry,
    drift_entry,
    head_of,
    orphan_entry,
)
from reconciler.core.plans.observation import NOT_READ, CatalogRead
from reconciler.core.plans.plan import Change, Conflict, Drift, Orphan, Plan
from reconciler.core.states import lines
from reconciler.core.states.lines import LineError, encode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.core.plans.document import ChangeEntry, ConflictEntry, DriftEntry

    Object = dict[str, Any]

MAX_BYTES = 512 * 1024 * 1024
"""Largest file that is read; a change takes less than a kilobyte."""

AGAIN = "make a new one with `reconciler plan --out FILE`, and have it reviewed"


def parse_plan(data: bytes) -> Plan:
    """The plan of a file, as it was shown when it was saved.

    Raises `Refused` when the file is not exactly what `plan --out` wrote.
    """
    text, written = _document(data)
    _check_version(written)
    try:
        plan = _plan(lines.read(PlanDocument, text, strict=False))  # `_check` is stricter
        _check(plan, written)
    except LineError as error:
        raise Refused(
            "the plan file is not as `plan --out` wrote it: it was changed or damaged, or an older reconciler made it",
            detail=str(error),
            hint=AGAIN,
        ) from error
    return plan


def _document(data: bytes) -> tuple[str, Object]:
    """The text of the file and the JSON object that it is."""
    if len(data) > MAX_BYTES:
        raise Refused(
            f"the plan file has more than {MAX_BYTES} bytes, and so many are not read",
            hint="narrow the plan with `--target`",
        )
    try:
        text = data.decode()
        found = lines.refuse_doubled_keys(text)
    except (UnicodeDecodeError, LineError) as error:
        raise Refused("this is not a plan file", detail=str(error), hint=AGAIN) from error
    if not isinstance(found, dict):
        raise Refused("this is not a plan file: it is not a JSON object", hint=AGAIN)
    return text, found


def _check_version(written: Object) -> None:
    version = written.get("format_version")
    if version in FORMATS:
        return
    if not isinstance(version, str):
        raise Refused("this is not a plan file: it has no `format_version`", hint=AGAIN)
    raise Refused(
        f"the plan file has format {version[:20]}, and this reconciler reads {' and '.join(FORMATS)}",
        hint="plan and apply with one version of reconciler",
    )


# -- values


def _plan(document: PlanDocument) -> Plan:
    return Plan(
        identity=Identity(document["project"], document["environment"], document["org"], document["sandbox"]),
        today=document["today"],
        changes=tuple(map(_change, document["resource_changes"])),
        drift=tuple(map(_drift, document["resource_drift"])),
        conflicts=tuple(map(_conflict, document["conflicts"])),
        orphans=tuple(Orphan(each["id"], each["status"], each["address"]) for each in document["orphans"]),
        recorded=document["recorded"],
        declared=document["declared"],
        unsettled=document["unsettled"],
        targets=tuple(document["targets"]),
        replaced=tuple(document["replaced"]),
        destroys_all=document["destroys_all"],
        refresh_only=document["refresh_only"],
        read=document.get("read") or _read_of_older(document),
        how=document["how"],
    )


def _read_of_older(document: PlanDocument) -> CatalogRead:
    """How Catalog was read for a plan of reconciler 0.1.0, which says it in words only."""
    return CatalogRead.NOTHING if document["how"] == NOT_READ else CatalogRead.EVERYTHING


def _change(entry: ChangeEntry) -> Change:
    effect = entry["effect"]
    return Change(
        action=effect["action"],
        address=entry["address"],
        reason=entry["action_reason"],
        before=entry["change"]["before"],
        after=entry["change"]["after"],
        previous_address=effect["previous_address"],
        predecessors=effect["predecessors"],
        withdraw=effect["withdraw"],
        retags=effect["retags"],
    )


def _drift(entry: DriftEntry) -> Drift:
    return Drift(
        entry["address"], entry["id"], entry["status"], entry["message"], entry["hint"], tuple(entry["errors"])
    )


def _conflict(entry: ConflictEntry) -> Conflict:
    place = None if entry["file"] is None else Place(entry["file"], 0, ())
    return Conflict(entry["address"], entry["message"], entry["hint"], tuple(entry["ids"]), place)


# -- the values, written again


def _check(plan: Plan, written: Object) -> None:
    """Raise `LineError` unless the file says what its values say, digest and counts among it."""
    if len({change.address for change in plan.changes}) < len(plan.changes):
        raise LineError("`resource_changes` has an address twice")
    entries: dict[str, Iterator[object]] = {
        "resource_changes": map(change_entry, plan.changes),
        "resource_drift": map(drift_entry, plan.drift),
        "conflicts": map(conflict_entry, plan.conflicts),
        "orphans": map(orphan_entry, plan.orphans),
    }
    for name, expected in entries.items():
        for number, (entry, item) in enumerate(zip(expected, written[name], strict=True), 1):
            _compare(cast("Object", entry), item, f"`{name}`, item {number}: ", "the rest")
    head = head_of(plan)
    if "read" not in written:
        del head["read"]  # the file was written by an older version
    found = {name: value for name, value in written.items() if name not in {*entries, "reconciler_version"}}
    _compare(head, found, "", "the changes")


def _compare(expected: Object, found: Object, where: str, others: str) -> None:
    if encode(expected) == encode(found):
        return
    names = sorted(expected.keys() | found.keys())
    wrong = [name for name in names if encode([expected.get(name)]) != encode([found.get(name)])]
    raise LineError(f"{where}{', '.join(f'`{name}`' for name in wrong)} does not agree with {others}")
