"""What differs between two records, attribute by attribute, for people. No decision rests on it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reconciler.core.batch import Json, OnRemove, Record, Spec

    Path = tuple[str, ...]

_PLAIN = re.compile(r"[A-Za-z0-9_-]+\Z")


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute and its two values; None where it is not set."""

    name: str
    """Such as `format`, `csv.delimiter` or `tags.team`."""
    before: Json
    after: Json


@dataclass(frozen=True, slots=True)
class Facts:
    """What a manifest says of a batch and a record keeps: all that a person compares."""

    spec: Spec
    dataset: str
    on_remove: OnRemove

    @classmethod
    def of(cls, record: Record) -> Facts:
        """The facts of a record."""
        return cls(record.spec, record.dataset, record.on_remove)

    def tree(self) -> dict[str, Json]:
        """As plain JSON, spec fields first."""
        return {**self.spec, "dataset": self.dataset, "on_remove": self.on_remove.value}  # type: ignore[dict-item]


def attributes_of(facts: Facts) -> tuple[Attribute, ...]:
    """Every attribute that is set; the default `on_remove: forget` is not shown."""
    found = [
        Attribute(_name(path), None, value)
        for path, value in sorted(_leaves(facts.tree()).items())
        if (path, value) != (("on_remove",), "forget")
    ]
    return tuple(sorted(found, key=lambda each: each.name == "dataset"))


def changed(before: Facts, after: Facts) -> tuple[Attribute, ...]:
    """The attributes that differ, by name. A list is one value: a tag's old and new values are shown whole."""
    if before == after:
        return ()
    old, new = _leaves(before.tree()), _leaves(after.tree())
    return tuple(Attribute(_name(path), old.get(path), new.get(path)) for path in _differing(old, new))


def _differing(old: dict[Path, Json], new: dict[Path, Json]) -> list[Path]:
    from deepdiff import DeepDiff  # noqa: PLC0415  (a tenth of a second that `--version` must not pay)

    # By default DeepDiff calls two objects that share less than a third of their keys one change of the whole.
    return sorted(DeepDiff(old, new, threshold_to_diff_deeper=0).affected_root_keys)


def _leaves(tree: dict[str, Json], above: Path = ()) -> dict[Path, Json]:
    """Every value that is not an object, by its path. An empty object is no attribute."""
    found: dict[Path, Json] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            found |= _leaves(value, (*above, name))
        else:
            found[*above, name] = value
    return found


def _name(path: Path) -> str:
    """The path as a person writes it; a name that is not plain stands in brackets."""
    first, *rest = path
    return first + "".join(f".{step}" if _PLAIN.match(step) else f"[{step!r}]" for step in rest)
