"""A manifest made from what exists: text that `validate` accepts and that plans to nothing but imports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.core.batch import DEFAULT_FORMAT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.core.batch import Observed

FORMATS = frozenset({"json", "parquet", "csv"})
"""What a manifest can say; a batch in another format is declared without one."""


def discovered(name: str, dataset: str, batches: Sequence[Observed]) -> Iterator[str]:
    """The lines of a manifest that declares the batches of an AEP dataset under `name` and imports each.

    A batch is named by its id: AEP knows no better name, and `moved` gives it one later.
    """
    found = sorted(batches, key=lambda batch: (batch.created or 0, batch.id))
    yield f"dataset: {name}"
    yield f'id: "{dataset}"'
    yield "batches:" if found else "batches: {}"
    for batch in found:
        form = batch.format if batch.format in FORMATS and batch.format != DEFAULT_FORMAT else None
        yield f'  "{batch.id.lower()}": {{format: {form}}}' if form else f'  "{batch.id.lower()}":'
    yield "imports:" if found else "imports: []"
    for batch in found:
        yield f'  - {{to: "{name}/{batch.id.lower()}", id: "{batch.id}"}}'
