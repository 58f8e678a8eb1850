"""What exists in the emulated organisation from the start."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - dataclass fields are read at run time by tools and tests
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class World:
    """Datasets, sandboxes, organisations and credentials. By default there is no dataset, and anyone is let in."""

    datasets: frozenset[str] = frozenset()
    """Dataset ids that every sandbox has."""
    sandbox_datasets: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Further dataset ids, by sandbox name."""
    any_dataset: bool = False
    """Whether every dataset id is known."""
    sandboxes: frozenset[str] | None = None
    """The sandboxes that exist; None: any. A request that names none goes to `prod` (E5)."""
    orgs: frozenset[str] | None = None
    """The organisations with access; None: any that is well formed (E4)."""
    clients: Mapping[str, str] | None = None
    """Client id to secret; None: any client, any secret, any token but an expired one of the emulator (E2)."""

    def has_dataset(self, sandbox: str, dataset: str) -> bool:
        """Whether the sandbox has the dataset."""
        return self.any_dataset or dataset in self.datasets_of(sandbox)

    def datasets_of(self, sandbox: str) -> frozenset[str]:
        """Return the dataset ids that the sandbox is known to have."""
        return self.datasets | self.sandbox_datasets.get(sandbox, frozenset())
