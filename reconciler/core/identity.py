"""How a batch is found again: its external id and marker tags, pure functions of project, environment and address."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

PROJECT_TAG = "reconciler_project"
ENVIRONMENT_TAG = "reconciler_environment"
ADDRESS_TAG = "reconciler_address"
MARKER_TAGS = frozenset({PROJECT_TAG, ENVIRONMENT_TAG, ADDRESS_TAG})


@dataclass(frozen=True, slots=True)
class Identity:
    """Which state this is: a state file, a journal and every external id belong to exactly one."""

    project: str
    environment: str
    org: str
    sandbox: str

    def external_id(self, address: str, generation: int) -> str:
        """The client-chosen id of one generation at an address: the same on every machine, for ever.

        At most 64 of `[A-Za-z0-9_.-]`, since its charset and length in AEP are unverified (aep-api.md §4) and a
        comma means "any of" in Catalog's filters (§8.3).
        """
        seed = f"{self.project}\0{self.environment}\0{address}".encode()
        return f"{self.project}.{blake2b(seed, digest_size=10).hexdigest()}.{generation}"

    def marker(self, address: str) -> dict[str, list[str]]:
        """The tags added to each batch, the second way to find it (aep-api.md §4)."""
        return {
            PROJECT_TAG: [self.project],
            ENVIRONMENT_TAG: [self.environment],
            ADDRESS_TAG: [address],
        }
