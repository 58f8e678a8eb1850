"""How a batch is found again: its external id and marker tags, pure functions of project, environment and address.

This is the only place that knows the grammar of external ids: `<project>.<digest of the address>.<generation>`, or a
manifest's own text, with the generation behind it from the second one on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection

PROJECT_TAG = "reconciler_project"
ENVIRONMENT_TAG = "reconciler_environment"
ADDRESS_TAG = "reconciler_address"
CONTENT_TAG = "reconciler_content"
"""Which files the batch was created for: AEP does not list those of an open batch."""

CHARACTERS = r"[A-Za-z0-9_.-]"
"""What an external id is made of: its charset in AEP is unverified (aep-api.md §4), and a comma means "any of" in
Catalog's filters (§8.3)."""

LONGEST = 64
"""Characters of an external id; the length that AEP takes is unverified (aep-api.md §4)."""

LONGEST_OWN = LONGEST - len(".999")
"""Characters of an external id in a manifest, so that later generations fit, too."""

_DIGEST_BYTES = 10


class ExternalIds(NamedTuple):
    """The external ids of one address, one for each generation."""

    base: str
    """What all of them begin with."""
    is_own: bool = False
    """Whether the base is a manifest's own text: then the first generation has no number."""

    @property
    def bases(self) -> Collection[str]:
        """What `base_of` makes of them; an own text may itself end like a generation: `load.7`."""
        return {self.base, base_of(self.base)} if self.is_own else (self.base,)

    def of(self, generation: int) -> str:
        """The external id of a generation: the same on every machine, for ever."""
        return self.base if self.is_own and generation == 1 else f"{self.base}.{generation}"

    def generation(self, external_id: str) -> int | None:
        """Which generation an external id names; None when it is not one of these."""
        if external_id == self.of(1):
            return 1
        base, generation = split_generation(external_id)
        return generation if base == self.base else None


def base_of(external_id: str) -> str:
    """The external id without the generation at its end, if it has one."""
    base, _, number = external_id.rpartition(".")
    return base if base and number.isdecimal() else external_id


def split_generation(external_id: str) -> tuple[str, int | None]:
    """The external id without the generation at its end, and the generation; None where it has none."""
    base = base_of(external_id)
    return base, None if base == external_id else int(external_id[len(base) + 1 :])


@dataclass(frozen=True, slots=True)
class Identity:
    """Which state this is: a state file, a journal and every external id belong to exactly one."""

    project: str
    environment: str
    org: str
    sandbox: str

    def external_ids(self, address: str, own: str | None = None) -> ExternalIds:
        """The external ids of an address; `own` is the one that its manifest gives."""
        if own is not None:
            return ExternalIds(own, is_own=True)
        seed = f"{self.project}\0{self.environment}\0{address}".encode()
        return ExternalIds(f"{self.project}.{blake2b(seed, digest_size=_DIGEST_BYTES).hexdigest()}")

    def marker(self, address: str) -> dict[str, list[str]]:
        """The tags added to each batch, the second way to find it (aep-api.md §4)."""
        return {
            PROJECT_TAG: [self.project],
            ENVIRONMENT_TAG: [self.environment],
            ADDRESS_TAG: [address],
        }


def is_derived(external_id: str, project: str) -> bool:
    """Whether a text has the form of the external ids that a project derives from addresses."""
    digest = rf"[0-9a-f]{{{2 * _DIGEST_BYTES}}}"
    return re.fullmatch(rf"{re.escape(project)}\.{digest}(\.[0-9]+)?", external_id) is not None
