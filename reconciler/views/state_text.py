"""What is recorded, as text: `state list`, `state show`, `state check` and `output`. Sorted, one batch a line."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from reconciler.core.errors import ReconcilerError
from reconciler.core.plans.plan import Action
from reconciler.core.states.lines import fields_of
from reconciler.views.amounts import undecided_creates
from reconciler.views.escape import LONGEST_OF_MANY, for_terminal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from reconciler.core.batch import Json, Observed, Record
    from reconciler.core.plans.plan import Plan


def list_text(records: Mapping[str, Record]) -> Iterator[str]:
    """Address, id and generation of each record, aligned."""
    ids = {address: for_terminal(records[address].id) for address in sorted(records)}
    address_width, id_width = max(map(len, ids), default=0), max(map(len, ids.values()), default=0)
    for address, batch in ids.items():
        yield f"{address:<{address_width}}  {batch:<{id_width}}  generation {records[address].generation}"


def show_text(record: Record, observed: Observed | None = None, problem: str | None = None) -> Iterator[str]:
    """All that is known of one record and, if Catalog was asked, of its batch; `problem` is how they contradict."""
    yield record.address
    for name, value in sorted(fields_of(record).items()):
        if name != "address":
            yield f"  {name}: {_value(value)}"
    if observed is not None:
        yield f"  status: {for_terminal(observed.status)}"
        for name, count in (("records", observed.records), ("failed records", observed.failed_records)):
            if count is not None:
                yield f"  {name}: {count}"
        for error in observed.errors:
            yield f"  error: {for_terminal(error)}"
    if problem is not None:
        yield f"  ! the batch {for_terminal(problem)}"


def _value(value: Json) -> str:
    return for_terminal(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True))


def show_json(record: Record) -> str:
    """The fields of the record as in its line of the state file."""
    return json.dumps(fields_of(record), indent=2, sort_keys=True)


def check_text(plan: Plan) -> list[str]:
    """What disagrees between state, journal and Catalog; one line says so if nothing does."""
    return list(_contradictions(plan)) or [
        f"State, journal and Catalog agree: {plan.recorded} recorded, {plan.declared} declared."
    ]


def _contradictions(plan: Plan) -> Iterator[str]:
    for conflict in plan.conflicts:
        yield f"! {for_terminal(conflict.address)}: {for_terminal(conflict.message)}"
        yield f"    hint: {for_terminal(conflict.hint)}"
    for drift in plan.drift:
        yield f"! {for_terminal(drift.address)}: batch {for_terminal(drift.id)} {for_terminal(drift.message)}"
        yield from (f"    error: {for_terminal(error, LONGEST_OF_MANY)}" for error in drift.errors)
    for change in plan.changes:
        if change.action is Action.ADOPT and change.after is not None:
            batch = for_terminal(change.after.id)
            yield f"! {change.address}: batch {batch} stands there, and the state does not know it: run `apply`"
    for orphan in plan.orphans:
        said = f", made for {for_terminal(orphan.address)}" if orphan.address else ""
        yield f"! batch {for_terminal(orphan.id)} carries our marker{said}, and no record knows it"
    if plan.unsettled:
        yield f"! {undecided_creates(plan.unsettled)}: run `apply`"


def output_text(ids: Mapping[str, str]) -> list[str]:
    """`address id` lines, aligned."""
    width = max(map(len, ids), default=0)
    return [f"{address:<{width}} {for_terminal(ids[address])}" for address in sorted(ids)]


def output_json(ids: Mapping[str, str]) -> list[str]:
    """One object, `{"address": "id"}`."""
    return [json.dumps(dict(ids), indent=2, sort_keys=True)]


def output_env(ids: Mapping[str, str]) -> list[str]:
    """`KEY='id'` lines for a shell. KEY is the address in capitals, with `_` for what is no letter or digit.

    Raises `ReconcilerError` if two addresses have the same KEY, or if an id cannot be the value of a shell variable.
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
        lines.append(f"{key}={_quoted(address, ids[address])}")
    return lines


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
