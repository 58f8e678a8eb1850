"""How much a plan may do: the project's limits, and what looks like a wrong sandbox or an empty folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.core.address import Globs
from reconciler.core.errors import ReconcilerError, Refused, SettingsInvalid, StateMismatch
from reconciler.core.plans.plan import Action
from reconciler.core.wording import guess

if TYPE_CHECKING:
    from collections.abc import Collection

    from reconciler.core.manifests.project import Limits
    from reconciler.core.plans.plan import Plan
    from reconciler.core.plans.planner import Scope

MANY = 10
"""From this many recorded batches on, a plan that removes more than half of them is suspicious."""


def unmatched(scope: Scope, addresses: Collection[str]) -> SettingsInvalid | None:
    """Why the scope is a mistake: it names no batch, and a typing error must not look like a plan without changes."""
    for address in sorted(scope.replace):
        if address not in addresses:
            return SettingsInvalid(f"`--replace {address}` names no batch", hint=_meant(address, addresses))
    for pattern in scope.targets.patterns:
        if not any(map(Globs((pattern,)).match, addresses)):
            return SettingsInvalid(f"`--target {pattern}` matches no batch", hint=_meant(pattern, addresses))
    return None


def _meant(word: str, addresses: Collection[str]) -> str:
    return guess(word, addresses, "Declared or recorded")


def check_conflicts(plan: Plan) -> ReconcilerError | None:
    """What is wrong with the plan: something only a person can settle, or data files that are not as declared."""
    count = len(plan.conflicts)
    if not count:
        return None
    if not plan.blockers:
        return ReconcilerError(
            f"the data files of {count} address{'es are' if count > 1 else ' are'} not as declared",
            hint="correct the lines marked `!` above, or leave them out with `--target`",
        )
    return Refused(
        f"{count} address{'es need' if count > 1 else ' needs'} a decision, and nothing is guessed",
        hint="settle the lines marked `!` above, or leave them out with `--target`",
    )


def check_limits(plan: Plan, limits: Limits) -> Refused | None:
    """Why the plan goes beyond what its project allows; None when it does not.

    Batches are counted. A replacement is one new batch for the one that stood at its address, whether that is aborted
    or deactivated by a replay: `limits.replace`. Every other batch that is aborted, reverted or deactivated counts for
    `limits.delete`: those of addresses that go, earlier generations that are still there, and what `replaces` names.
    With `delete: 0` a plan takes data away only from the very addresses that it replaces.
    """
    summary = plan.summary
    replaced = sum(1 for change in plan.changes if change.action is Action.REPLACE)
    own = sum(1 for c in plan.changes if c.action is Action.REPLACE and c.before and c.before.id in c.destroys)
    counts = (
        ("create", summary.add - replaced, limits.create),
        ("replace", replaced, limits.replace),
        ("delete", summary.destroy - own, limits.delete),
    )
    beyond = [
        f"it would {verb} {count}, and `limits.{verb}` in the project file is {limit}"
        for verb, count, limit in counts
        if limit is not None and count > limit
    ]
    if not beyond:
        return _suspicion(plan)
    return Refused(
        "the plan goes beyond the project's limits: " + "; ".join(beyond),
        hint="raise `limits` in a reviewed change, narrow the run with `--target`, or pass `--ignore-limits`",
    )


def _suspicion(plan: Plan) -> Refused | None:
    """Why a plan is refused that removes (nearly) everything: mostly a folder of manifests is missing."""
    if plan.destroys_all:
        return None
    removed = sum(1 for change in plan.changes if change.action in {Action.FORGET, Action.DELETE} and not change.after)
    everything = removed == plan.recorded and removed > 1
    most = plan.recorded >= MANY and 2 * removed > plan.recorded
    if not (everything or most):
        return None
    return Refused(
        f"the plan would remove {removed} of {plan.recorded} recorded batches, more than it keeps",
        hint="are all manifests there? If this is meant, pass `--ignore-limits`",
    )


def all_missing(sought: int, recorded: int) -> StateMismatch | None:
    """An error when nothing that is recorded can be found: a wrong credential or sandbox, never drift.

    `sought` is how many of the recorded batches were looked for.
    """
    if sought < 2:  # noqa: PLR2004  (of one batch, all are missing as soon as one is)
        return None
    some = "" if sought == recorded else f"{sought} of "
    return StateMismatch(
        f"none of {some}the {recorded} recorded batches can be found in this sandbox",
        hint="check the credential, organisation and sandbox; if the batches are really gone (a reset sandbox), "
        "pass `--ignore-limits`",
    )
