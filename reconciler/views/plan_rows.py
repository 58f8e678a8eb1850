"""The changes of a plan as rows for people: changes with the same action, reason and attributes are one row.

Text and Markdown are made from these rows. Every text in them is safe for a terminal. A row names its addresses as
ranges: 100,000 creates from one manifest are one row and one line.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING

from reconciler.core.address import keys_of, split
from reconciler.core.batch import Spec
from reconciler.core.plans.attributes import Facts, attributes_of, changed
from reconciler.core.plans.plan import Action, Reason, WithdrawVerb
from reconciler.core.ranges import GAPS, address_ranges
from reconciler.views.amounts import amount, counted
from reconciler.views.escape import LONGEST_OF_MANY, for_terminal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from reconciler.core.batch import Json, Record
    from reconciler.core.plans.attributes import Attribute
    from reconciler.core.plans.plan import Change
    from reconciler.core.ranges import AddressRange

WITHDRAWS = {WithdrawVerb.ABORT: "aborts", WithdrawVerb.REVERT: "reverts", WithdrawVerb.UNKNOWN: "aborts"}
"""What is said of a batch that goes; one that is gone is not told again."""

MOST_NAMED = 3
"""Up to so many addresses, a row lists each with its batch."""

MOST_LISTED = 100
"""Up to so many addresses whose batches go, a row lists each; of more, it names them in ranges."""

MOST_IN_A_NOTE = 50
"""Ids that one note names, and attributes that one row shows; more are counted."""


@dataclass(frozen=True, slots=True)
class Row:
    """Changes that are shown together."""

    action: Action
    reason: Reason
    labels: tuple[str, ...]
    """Addresses and ranges, one for each line."""
    notes: tuple[str, ...]
    """Attributes, and what else to know, one for each line."""
    count: int
    """How many changes."""


def by_dataset(changes: Iterable[Change]) -> Iterator[tuple[str, list[Change]]]:
    """The changes of each dataset, in the order of addresses."""
    for dataset, group in groupby(changes, key=lambda change: split(change.address)[0]):
        yield dataset, list(group)


def withdraws(change: Change) -> bool:
    """Whether a batch that is there now goes: deleted, replaced, aborted, reverted or replayed."""
    return change.action in {Action.DELETE, Action.REPLACE} or bool(change.withdraw or change.predecessors)


def rows(changes: Sequence[Change]) -> list[Row]:
    """The rows of one dataset's changes, in the order of their first addresses."""
    comparable = _ComparableRecords()
    alike: dict[tuple[object, ...], list[Change]] = {}
    for change in changes:
        key = (
            change.action,
            change.reason,
            comparable.key(change.before, change.address) if change.action is not Action.CREATE else None,
            comparable.key(change.after, change.address),
            _previous_parent(change),
            tuple(sorted({each.verb for each in change.withdraw})),
            not change.predecessors,
            not change.uploads,
            change.completes,
        )
        alike.setdefault(key, []).append(change)
    return [_row(group) for group in alike.values()]


def _previous_parent(change: Change) -> str | None:
    """The address that the record is moved from, without its last part."""
    return None if change.previous_address is None else change.previous_address.rpartition("/")[0]


def _row(group: list[Change]) -> Row:
    first = group[0]
    notes = (*_attribute_notes(group), *_other_notes(group))
    return Row(first.action, first.reason, tuple(_labels(group)), notes, len(group))


# -- labels


def _labels(group: list[Change]) -> list[str]:
    if len(group) <= MOST_NAMED:
        return [_named(change) for change in group]
    if withdraws(group[0]):
        return _all_named(group)
    if group[0].previous_address is not None:
        return [_moved_range(group)]
    return _in_ranges(group)


def _all_named(group: list[Change]) -> list[str]:
    """Every address whose batch goes; of many, those with nothing more to say in ranges, but in none with gaps."""
    with_others = [_named(change) + others for change in group if (others := _others(change))]
    labels = with_others + _in_ranges([change for change in group if not _others(change)])
    if len(group) <= MOST_LISTED or any(GAPS in label for label in labels):
        return [_named(change) + _others(change) for change in group]
    return labels


def _in_ranges(group: list[Change]) -> list[str]:
    at = {change.address: change for change in group}
    return [_named(at[each.first]) if each.count == 1 else each.text for each in address_ranges(list(at))]


def _moved_range(group: list[Change]) -> str:
    old = address_ranges(sorted(change.previous_address or change.address for change in group))
    new = address_ranges([change.address for change in group])
    return f"{_one_label(old, len(group))} → {_one_label(new, len(group))}"


def _one_label(ranges: list[AddressRange], count: int) -> str:
    first = ranges[0]
    return first.text if len(ranges) == 1 else f"{first.first} and {count - 1} more"


def _named(change: Change) -> str:
    """One address with what identifies its batch."""
    address = change.address
    if change.previous_address is not None:
        address = f"{for_terminal(change.previous_address)} → {address}"
    identity = _identity(change)
    return f"{address}  {identity}" if identity else address


def _others(change: Change) -> str:
    """The batches that go beside the one that stands there: the notes of a long row only count them."""
    others = [each for each in change.destroys if not change.before or each != change.before.id]
    return f"  with {_ids(others)}" if others else ""


