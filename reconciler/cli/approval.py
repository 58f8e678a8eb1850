"""How an apply is approved: by a person at the terminal, by a flag, or by an earlier plan (that or less)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from reconciler.core.errors import SettingsInvalid

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

    from reconciler.cli.invocation import Invocation
    from reconciler.cli.reporting import Reporter
    from reconciler.core.plans.plan import Plan
    from reconciler.operations import Options
    from reconciler.workspace import Declared


MOST_NAMES = 5
"""How many addresses that are no longer needed are named."""


def read_plan(invocation: Invocation, path: Path) -> Plan:
    """The plan of a file. Raises `Refused` for one that `plan --out` did not write, and `SettingsInvalid`."""
    from reconciler.core.plans.planfile import MAX_BYTES, parse_plan

    return parse_plan(invocation.read(path, MAX_BYTES))


@dataclass(slots=True)
class Approval:
    """Decides what of a plan may be done, once the plan is known."""

    invocation: Invocation
    report: Reporter
    approved: Plan | None
    digest: str | None
    auto: bool
    declined: bool = False
    """Whether a person said no."""

    @classmethod
    def read(
        cls,
        invocation: Invocation,
        report: Reporter,
        planfile: Path | None,
        digest: str | None,
        *,
        auto_approve: bool,
        can_ask: bool,
    ) -> Approval:
        """Read the approved plan. Raises `SettingsInvalid` if nothing approves and no person can be asked."""
        approved = read_plan(invocation, planfile) if planfile is not None else None
        auto = auto_approve or approved is not None or digest is not None
        if not auto and not (can_ask and invocation.console.is_interactive):
            raise SettingsInvalid(
                "`apply` cannot ask for approval here",
                hint="pass `--auto-approve`, a file made by `plan --out FILE`, or `--approved DIGEST`",
            )
        return cls(invocation, report, approved, digest, auto)

    @property
    def today(self) -> date | None:
        """The day that the approved plan was made for. Raises `Refused` for one that needs `--today`."""
        from reconciler.core.plans.approval import require_recent

        if self.approved is None:
            return None
        require_recent(self.approved, datetime.now(UTC).date())
        return self.approved.today

    def scoped(self, options: Options) -> Options:
        """The options with the targets of the approved plan, unless `--target` gives others.

        Raises `Refused` where the plan was made with other flags, which an apply has to be given itself.
        """
        from reconciler.core.address import Globs
        from reconciler.core.plans.approval import require_flags

        if self.approved is None:
            return options
        scope = options.scope
        require_flags(self.approved, scope)
        if scope.targets.patterns:
            return options
        return replace(options, scope=replace(scope, targets=Globs(self.approved.targets)), is_recalled=True)

    def __call__(self, declared: Declared, proposed: Plan) -> Plan | None:
        """What of the proposed plan may be done; None if a person says no. Raises `Refused`."""
        self.invocation.warn(declared)
        allowed = self._allowed(proposed)
        self.report.show(allowed)
        if not allowed.has_changes or allowed.blockers or self.auto:
            return allowed
        answer = click.prompt(
            "\nOnly `yes` will be accepted to approve. Apply this plan", default="", show_default=False
        )
        self.declined = answer != "yes"
        return None if self.declined else allowed

    def _allowed(self, proposed: Plan) -> Plan:
        from reconciler.core.plans import approval

        if self.digest is not None:
            approval.require_digest(proposed, self.digest)
            return proposed
        if self.approved is None:
            return proposed
        comparison = approval.compare(self.approved, proposed)
        if comparison.no_longer_needed:
            names = ", ".join(comparison.no_longer_needed[:MOST_NAMES])
            more = len(comparison.no_longer_needed) - MOST_NAMES
            rest = f" and {more} more" if more > 0 else ""
            self.invocation.console.err([f"approved and no longer needed: {names}{rest}"])
        return comparison.allowed
