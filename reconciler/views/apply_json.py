"""An apply as a stream of JSON, one event a line, in the form of Terraform's machine-readable UI.

The last line is always the `change_summary`, also when the run was refused. The caller passes the clock, since a view
never reads one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler import __version__
from reconciler.core.address import split
from reconciler.core.errors import ManifestInvalid
from reconciler.core.plans.document import TYPE
from reconciler.core.plans.events import Account, Completed, Ending, Failed, Sent, Started, Waiting
from reconciler.core.plans.plan import Action
from reconciler.views.apply_text import (
    UNLOOKED,
    complete_line,
    failed_addresses,
    first_addresses,
    first_request_id,
    same_errors,
)
from reconciler.views.escape import for_runner
from reconciler.views.plan_text import summary_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from reconciler.core.batch import Json
    from reconciler.core.diagnostics import Diagnostic
    from reconciler.core.errors import ReconcilerError
    from reconciler.core.plans.events import Event
    from reconciler.core.plans.plan import Change, Plan

    Object = dict[str, Json]

UI_VERSION = "1.0"

UI_ACTIONS = {
    Action.CREATE: "create",
    Action.ADOPT: "adopt",
    Action.IMPORT: "import",
    Action.UPDATE: "update",
    Action.REPLACE: "replace",
    Action.MOVE: "move",
    Action.FORGET: "remove",
    Action.DELETE: "delete",
}
"""What Terraform's stream calls each action; `adopt` is our own word."""


