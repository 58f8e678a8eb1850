"""The project file as values: environments, limits, and what the manifests declare beside batches."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.core.diagnostics import Place

EMULATOR_ORG = "000000000000000000000000@AdobeOrg"
"""The organisation of an environment with `emulator: true`: well formed, but not a real one."""


@dataclass(frozen=True, slots=True)
class Environment:
    """One AEP sandbox as a target, with a state file of its own."""

    name: str
    org: str
    """`<24 hex>@AdobeOrg`."""
    sandbox: str
    emulator: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one plan may do; None is no limit. A plan beyond is refused."""

    create: int | None = None
    replace: int | None = None
    delete: int | None = None


@dataclass(frozen=True, slots=True)
class Project:
    """`manifests/reconciler.yaml`."""

    name: str
    environments: Mapping[str, Environment]
    default_environment: str | None = None
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class Move:
    """An entry of `moved`: the record at `origin` is renamed to `target`; the batch stays."""

    origin: str
    target: str
    place: Place


@dataclass(frozen=True, slots=True)
class Import:
    """An entry of `imports`: the existing batch `id` is to be recorded at `target`."""

    target: str
    id: str
    place: Place
