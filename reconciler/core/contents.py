"""What manifests say about a batch's content, and how far this version carries it out. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.core.diagnostics import Diagnostic, Severity
from reconciler.core.expand import locate_place

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.core.declaration import BatchManifest, Manifests
    from reconciler.core.source import Source


def not_carried_out(manifests: Manifests, sources: Sequence[Source]) -> Iterator[Diagnostic]:
    """A warning for each field that is checked but has no effect yet: nobody should believe that data was uploaded."""
    for dataset in manifests.datasets:
        for batch in dataset.batches:
            for field in _idle_fields(batch):
                place = replace(batch.place, route=(*batch.place.route, field))
                yield Diagnostic(
                    "not-carried-out",
                    f"`{field}` is checked, but this version does not carry it out: the batch is created and left open",
                    locate_place(sources, place),
                    hint="upload and complete it with the id that `reconciler output` prints",
                    severity=Severity.WARNING,
                )


def _idle_fields(batch: BatchManifest) -> Iterator[str]:
    if batch.files:
        yield "files"
    if batch.complete:
        yield "complete"
    if batch.spec.get("replaces"):
        yield "replaces"
