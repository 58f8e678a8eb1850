"""A plan as JSON: the file that `apply` takes, and what policies and tools read. Streamed, one change a line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from reconciler import __version__
from reconciler.core.plans import document
from reconciler.views.escape import for_runner

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.core.plans.plan import Plan

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def dump_plan(plan: Plan) -> Iterator[bytes]:
    """The document as bytes: keys sorted, one item of a list a line, a newline at the end."""
    head, lists = _head(plan), _lists(plan)
    opening = "{\n"
    for name in sorted(head.keys() | lists.keys()):
        yield f'{opening}"{name}":'.encode()
        yield from _items(lists[name]) if name in lists else (_encode(head[name]).encode(),)
        opening = ",\n"
    yield b"\n}\n"


def _encode(value: object) -> str:
    return for_runner(_ENCODER.encode(value))


def _items(items: Iterator[object]) -> Iterator[bytes]:
    opening = "["
    for item in items:
        yield f"{opening}\n{_encode(item)}".encode()
        opening = ","
    yield b"[]" if opening == "[" else b"\n]"


def _head(plan: Plan) -> dict[str, object]:
    return {**document.head_of(plan), "reconciler_version": __version__}


def _lists(plan: Plan) -> dict[str, Iterator[object]]:
    return {
        "conflicts": (document.conflict_entry(each) for each in plan.conflicts),
        "orphans": (document.orphan_entry(each) for each in plan.orphans),
        "resource_changes": (document.change_entry(each) for each in plan.changes),
        "resource_drift": (document.drift_entry(each) for each in plan.drift),
    }
