"""A manifest made from existing batches: `validate` accepts it, and its plan holds only imports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.core.batch import DEFAULT_FORMAT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.core.batch import Observed

FORMATS = frozenset({"json", "parquet", "csv"})
"""The formats that a manifest can name; a batch in another format is declared without one."""


def discovered(name: str, dataset: str, batches: Sequence[Observed]) -> Iterator[str]:
    """The lines of a manifest that declares the batches of an AEP dataset under `name` and imports each of them.

    A batch is named by its id: AEP has no better name, and `moved` can rename it later.
    """
    found = sorted(batches, key=lambda batch: (batch.created or 0, batch.id))
    yield f"dataset: {name}"
    yield f'id: "{dataset}"'
    yield "batches:" if found else "batches: {}"
    for batch in found:
        needs_format = batch.format in FORMATS - {DEFAULT_FORMAT}
        yield f'  "{batch.id.lower()}":' + (f" {{format: {batch.format}}}" if needs_format else "")
    yield "imports:" if found else "imports: []"
    for batch in found:
        yield f'  - {{to: "{name}/{batch.id.lower()}", id: "{batch.id}"}}'
