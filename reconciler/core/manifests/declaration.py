"""What the manifests of a project declare, as values: checked in themselves, not yet expanded for an environment."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.core.batch import Lifecycle, Spec
    from reconciler.core.diagnostics import Place
    from reconciler.core.manifests.dates import Dimension
    from reconciler.core.manifests.project import Import, Move, Project
    from reconciler.core.manifests.templates import Bound


Each = tuple[tuple[str, "Dimension"], ...]
"""The dimensions of a batch in the order written, each with its name."""


@dataclass(frozen=True, slots=True)
class BatchManifest:
    """One entry of `batches`, the dataset's defaults merged in: one batch, or with `each` a family of them."""

    name: str
    spec: Spec
    """Shared between batches where it is the same; with placeholders, if there are any."""
    lifecycle: Lifecycle
    place: Place
    each: Each = ()
    external_id: str | None = None
    globs: tuple[str, ...] = ()
    """`files` as written."""
    complete: bool = False
    templates: Mapping[str, Bound] = field(default_factory=dict)
    """Those of its texts that are filled in for each address: as written → as read."""


@dataclass(frozen=True, slots=True)
class DatasetManifest:
    """One dataset and its batches."""

    name: str
    id: str | Mapping[str, str]
    """The dataset's id in AEP: for all environments, or by environment."""
    batches: tuple[BatchManifest, ...]
    place: Place

    def id_in(self, environment: str) -> str | None:
        """Return the dataset's id in an environment; None if the manifest names none."""
        return self.id if isinstance(self.id, str) else self.id.get(environment)


@dataclass(frozen=True, slots=True)
class Manifests:
    """All manifests of a project."""

    project: Project
    datasets: tuple[DatasetManifest, ...] = ()
    moves: tuple[Move, ...] = ()
    imports: tuple[Import, ...] = ()