def _identity(change: Change) -> str:
    old = for_terminal(change.before.id) if change.before else ""
    new = for_terminal(change.after.id) if change.after else ""
    generation = f"generation {change.after.generation}" if change.after and change.after.generation > 1 else ""
    match change.action:
        case Action.CREATE | Action.REPLACE:
            return " → ".join(filter(None, (old, generation)))
        case Action.ADOPT | Action.IMPORT:
            return new
        case Action.UPDATE:
            return old if old == new else f"{old} → {new}"
        case Action.MOVE | Action.FORGET | Action.DELETE:
            return old


# -- notes


def _attribute_notes(group: list[Change]) -> list[str]:
    """What is created, as one line; or what changes, one line for each attribute."""
    first = group[0]
    after = _facts([change.after for change in group], first.address)
    if after is None:
        return []
    if first.action is Action.CREATE:
        named = [f"{_value_name(each)}: {_value(each.after)}" for each in attributes_of(after)]
        return [", ".join(_first(named))]
    before = _facts([change.before for change in group], first.address)
    if before is None:
        return []
    return _first([f"{_value_name(e)}: {_value(e.before)} → {_value(e.after)}" for e in changed(before, after)])


def _first(texts: list[str]) -> list[str]:
    """The first texts, and how many more there are."""
    more = len(texts) - MOST_IN_A_NOTE
    return [*texts[:MOST_IN_A_NOTE], f"and {more} more"] if more > 0 else texts


def _value_name(each: Attribute) -> str:
    return for_terminal(each.name, LONGEST_OF_MANY)


def _facts(records: list[Record | None], address: str) -> Facts | None:
    """What to show for records of one row; `{key}` stands in it only if the records differ by their keys."""
    first = records[0]
    if first is None:
        return None
    same = all(each is not None and (each.spec is first.spec or each.spec == first.spec) for each in records)
    facts = Facts.of(first)
    return facts if same else replace(facts, spec=_generic(first.spec, address))


def _value(value: Json) -> str:
    if value is None:
        return "(not set)"
    return for_terminal(json.dumps(value, ensure_ascii=False, sort_keys=True), LONGEST_OF_MANY)


def _other_notes(group: list[Change]) -> Iterator[str]:
    """What is replayed, uploaded, completed and withdrawn; batches by id as long as they are few."""
    first = group[0]
    named = len(group) <= MOST_NAMED
    replayed = [each for change in group for each in change.predecessors]
    if replayed:
        yield f"replays {_ids(replayed)}" if named else f"replays {len(replayed)} batches"
    uploads = [file for change in group for file in change.uploads]
    if uploads:
        files, size = counted(len(uploads), "file", "files"), amount(sum(file.size for file in uploads))
        yield f"uploads {files} ({size}){', completes' if first.completes else ''}"
    elif first.completes:
        yield "completes"
    for verb, word in WITHDRAWS.items():
        ids = [each.id for change in group for each in change.withdraw if each.verb is verb]
        if ids:
            yield f"{word} {_ids(ids) if named else f'{len(ids)} batches'}"
    if any(each.verb is WithdrawVerb.UNKNOWN for each in first.withdraw):
        yield "only what is still open then: Catalog was not read"


def _ids(ids: Sequence[str]) -> str:
    return ", ".join(_first([for_terminal(each, LONGEST_OF_MANY) for each in ids]))


class _ComparableRecords:
    """Records as values that are equal if the records can share a row: their address's own keys stand as `{key}`.

    Addresses often share one spec object, so its text is kept by `id()`. That is safe as long as the changes, which
    hold the specs, are alive.
    """

    def __init__(self) -> None:
        self._texts: dict[int, str] = {}

    def key(self, record: Record | None, address: str) -> tuple[object, ...] | None:
        """What must be equal for two records to share a row."""
        if record is None:
            return None
        return (self._text(record.spec, address), record.dataset, record.on_remove, record.generation > 1)

    def _text(self, spec: Spec, address: str) -> str:
        text = self._texts.get(id(spec))
        if text is None:
            text = self._texts[id(spec)] = json.dumps(_generic(spec, address), sort_keys=True)
        return text


ORDINALS = ("first key", "second key", "third key", "fourth key", "fifth key")
"""How a plan names the keys of an address that a tag repeats: a record does not hold the manifest's own names."""


def _generic(spec: Spec, address: str) -> Spec:
    """The spec with the address's own keys as `{key}` in its tags.

    A short key, such as `1`, is only replaced where it is the whole value.
    """
    tags = spec.get("tags")
    keys = keys_of(address)
    if not tags or not keys:
        return spec
    names = ["{key}"] if len(keys) == 1 else [f"{{{word}}}" for word in ORDINALS]

    def with_names(text: str) -> str:
        for key, name in zip(keys, names, strict=False):
            if text == key or len(key) >= len("2026-01"):
                text = text.replace(key, name)
        return text

    generic = Spec(**spec)
    generic["tags"] = {name: [with_names(value) for value in values] for name, values in tags.items()}
    return generic
