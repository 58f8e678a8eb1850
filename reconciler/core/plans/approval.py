"""The plan of now against the plan that was approved: that or less, never more.

After a half-finished apply a second one has to be able to finish: what the first one did makes later plans smaller in a
few known ways, and `is_no_more` names each of them. Everything else is more than was approved, and is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import groupby, islice
from typing import TYPE_CHECKING

from reconciler.core.errors import Refused, SettingsInvalid
from reconciler.core.plans.plan import Action, WithdrawVerb
from reconciler.core.ranges import address_ranges
from reconciler.core.wording import listed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from reconciler.core.batch import Record
    from reconciler.core.plans.plan import Change, Plan
    from reconciler.core.plans.planner import Scope

MOST_LINES = 20
"""Lines of the difference that a refusal shows."""

LONGEST_REVIEW = timedelta(days=30)
"""How old the day of a plan file may be: what a review takes, and the holidays."""

MOST_FLAGS = 5
"""Flags that a hint spells out."""

_DIGEST = re.compile(r"[0-9a-f]{64}\Z")

COVERED = {
    WithdrawVerb.ABORT: {WithdrawVerb.ABORT, WithdrawVerb.NONE},
    WithdrawVerb.REVERT: {WithdrawVerb.REVERT, WithdrawVerb.NONE},
    WithdrawVerb.UNKNOWN: {WithdrawVerb.UNKNOWN, WithdrawVerb.ABORT, WithdrawVerb.NONE},
    WithdrawVerb.NONE: {WithdrawVerb.NONE},
}
"""What the approval of a verb covers. Loaded data goes only where its reverting was approved; a batch that was to be
reverted and takes data again is not the one that was reviewed."""

NOT_PLANNED = "is not in the approved plan"


@dataclass(frozen=True, slots=True)
class Comparison:
    """A plan that stays within what was approved."""

    allowed: Plan
    """What is left to do."""
    no_longer_needed: tuple[str, ...]
    """Addresses whose approved change needs no doing any more."""


def compare(approved: Plan, now: Plan) -> Comparison:
    """What may be done now. Raises `Refused`, with the difference, when any of it is more than was approved.

    `require_flags` has compared what both were asked for.
    """
    _check_subject(approved, now)
    now = _without_finished(approved, now)
    changes = {change.address: change for change in approved.changes}
    excess = tuple(change for change in now.changes if not _is_covered(change, changes))
    if excess:
        raise Refused(
            f"the plan has {len(excess)} change{'s' if len(excess) > 1 else ''} beyond what was approved",
            detail="\n".join(_shown(excess, changes)),
            hint="have a new plan reviewed (`reconciler plan --out FILE`), or pass the flags that the approved one was "
            "made with (`--target`, `--replace`)",
        )
    left = {change.address for change in now.changes} | {conflict.address for conflict in now.conflicts}
    return Comparison(now, tuple(address for address in changes if address not in left))


def require_digest(now: Plan, digest: str) -> None:
    """Raise `Refused` unless the plan is exactly the one with this digest, or has nothing to do.

    A digest does not tell what is less: a half-finished apply is finished with a plan file or with a new approval.
    """
    if not _DIGEST.match(digest):
        raise SettingsInvalid(
            "`--approved` takes the 64 hexadecimal digits that stand in the plan's `Digest:` line",
            hint="copy the whole line's value; a shortened digest is not accepted",
        )
    if now.changes and now.digest != digest:
        raise Refused(
            "the plan is not the approved one",
            detail=f"approved: {digest}\nnow:      {now.digest}",
            hint="manifests, state or Catalog changed since, or an earlier apply did part of it: have the new plan "
            "approved, or apply a plan file (`plan --out FILE`), of which the rest can be told",
        )


def _check_subject(approved: Plan, now: Plan) -> None:
    """Raise `Refused` when the two plans are not about the same thing."""
    pairs = [
        (name, getattr(approved.identity, name), getattr(now.identity, name))
        for name in ("project", "environment", "org", "sandbox")
    ]
    wrong = [f"{name}: approved for `{was}`, this run is for `{is_}`" for name, was, is_ in pairs if was != is_]
    if wrong:
        raise Refused(
            "the approved plan is for another " + ", ".join(name for name, was, is_ in pairs if was != is_),
            detail="\n".join(wrong),
            hint="check `--env` and the project file, or take the plan file of this environment",
        )


def require_flags(approved: Plan, scope: Scope) -> None:
    """Raise `Refused` unless the apply itself was asked for the same kind of plan as the approved one.

    Whoever can put a plan file in place of another one must gain nothing: what it makes an apply do is bounded by the
    manifests and by the flags of this very command line. So a file brings neither `--destroy` nor `--replace` nor
    `--refresh-only`. `--target` only leaves out, and may come from it.
    """
    was = _flags(approved.replaced, destroy=approved.destroys_all, refresh_only=approved.refresh_only)
    given = _flags(scope.replace, destroy=scope.destroy, refresh_only=scope.refresh_only)
    for made, differing in (("with", was - given), ("without", given - was)):
        if names := sorted(differing):
            more = f" and {len(names) - MOST_FLAGS} more" if len(names) > MOST_FLAGS else ""
            named = listed(names[:MOST_FLAGS]) + more
            raise Refused(
                f"the approved plan was made {made} {named}",
                hint=f"run `apply` {made} the same, if that is what was reviewed: a plan file cannot ask for it",
            )


def _flags(addresses: Collection[str], *, destroy: bool, refresh_only: bool) -> set[str]:
    asked = {"--destroy": destroy, "--refresh-only": refresh_only, **{f"--replace {each}": True for each in addresses}}
    return {flag for flag, is_given in asked.items() if is_given}


def require_recent(approved: Plan, now: date) -> None:
    """Raise `Refused` for a plan file whose `today` no review explains; `now` is the UTC date.

    The day decides which partitions of a range exist. A file may bring that of the last weeks; a day to come would
    create batches that nobody declared yet, and one long past is an old file.
    """
    if now - LONGEST_REVIEW <= approved.today <= now:
        return
    when = "which is still to come" if approved.today > now else f"more than {LONGEST_REVIEW.days} days ago"
    raise Refused(
        f"the plan file was made for {approved.today}, {when}",
        hint=f"make a new plan, or pass `--today {approved.today}` if that day is meant",
    )


def _without_finished(approved: Plan, now: Plan) -> Plan:
    """The plan of now without the replacements that `--replace` asks for again, though the approved ones are done."""
    asked = {change.address: change for change in approved.changes if change.address in now.replaced}
    finished = {
        change.address
        for change in now.changes
        if (was := asked.get(change.address)) is not None
        and change.before is not None
        and not change.before.deposed
        and was.creates
        and _is_made(was, change.before)
    }
    left = tuple([change for change in now.changes if change.address not in finished])
    return replace(now, changes=left) if finished else now


def _is_covered(now: Change, approved: Mapping[str, Change]) -> bool:
    was = approved.get(now.address)
    return was is not None and is_no_more(was, now)


def is_no_more(approved: Change, now: Change) -> bool:
    """Whether the change of now is the approved one, or what is left of it."""
    if not _withdraws_no_more(approved, now):
        return False
    is_same = {**now.effect, "withdraw": None} == {**approved.effect, "withdraw": None}
    if is_same and now.before == approved.before:
        return True
    if is_same and now.action is not Action.UPDATE:
        return False
    return _asks_no_more(approved, now) and _is_rest(approved, now)


def _is_rest(approved: Change, now: Change) -> bool:
    """Whether the change of now is of a kind that a half-finished apply of the approved one leaves."""
    match now.action:
        case Action.CREATE:
            return _is_rest_of_creation(approved, now)
        case Action.ADOPT:
            return approved.creates and _is_made(approved, now.before, empty=True) and _is_made(approved, now.after)
        case Action.DELETE if now.after is not None:
            return _is_made(approved, now.after)
        case Action.DELETE | Action.FORGET:
            return _is_rest_of_removal(approved, now)
        case Action.UPDATE:
            return _is_rest_of_content(approved, now)
        case Action.IMPORT | Action.REPLACE | Action.MOVE:
            return False


def _asks_no_more(approved: Change, now: Change) -> bool:
    """Whether all that is renamed, tagged or completed was approved."""
    same_move = now.previous_address in {None, approved.previous_address}
    return same_move and not now.retags and now.completes <= approved.completes


def _withdraws_no_more(approved: Change, now: Change) -> bool:
    """Whether the approved verbs cover each batch that is withdrawn now."""
    verbs = dict(approved.withdraw)
    return all(each.id in verbs and each.verb in COVERED[verbs[each.id]] for each in now.withdraw)


def _is_rest_of_removal(approved: Change, now: Change) -> bool:
    """A removal of the same batch, part of which is done: fewer to withdraw, or just the record left."""
    same = now.before is not None and approved.before is not None and now.before.id == approved.before.id
    return same and approved.action is Action.DELETE and approved.after is None and now.after is None


def _is_rest_of_creation(approved: Change, now: Change) -> bool:
    """The same create with fewer batches to withdraw: the one to be replaced is gone meanwhile."""
    same = approved.creates and now.before == approved.before and now.predecessors == approved.predecessors
    return same and now.after is not None and approved.after is not None and _is_same(approved.after, now.after)


def _is_rest_of_content(approved: Change, now: Change) -> bool:
    """Files and completion of the approved batch that are left: it ends exactly as was approved."""
    before, after = now.before, now.after
    if before is None or after is None or not _is_made(approved, after):
        return False
    return replace(before, deposed=after.deposed, files=after.files, begun=after.begun, stage=after.stage) == after


def _is_made(approved: Change, record: Record | None, *, empty: bool = False) -> bool:
    """Whether the record is the approved one, with its id from AEP; `empty` leaves out files and stage."""
    wanted = approved.after
    if record is None or wanted is None or not record.id:
        return False
    if empty:
        record = replace(record, files=wanted.files, begun=wanted.begun, stage=wanted.stage)
    return _is_same(replace(wanted, id=record.id) if approved.creates else wanted, record)


def _is_same(approved: Record, record: Record) -> bool:
    """Whether two records are equal but for withdrawn batches that are done with."""
    return set(record.deposed) <= set(approved.deposed) and replace(record, deposed=approved.deposed) == approved


# -- the difference, for people


def _shown(excess: tuple[Change, ...], approved: Mapping[str, Change]) -> list[str]:
    lines = list(islice(_differences(excess, approved), MOST_LINES))
    if len(lines) < MOST_LINES:
        return lines
    return [*lines[: MOST_LINES - 1], f"… and more: {len(excess)} changes in all"]


def _differences(excess: tuple[Change, ...], approved: Mapping[str, Change]) -> Iterator[str]:
    explained = ((change, _why(approved.get(change.address), change)) for change in excess)
    for (action, why), group in groupby(explained, key=lambda pair: (pair[0].action, pair[1])):
        for piece in address_ranges([change.address for change, _ in group]):
            yield f"{action.symbol} {piece.text}: {why}"


def _why(approved: Change | None, now: Change) -> str:
    if approved is None:
        return NOT_PLANNED
    if approved.action is not now.action:
        return f"approved is `{approved.action}`, now it would be `{now.action}`"
    names = _differing(approved.effect, now.effect)
    after_was, after_is = approved.effect["after"], now.effect["after"]
    if after_was is not None and after_is is not None and "after" in names:
        inside = [f"after.{name}" for name in _differing(after_was, after_is)]
        names = [*(name for name in names if name != "after"), *inside]
    return "differs from what was approved in " + listed(names or ["before"])


def _differing(was: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    return [name for name in sorted(now) if now[name] != was.get(name)]
