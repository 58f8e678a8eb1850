"""What is recorded, as text: `state list`, `state show`, `state check` and `output`. Sorted, one batch a line."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Protocol

from reconciler.core.errors import ReconcilerError
from reconciler.core.plans.plan import Action
from reconciler.core.states.lines import fields_of
from reconciler.views.escape import for_terminal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from reconciler.core.batch import Json, Observed, Record
    from reconciler.core.plans.plan import Plan


class Checked(Protocol):
    """What `state check` found."""

    @property
    def plan(self) -> Plan:
        """What an apply would do."""

    @property
    def unsettled(self) -> int:
        """Open intents of an earlier run."""

    @property
    def is_sound(self) -> bool:
        """Whether state, journal and Catalog tell one story."""


def list_text(records: Mapping[str, Record]) -> Iterator[str]:
    """Address, id and generation of each record, aligned."""
    ids = {address: for_terminal(records[address].id) for address in sorted(records)}
    wide, wider = max(map(len, ids), default=0), max(map(len, ids.values()), default=0)
    for address, batch in ids.items():
        yield f"{address:<{wide}}  {batch:<{wider}}  generation {records[address].generation}"


def show_text(record: Record, observed: Observed | None = None) -> Iterator[str]:
    """All that is known of one record and, where Catalog was asked, of its batch."""
    yield record.address
    for name, value in sorted(record_json(record).items()):
        if name != "address":
            yield f"  {name}: {_value(value)}"
    if observed is not None:
        yield f"  status: {for_terminal(observed.status)}"
        for name, count in (("records", observed.records), ("failed records", observed.failed_records)):
            if count is not None:
                yield f"  {name}: {count}"
        for error in observed.errors:
            yield f"  error: {for_terminal(error)}"


def _value(value: Json) -> str:
    return for_terminal(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True))


def record_json(record: Record) -> dict[str, Json]:
    """The fields of a line of the state file."""
    return fields_of(record)


def check_text(report: Checked) -> Iterator[str]:
    """What disagrees between state, journal and Catalog, one line each."""
    plan = report.plan
    for conflict in plan.conflicts:
        yield f"! {for_terminal(conflict.address)}: {for_terminal(conflict.message)}"
        yield f"    hint: {for_terminal(conflict.hint)}"
    for drift in plan.drift:
        yield f"! {for_terminal(drift.address)}: batch {for_terminal(drift.id)} {for_terminal(drift.message)}"
    for change in plan.changes:
        if change.action is Action.ADOPT and change.after is not None:
            batch = for_terminal(change.after.id)
            yield f"! {change.address}: batch {batch} exists, and no record knows it: run `apply`"
    for orphan in plan.orphans:
        said = f", made for {for_terminal(orphan.address)}" if orphan.address else ""
        yield f"! batch {for_terminal(orphan.id)} carries our marker{said}, and no record knows it"
    if report.unsettled:
        what = "create of an earlier run is" if report.unsettled == 1 else "creates of an earlier run are"
        yield f"! {report.unsettled} {what} undecided: run `apply`"
    if report.is_sound:
        yield f"State, journal and Catalog agree: {plan.recorded} recorded, {plan.declared} declared."


def output_text(ids: Mapping[str, str]) -> str:
    """`address id`, aligned, one a line."""
    wide = max(map(len, ids), default=0)
    return "".join(f"{address:<{wide}} {for_terminal(ids[address])}\n" for address in sorted(ids))


def output_json(ids: Mapping[str, str]) -> str:
    """`{"address": "id"}`."""
    return json.dumps(dict(ids), indent=2, sort_keys=True) + "\n"


def output_env(ids: Mapping[str, str]) -> str:
    """`KEY='id'` for a shell, KEY being the address in capitals with `_` for everything else.

    Raises `ReconcilerError` when two addresses have one KEY, or an id could not be a shell variable's value.
    """
    taken: dict[str, str] = {}
    lines = []
    for address in sorted(ids):
        key = _variable(address)
        if key in taken:
            raise ReconcilerError(
                f"`{taken[key]}` and `{address}` would both be the variable `{key}`",
                hint="name one of them with a GLOB, or use `--format json`",
            )
        taken[key] = address
        lines.append(f"{key}={_quoted(address, ids[address])}\n")
    return "".join(lines)


def _variable(address: str) -> str:
    key = re.sub(r"[^A-Z0-9]", "_", address.upper())
    return f"_{key}" if key[0].isdigit() else key


def _quoted(address: str, batch: str) -> str:
    if not batch.isprintable():
        raise ReconcilerError(
            f"the id of `{address}` has characters that no shell variable should hold",
            hint="use `--format json`",
        )
    return "'" + batch.replace("'", "'\\''") + "'"
