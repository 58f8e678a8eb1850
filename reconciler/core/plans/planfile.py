"""A saved plan, read back. Trusts nothing in it: what does not say exactly what we would have written is refused.

The file is read into values, the values are written as JSON again, and both must be equal. So the part that a person
or a policy reads can never show less than the effects that are approved, and the digest stands for exactly them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, TypeGuard

from reconciler.core.address import Globs
from reconciler.core.diagnostics import Place
from reconciler.core.errors import Refused
from reconciler.core.identity import Identity
from reconciler.core.plans import document
from reconciler.core.plans.plan import Action, Change, Conflict, Drift, Orphan, Plan, Reason
from reconciler.core.plans.planner import Scope
from reconciler.core.states import lines
from reconciler.core.states.lines import LineError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import TypeVar

    from reconciler.core.batch import Json, Record
    from reconciler.core.states.lines import Fields

    T = TypeVar("T")

MAX_BYTES = 512 * 1024 * 1024
"""Largest file that is read; a change takes less than a kilobyte."""

LISTS = frozenset({"conflicts", "orphans", "resource_changes", "resource_drift"})

AGAIN = "make a new one with `reconciler plan --out FILE`, and have it reviewed"


@dataclass(frozen=True, slots=True)
class Approved:
    """What was reviewed: the plan of a plan file, and all that an apply may do of it."""

    plan: Plan

    @property
    def identity(self) -> Identity:
        """Whose state it is for."""
        return self.plan.identity

    @property
    def today(self) -> date:
        """The day that the manifests were expanded for."""
        return self.plan.today

    @property
    def digest(self) -> str:
        """SHA-256 of its actions, in hex."""
        return self.plan.digest

    @property
    def scope(self) -> Scope:
        """What the reviewed plan was asked to look at: an apply looks at the same."""
        plan = self.plan
        return Scope(Globs(plan.targets), frozenset(plan.replaced), plan.destroys_all, plan.refresh_only)

    @property
    def changes(self) -> Mapping[str, Change]:
        """What may be done, by address."""
        return {change.address: change for change in self.plan.changes}

    @property
    def effects(self) -> Mapping[str, Mapping[str, Json]]:
        """The exact effect of each change, by address."""
        return {change.address: change.effect for change in self.plan.changes}


def parse_plan(data: bytes) -> Approved:
    """What the file approves. Raises `Refused` when it is not exactly what `plan --out` wrote."""
    return Approved(plan_from_file(data))


def plan_from_file(data: bytes) -> Plan:
    """The plan of a file, as it was shown when it was saved. Raises `Refused` as `parse_plan` does."""
    fields = _document(data)
    _check_version(fields)
    try:
        plan = _plan(fields)
        _check_head(plan, fields)
    except LineError as error:
        raise Refused(
            "the plan file is not as `plan --out` wrote it: it was changed or damaged", detail=str(error), hint=AGAIN
        ) from error
    return plan


def _document(data: bytes) -> Fields:
    if len(data) > MAX_BYTES:
        raise Refused(
            f"the plan file has {len(data)} bytes, and more than {MAX_BYTES} are not read",
            hint="narrow the plan with `--target`",
        )
    try:
        return lines.fields_of(data.decode(), by_hand=True)
    except (UnicodeDecodeError, LineError) as error:
        raise Refused("this is not a plan file", detail=str(error), hint=AGAIN) from error


def _check_version(fields: Fields) -> None:
    version = fields.get("format_version")
    if version == document.FORMAT_VERSION:
        return
    if not isinstance(version, str):
        raise Refused("this is not a plan file: it has no `format_version`", hint=AGAIN)
    raise Refused(
        f"the plan file has format {version[:20]}, and this reconciler reads {document.FORMAT_VERSION}",
        hint="plan and apply with one version of reconciler",
    )


def _plan(fields: Fields) -> Plan:
    changes = tuple(_each(fields, "resource_changes", _change, document.resource_change))
    if len({change.address for change in changes}) < len(changes):
        raise LineError("`resource_changes` has an address twice")
    return Plan(
        identity=Identity(*(lines.text_in(fields, name) for name in ("project", "environment", "org", "sandbox"))),
        today=_day_in(fields, "today"),
        changes=changes,
        drift=tuple(_each(fields, "resource_drift", _drift, document.resource_drift)),
        conflicts=tuple(_each(fields, "conflicts", _conflict, document.conflict)),
        orphans=tuple(_each(fields, "orphans", _orphan, document.orphan)),
        recorded=lines.number_in(fields, "recorded", 0),
        declared=lines.number_in(fields, "declared", 0),
        unsettled=lines.number_in(fields, "unsettled", 0),
        targets=lines.texts_in(fields, "targets"),
        replaced=lines.texts_in(fields, "replaced"),
        destroys_all=_flag_in(fields, "destroys_all"),
        refresh_only=_flag_in(fields, "refresh_only"),
        how=_text_or_none(fields, "how") or "",
    )


def _check_head(plan: Plan, fields: Fields) -> None:
    """What is left of the document says the same as the values, digest and counts among it."""
    expected = document.head_of(plan)
    found = {name: value for name, value in fields.items() if name not in LISTS}
    lines.text_in(found, "reconciler_version")
    del found["reconciler_version"]
    if json.dumps(found, sort_keys=True) != json.dumps(expected, sort_keys=True):
        wrong = sorted(n for n in expected.keys() | found.keys() if _spelled(found, n) != _spelled(expected, n))
        raise LineError(", ".join(f"`{name}`" for name in wrong) + " does not agree with the changes")


def _spelled(fields: Fields, name: str) -> str:
    return json.dumps(fields.get(name), sort_keys=True) if name in fields else ""


def _each(fields: Fields, name: str, read: Callable[[Fields], T], write: Callable[[T], Fields]) -> Iterable[T]:
    """The items of a list as values. Each must be what would be written for its value."""
    items = fields.get(name)
    if not isinstance(items, list):
        raise LineError(f"`{name}` must be a list")
    for number, item in enumerate(items, 1):
        try:
            value = read(_object(item))
        except LineError as error:
            raise LineError(f"`{name}`, item {number}: {error}") from error
        written = write(value)
        if written != item:
            inside = _object(item)
            wrong = sorted(n for n in written.keys() | inside.keys() if _spelled(inside, n) != _spelled(written, n))
            names = ", ".join(f"`{each}`" for each in wrong)
            raise LineError(f"`{name}`, item {number}: {names} does not agree with the rest")
        yield value


# -- items


def _change(fields: Fields) -> Change:
    effect, shown = _object(fields.get("effect")), _object(fields.get("change"))
    return Change(
        action=_action_in(effect),
        address=lines.address_in(fields, "address"),
        reason=_reason_in(fields),
        before=_record(shown.get("before")),
        after=_record(shown.get("after")),
        previous_address=lines.address_in(effect, "previous_address") if effect.get("previous_address") else None,
        predecessors=lines.texts_in(effect, "predecessors"),
        withdraw=lines.texts_in(effect, "withdraw"),
        retags=_flag_in(effect, "retags"),
    )


def _record(value: Json) -> Record | None:
    """A record; its id is null where AEP has yet to choose one."""
    if value is None:
        return None
    fields = dict(_object(value))
    unknown = "id" in fields and fields["id"] is None
    record = lines.record_in({**fields, "id": "?"} if unknown else fields)
    return replace(record, id="") if unknown else record


def _drift(fields: Fields) -> Drift:
    return Drift(
        address=lines.address_in(fields, "address"),
        id=lines.text_in(fields, "id"),
        status=lines.text_in(fields, "status"),
        message=lines.text_in(fields, "message"),
        hint=_text_or_none(fields, "hint"),
        errors=lines.texts_in(fields, "errors"),
    )


def _conflict(fields: Fields) -> Conflict:
    file = _text_or_none(fields, "file")
    return Conflict(
        address=lines.address_in(fields, "address"),
        message=lines.text_in(fields, "message"),
        hint=lines.text_in(fields, "hint"),
        ids=lines.texts_in(fields, "ids"),
        place=None if file is None else Place(file, 0, ()),
    )


def _orphan(fields: Fields) -> Orphan:
    return Orphan(lines.text_in(fields, "id"), lines.text_in(fields, "status"), _text_or_none(fields, "address"))


# -- single values


def _object(value: Json) -> Fields:
    if _is_object(value):
        return value
    raise LineError("it must be an object")


def _is_object(value: Json) -> TypeGuard[Fields]:
    return isinstance(value, dict)


def _action_in(fields: Fields) -> Action:
    try:
        return Action(lines.text_in(fields, "action"))
    except ValueError as error:
        raise LineError("`action` is not one that this reconciler knows") from error


def _reason_in(fields: Fields) -> Reason:
    try:
        return Reason[lines.text_in(fields, "action_reason").upper()]
    except KeyError as error:
        raise LineError("`action_reason` is not one that this reconciler knows") from error


def _day_in(fields: Fields, name: str) -> date:
    try:
        return date.fromisoformat(lines.text_in(fields, name))
    except ValueError as error:
        raise LineError(f"`{name}` must be a date such as 2026-01-31") from error


def _flag_in(fields: Fields, name: str) -> bool:
    value = fields.get(name)
    if isinstance(value, bool):
        return value
    raise LineError(f"`{name}` must be true or false")


def _text_or_none(fields: Fields, name: str) -> str | None:
    value = fields.get(name)
    if value is None or isinstance(value, str):
        return value
    raise LineError(f"`{name}` must be a text or null")
