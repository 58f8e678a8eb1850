"""One plan for each thing that a reviewer can meet. What they look like stands beside, in files of their names."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING

from reconciler.core.address import Globs
from reconciler.core.batch import Lifecycle, OnRemove, Spec
from reconciler.core.diagnostics import Place
from reconciler.core.manifests.project import Import, Move
from reconciler.core.plans.planner import Scope
from tests.examples import desired, observed, plan_of, recorded

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.core.plans.plan import Plan

PLACE = Place("manifests/loyalty.yaml", 0, ("moved", 0))
CRM = Spec(format="json", tags={"team": ["crm"]})
HOSTILE = "</details>\n```\n::error::x @all #1 | <img src=x> \x1b[31m\u202e##[error]y `a` ``b``"


def days(count: int, first: str = "2026-01-01") -> list[str]:
    """Dates in a row."""
    start = date.fromisoformat(first)
    return [(start + timedelta(number)).isoformat() for number in range(count)]


def every_action() -> Plan:
    """Create, adopt, import, update, replace (open and done), move, forget and delete."""
    wanted = [
        desired("loyalty/fresh", spec=CRM),
        desired("loyalty/found"),
        desired("loyalty/legacy"),
        desired("loyalty/tagged", spec=Spec(tags={"team": ["crm", "eu"]})),
        desired("loyalty/reformed", spec=Spec(format="json")),
        desired("loyalty/replayed", spec=Spec(format="csv", csv={"delimiter": ";"})),
        desired("loyalty/renamed"),
        desired("loyalty/again"),
        desired("loyalty/kept"),
        desired("orders/rules", lifecycle=Lifecycle(on_remove=OnRemove.DELETE)),
    ]
    known = [
        recorded("loyalty/tagged", "TAGGED", spec=Spec(tags={"team": ["crm"], "tier": ["gold"]})),
        recorded("loyalty/reformed", "OPEN", spec=Spec(format="parquet")),
        recorded("loyalty/replayed", "DONE", spec=Spec(format="csv", csv={"delimiter": ","})),
        recorded("loyalty/first", "MOVED"),
        recorded("loyalty/again", "ABORTED"),
        recorded("loyalty/kept", "KEPT"),
        recorded("loyalty/old", "OLD"),
        recorded("loyalty/older", "OLDER", on_remove=OnRemove.DELETE),
        recorded("orders/rules", "RULES"),
    ]
    seen = [
        *(observed(each.id, address=each.address, tags=each.spec.get("tags")) for each in known),
        observed("FOUND", address="loyalty/found"),
        replace(observed("01LEGACY", external_id="01LEGACY"), tags={}),
    ]
    seen[2] = replace(seen[2], status="success", format="csv")
    seen[4] = replace(seen[4], status="aborted")
    return plan_of(
        wanted,
        known,
        seen,
        moves=(Move("loyalty/first", "loyalty/renamed", PLACE),),
        imports=(Import("loyalty/legacy", "01LEGACY", PLACE),),
    )


def ranges() -> Plan:
    """Runs of dates: whole, with gaps, weekly, multiplied with regions, and with the day in a tag."""
    quarter = days(90)
    wanted = [desired(f"loyalty/daily/{day}", spec=CRM) for day in quarter]
    wanted += [desired(f"loyalty/holes/{day}") for day in quarter if day not in {"2026-01-10", "2026-02-03"}]
    wanted += [desired(f"loyalty/weekly/{day}") for day in days(364)[::7]]
    wanted += [desired(f"loyalty/regional/{day}/{region}") for day in quarter for region in ("apac", "emea")]
    wanted += [desired(f"loyalty/tagged/{day}", spec=Spec(tags={"day": [day, "x"]})) for day in quarter]
    wanted += [desired(f"loyalty/{name}") for name in ("initial-load", "other", "part-01", "part-02", "part-03")]
    known = [recorded(f"orders/daily/{day}", f"O{day}") for day in quarter]
    seen = [observed(each.id, address=each.address) for each in known]
    return plan_of(wanted, known, seen)


def more_ranges() -> Plan:
    """Runs of batches that are moved, replaced, replayed, adopted and deleted, and a value too long to show."""
    month = days(31)
    wanted = [desired(f"loyalty/{name}/{day}", spec=CRM) for name in ("opened", "replayed") for day in month]
    wanted += [desired(f"loyalty/{name}/{day}") for name in ("found", "to") for day in month]
    wanted.append(desired("loyalty/long", spec=Spec(tags={"t": ["x" * 1000]})))
    sides = [(recorded(f"loyalty/opened/{day}", f"A{day}"), "loading") for day in month]
    sides += [(recorded(f"loyalty/replayed/{day}", f"R{day}"), "success") for day in month]
    sides += [(recorded(f"loyalty/from/{day}", f"M{day}"), "loading") for day in month]
    sides += [(recorded(f"loyalty/gone/{day}", f"D{day}", on_remove=OnRemove.DELETE), "success") for day in month]
    seen = [observed(each.id, status, address=each.address) for each, status in sides]
    seen += [observed(f"F{day}", address=f"loyalty/found/{day}") for day in month]
    moves = tuple(Move(f"loyalty/from/{day}", f"loyalty/to/{day}", PLACE) for day in month)
    return plan_of(wanted, [each for each, _ in sides], seen, moves=moves)


def trouble() -> Plan:
    """Conflicts, drift with errors of the service, orphans, and creates of an earlier run that are undecided."""
    wanted = [desired(f"loyalty/{name}") for name in ("twice", "failed", "stalled")]
    wanted += [desired(f"loyalty/gone/{day}", lifecycle=Lifecycle(recreate_when=())) for day in days(5)]
    known = [recorded("loyalty/failed", "F"), recorded("loyalty/stalled", "S")]
    known += [recorded(f"loyalty/gone/{day}", f"G{day}") for day in days(5)]
    errors = tuple(f"DCVS-{number}-400: row {number} is not valid" for number in range(5))
    seen = [
        observed("B7", address="loyalty/twice"),
        observed("B8", address="loyalty/twice"),
        observed("F", "failed", address="loyalty/failed", errors=errors),
        observed("S", "stalled", address="loyalty/stalled"),
        observed("ORPHAN", address="loyalty/nobody"),
    ]
    return replace(plan_of(wanted, known, seen), unsettled=2, how="full refresh: 5 batches read")


def nothing() -> Plan:
    """Nothing to do."""
    return plan_of([desired()], [recorded()], [observed()])


def refresh_only() -> Plan:
    """Drift as the subject: a tag that another hand changed, and a batch that is gone."""
    known = [
        recorded("loyalty/gone", "G"),
        recorded("loyalty/tagged", "T", spec=Spec(tags={"team": ["crm"]})),
    ]
    seen = [observed("T", address="loyalty/tagged", tags={"team": ["sales"]})]
    return plan_of([], known, seen, scope=Scope(refresh_only=True))


def destroy() -> Plan:
    """Everything that is recorded goes, one address excepted by a target."""
    known = [recorded(f"loyalty/daily/{day}", f"D{day}") for day in days(3)] + [recorded("orders/one", "O")]
    seen = [observed(each.id, address=each.address) for each in known]
    return plan_of([], known, seen, scope=Scope(targets=Globs(("loyalty",)), destroy=True))


def withdrawals() -> Plan:
    """Batches that go, each by its verb: earlier generations, loaded ones, one that AEP still loads, replayed ones."""
    wanted = [
        desired("loyalty/deposing", spec=CRM),
        desired("loyalty/half-done"),
        desired("loyalty/loaded-meanwhile"),
        desired("loyalty/merging", spec=Spec(replaces=["loyalty/part", "01OTHER"])),
        desired("loyalty/part"),
    ]
    sides = [
        (recorded("loyalty/deposing", "THIRD", generation=3, deposed=("FIRST", "SECOND")), "loading"),
        (recorded("loyalty/half-done", "AFTER", generation=2, deposed=("BEFORE",)), "loading"),
        (recorded("loyalty/loaded-meanwhile", "KEPT", generation=2, deposed=("LOADED",)), "success"),
        (recorded("loyalty/part", "PART"), "success"),
        (recorded("loyalty/removed", "DONE", on_remove=OnRemove.DELETE), "success"),
    ]
    seen = [
        *(observed(r.id, status, address=r.address, generation=r.generation) for r, status in sides),
        observed("FIRST", "loading", address="loyalty/deposing"),
        observed("SECOND", "staging", address="loyalty/deposing", generation=2),
        observed("BEFORE", "aborted", address="loyalty/half-done"),
        observed("LOADED", "success", address="loyalty/loaded-meanwhile"),
    ]
    return plan_of(wanted, [record for record, _ in sides], seen)


def unread() -> Plan:
    """A plan that has not read Catalog cannot say by which verb a batch goes."""
    wanted = [desired("loyalty/changed", spec=CRM)]
    known = [recorded("loyalty/changed", "A"), recorded("loyalty/removed", "B", on_remove=OnRemove.DELETE)]
    return plan_of(wanted, known, None)


def hostile() -> Plan:
    """Text of others that tries to be markup, a command, or something else than it is."""
    wanted = [
        desired("loyalty/made", spec=Spec(tags={HOSTILE: [HOSTILE]})),
        desired("loyalty/failed"),
        desired("loyalty/tagged", spec=Spec(tags={"team": [HOSTILE]})),
    ]
    known = [
        recorded("loyalty/failed", "::error::F"),
        recorded("loyalty/old", HOSTILE),
        recorded("loyalty/tagged", "T", spec=Spec(tags={"team": ["`" * 10]})),
    ]
    seen = [
        observed("::error::F", "failed", address="loyalty/failed", errors=("::error::x", HOSTILE)),
        observed(HOSTILE, address="loyalty/old"),
        observed("T", address="loyalty/tagged", tags={"team": ["`" * 10]}),
        observed("##[error]orphan", address="::stop-commands::x"),
    ]
    return plan_of(wanted, known, seen)


EXAMPLES: dict[str, Callable[[], Plan]] = {
    example.__name__.replace("_", "-"): example
    for example in (
        *(every_action, ranges, more_ranges, trouble, nothing, refresh_only, destroy, withdrawals, unread, hostile),
    )
}