@dataclass(frozen=True, slots=True)
class Stream:
    """The lines of one run."""

    now: Callable[[], datetime]
    """The time, with its zone."""

    def opening(self) -> Iterator[str]:
        """The version of this program and of the stream's format."""
        yield self._line("info", f"reconciler {__version__}", "version", reconciler=__version__, ui=UI_VERSION)

    def planned(self, plan: Plan) -> Iterator[str]:
        """All drift, all planned changes, and the counts."""
        for drift in plan.drift:
            change: Object = {"action": "update", "resource": _resource(drift.address)}
            said = f"{drift.address}: batch {drift.id} {drift.message}"
            yield self._line("info", said, "resource_drift", change=change, errors=list(drift.errors))
        for each in plan.changes:
            said = f"{each.address}: plan to {UI_ACTIONS[each.action]}"
            yield self._line("info", said, "planned_change", change=_planned(each))
        yield self._plan_summary(plan)

    def event(self, event: Event) -> Iterator[str]:
        """One event of the engine."""
        match event:
            case Started(change=change):
                yield self._line("info", f"{change.address}: {change.action}…", "apply_start", hook=_hook(change))
            case Completed(change=change, id=batch, adopted=adopted, elapsed=elapsed):
                hook = _hook(change) | {"id_key": "id", "id_value": batch, "elapsed_seconds": round(elapsed, 3)}
                if adopted:
                    hook["action"] = UI_ACTIONS[Action.ADOPT]
                yield self._line("info", f"{change.address}: done [id={batch}]", "apply_complete", hook=hook)
            case Failed(change=change, error=error, unknown=unknown, elapsed=elapsed):
                hook = _hook(change) | {"elapsed_seconds": round(elapsed, 3), "outcome_unknown": unknown}
                yield self._line("error", f"{change.address}: {error.summary}", "apply_errored", hook=hook)
            case Waiting(message=message):
                yield self._line("info", message, "log")
            case Sent():
                return

    def closing(self, account: Account, error: ReconcilerError | None = None) -> Iterator[str]:
        """The account: diagnostics (batches not recorded, batches loaded in part, each kind of error), then the counts.

        `error` is what went wrong after the run itself.
        """
        for address, batch in sorted(account.unrecorded):
            said = f"batch {batch} exists and could not be written down"
            yield self._diagnostic(said, f"it stands at {address}", "run apply again: it is found and adopted", address)
        for address, counts in sorted(account.partial):
            yield self._diagnostic("AEP loaded the batch without some of its records", counts, None, address, "warning")
        if account.unlooked:
            yield self._diagnostic(UNLOOKED, f"at {first_addresses(sorted(account.unlooked))}", None, None, "warning")
        for failures in same_errors(account):
            first, request = failures[0], first_request_id(failures)
            parts = (f"at {failed_addresses(failures)}", first.error.detail, request and f"request id: {request}")
            detail = "\n".join(part for part in parts if part)
            yield self._diagnostic(first.error.summary, detail, first.error.hint, first.address)
        for cause in filter(None, (account.cause, error)):
            yield from self._ended_by(cause)
        changes: Object = {
            "add": account.created,
            "adopt": account.adopted,
            "change": account.changed,
            "complete": account.completed,
            "failed": len(account.failures),
            "forget": account.forgotten,
            "import": account.imported,
            "move": account.moved,
            "operation": "apply",
            "remove": account.destroyed,
            "skipped": account.skipped,
            "unknown": account.unknown,
            "yielded": account.yielded,
            "upload": account.uploaded,
        }
        yield self._line("info", complete_line(account), "change_summary", changes=changes)

    def not_begun(self, error: ReconcilerError | None) -> Iterator[str]:
        """The account of a run that ended before its first change: by the error, or by a signal if there is none."""
        yield from self.closing(Account(ending=Ending.NOT_BEGUN, cause=error))

    def _ended_by(self, error: ReconcilerError) -> Iterator[str]:
        """One diagnostic for the error, or one for each mistake in the manifests."""
        if isinstance(error, ManifestInvalid):
            for each in error.diagnostics:
                yield self._diagnostic(each.message, _position(each), each.hint, None, each.severity)
        else:
            yield self._diagnostic(error.summary, error.detail, error.hint, None)

    def _plan_summary(self, plan: Plan) -> str:
        count = plan.summary
        changes: Object = {
            "add": count.add,
            "adopt": count.adopt,
            "change": count.change,
            "drift": count.drift,
            "forget": count.forget,
            "import": count.imported,
            "move": count.move,
            "operation": "plan",
            "remove": count.destroy,
        }
        return self._line("info", summary_line(plan), "change_summary", changes=changes, digest=plan.digest)

    def _diagnostic(
        self, summary: str, detail: str | None, hint: str | None, address: str | None, severity: str = "error"
    ) -> str:
        diagnostic: Object = {"severity": severity, "summary": summary, "detail": detail or "", "hint": hint}
        if address is not None:
            diagnostic["address"] = address
        level = "warn" if severity == "warning" else severity
        return self._line(level, f"{severity.capitalize()}: {summary}", "diagnostic", diagnostic=diagnostic)

    def _line(self, level: str, message: str, kind: str, **fields: Json) -> str:
        event: Object = {
            "@level": level,
            "@message": message,
            "@module": "reconciler.ui",
            "@timestamp": self.now().isoformat(timespec="microseconds"),
            "type": kind,
            **fields,
        }
        return for_runner(json.dumps(event, sort_keys=True, separators=(",", ":")))


def _position(diagnostic: Diagnostic) -> str | None:
    span = diagnostic.span
    return f"{span.file}:{span.line}:{span.column}" if span is not None else None


def _resource(address: str) -> Object:
    dataset, name = split(address)
    return {
        "addr": address,
        "implied_provider": "aep",
        "module": "",
        "resource": address,
        "resource_key": None,
        "resource_name": name,
        "resource_type": TYPE,
        "dataset": dataset,
    }


def _hook(change: Change) -> Object:
    return {"action": UI_ACTIONS[change.action], "resource": _resource(change.address)}


def _planned(change: Change) -> Object:
    planned = _hook(change) | {"reason": change.reason.name.lower()}
    if change.previous_address is not None:
        planned["previous_resource"] = _resource(change.previous_address)
    if change.action in {Action.ADOPT, Action.IMPORT} and change.after is not None:
        planned["importing"] = {"id": change.after.id}
    return planned
