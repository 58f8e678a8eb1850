"""A plan as JSON: the file that `apply` takes, and what policies and tools read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from reconciler import __version__
from reconciler.core.plans import document
from reconciler.views.escape import for_runner

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.core.plans.plan import Plan

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def dump_plan(plan: Plan) -> str:
    """The document: ASCII, keys sorted, one item of a list a line, a newline at the end."""
    fields = {name: _encode(value) for name, value in document.head_of(plan).items()}
    fields["reconciler_version"] = _encode(__version__)
    fields["conflicts"] = _lines(document.conflict_entry(each) for each in plan.conflicts)
    fields["orphans"] = _lines(document.orphan_entry(each) for each in plan.orphans)
    fields["resource_changes"] = _lines(document.change_entry(each) for each in plan.changes)
    fields["resource_drift"] = _lines(document.drift_entry(each) for each in plan.drift)
    return "{\n" + ",\n".join(f'"{name}":{fields[name]}' for name in sorted(fields)) + "\n}\n"


def _lines(items: Iterable[object]) -> str:
    """A list with one item a line."""
    lines = ",\n".join(map(_encode, items))
    return f"[\n{lines}\n]" if lines else "[]"


def _encode(value: object) -> str:
    return for_runner(_ENCODER.encode(value))
