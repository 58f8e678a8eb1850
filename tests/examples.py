"""Builders with defaults, for values that tests compare: each test spells out only what it is about."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from reconciler.core.batch import Desired, Lifecycle, Observed, OnRemove, Record, Spec
from reconciler.core.diagnostics import Place
from reconciler.core.identity import Identity
from reconciler.core.plans.observation import Observation
from reconciler.core.plans.planner import PlanInputs, Scope, make_plan

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.core.manifests.project import Import, Move
    from reconciler.core.plans.plan import Plan

DATASET = "5c8c3c555033b814b69f947f"
TODAY = date(2026, 3, 31)
WHO = Identity("acme-crm", "dev", "0123456789ABCDEF01234567@AdobeOrg", "dev")
ADDRESS = "loyalty/daily"
PLACE = Place("manifests/loyalty.yaml", 0, ("batches", "daily"))


def desired(
    address: str = ADDRESS,
    *,
    dataset: str = DATASET,
    spec: Spec | None = None,
    lifecycle: Lifecycle | None = None,
    external_id: str | None = None,
) -> Desired:
    """A declared batch."""
    return Desired(address, dataset, spec or Spec(), lifecycle or Lifecycle(), PLACE, external_id)


def recorded(
    address: str = ADDRESS,
    id: str = "B1",  # noqa: A002  (the field's own name)
    *,
    generation: int = 1,
    spec: Spec | None = None,
    on_remove: OnRemove = OnRemove.FORGET,
    dataset: str = DATASET,
    external_id: str | None = None,
    deposed: tuple[str, ...] = (),
    rivals: tuple[str, ...] = (),
) -> Record:
    """A recorded batch."""
    external = external_id or WHO.external_ids(address).of(generation)
    return Record(address, id, dataset, external, generation, on_remove, spec or Spec(), deposed, rivals)


def observed(
    id: str = "B1",  # noqa: A002
    status: str = "loading",
    *,
    address: str = ADDRESS,
    generation: int = 1,
    external_id: str | None = None,
    dataset: str = DATASET,
    tags: dict[str, list[str]] | None = None,
    format: str | None = None,  # noqa: A002
    predecessors: tuple[str, ...] = (),
    replay_reason: str | None = None,
    errors: tuple[str, ...] = (),
) -> Observed:
    """A batch in Catalog, made by us unless said otherwise."""
    marked = {**WHO.marker(address), **(tags or {})}
    return Observed(
        id=id,
        status=status,
        datasets=frozenset({dataset}),
        external_id=external_id or WHO.external_ids(address).of(generation),
        tags={name: tuple(values) for name, values in marked.items()},
        format=format,
        predecessors=predecessors,
        replay_reason=replay_reason,
        errors=errors,
    )


def plan_of(
    wanted: Iterable[Desired] = (),
    known: Iterable[Record] = (),
    seen: Iterable[Observed] | None = (),
    *,
    moves: tuple[Move, ...] = (),
    imports: tuple[Import, ...] = (),
    scope: Scope | None = None,
) -> Plan:
    """The plan for three sides; `seen=None` is `--no-refresh`."""
    sides = PlanInputs(
        identity=WHO,
        desired={each.address: each for each in wanted},
        records={each.address: each for each in known},
        observation=None if seen is None else Observation.of(seen),
        moves=moves,
        imports=imports,
    )
    return make_plan(sides, today=TODAY, scope=scope)
