"""The decision table of design §7: what is done at one address, one function for each group of rows."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from reconciler.core.batch import (
    DEFAULT_FORMAT,
    STATUS_CLASSES,
    OnRemove,
    Record,
    Spec,
    Stage,
    StatusClass,
    same_tags,
)
from reconciler.core.identity import ExternalIds
from reconciler.core.plans import content
from reconciler.core.plans.observation import DEAD
from reconciler.core.plans.plan import Action, Change, Conflict, Drift, Reason, Withdrawal, WithdrawVerb, verb_for
from reconciler.core.plans.prior import Origin
from reconciler.core.wording import listed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from reconciler.core.batch import Desired, Json, Observed
    from reconciler.core.identity import Identity
    from reconciler.core.plans.observation import Observation
    from reconciler.core.plans.prior import Prior

    Status = Callable[[str], StatusClass | None]
    """What Catalog shows of a batch by id; None: it was not asked."""

Decision = Change | Conflict | None

GONE_WORDS = {
    StatusClass.MISSING: "missing",
    StatusClass.FAILED: "failed",
    StatusClass.WITHDRAWN: "withdrawn",
}
"""The word of `recreate_when` for a class; an unfinished batch goes by its own status word."""

GONE_REASONS = {
    "missing": Reason.MISSING,
    "aborted": Reason.ABORTED,
    "abandoned": Reason.ABANDONED,
    "failed": Reason.FAILED,
    "withdrawn": Reason.WITHDRAWN,
}


ENTRIES: Final[dict[Origin, tuple[Action, Reason]]] = {
    Origin.LOST: (Action.ADOPT, Reason.LOST_RECORD),
    Origin.NEWER: (Action.ADOPT, Reason.NEWER_GENERATION),
    Origin.SURVIVOR: (Action.ADOPT, Reason.SURVIVOR),
    Origin.IMPORT: (Action.IMPORT, Reason.DECLARED_IMPORT),
}
"""How a batch that the state does not hold enters it, and why."""


def differing(desired: Desired, record: Record, observed: Observed | None) -> frozenset[str]:
    """The names of the fields that the manifest sets, or set when the batch was recorded, and that are otherwise.

    A field that is neither in the record nor in the manifest is not compared: what AEP sets by itself is no difference.
    """
    names: set[str] = set()
    if desired.spec != record.spec:
        names.update(
            name
            for name in (desired.spec.keys() | record.spec.keys()) - {"tags"}
            if wanted(desired.spec, name) != known(record.spec, name, observed)
        )
    if not desired.lifecycle.ignore_tags and tags_differ(desired.spec, record, observed):
        names.add("tags")
    if desired.external_id is not None and not _is_own(desired.external_id, record):
        names.add("external_id")
    if desired.dataset != record.dataset:
        names.add("dataset")
    if desired.lifecycle.on_remove is not record.on_remove:
        names.add("on_remove")
    return frozenset(names)


def status_of(prior: Prior) -> StatusClass | None:
    """What the batch is; one that was completed and is still shown as loading is in flight. None: not asked."""
    if prior.record.stage is Stage.OPEN:
        return prior.status
    match prior.status:
        case StatusClass.OPEN:
            return StatusClass.IN_FLIGHT
        case None:
            return StatusClass.DONE
        case status:
            return status


DEFAULTS: Final[dict[str, Json]] = {
    "format": DEFAULT_FORMAT,
    "multiline": False,
    "csv": {},
    "error_diagnostics": False,
    "partial_ingestion_percent": 0,
    "replaces": [],
}
"""What AEP takes for a field that a request leaves out (aep-api.md §3.1)."""


def wanted(spec: Spec, name: str) -> object:
    """What the manifest wants a field to be: what it says, else AEP's default."""
    return spec.get(name, DEFAULTS.get(name))


def known(spec: Spec, name: str, observed: Observed | None) -> object:
    """What a field is: as recorded, else as observed where Catalog shows it, else AEP's default."""
    if name in spec:
        return spec.get(name)
    shown = {"format": observed.format, "multiline": observed.multiline}.get(name) if observed else None
    return DEFAULTS.get(name) if shown is None else shown


def tags_differ(desired: Spec, record: Record, observed: Observed | None) -> bool:
    """Whether own tags are not as the manifest says: in the record, or changed in Catalog by another hand.

    The order of values and doubled ones say nothing. What AEP made of tags that were written is no difference.
    """
    tags, recorded = desired.get("tags", {}), record.spec.get("tags", {})
    if tags != recorded and _sets(tags) != _sets(recorded):
        return True
    return observed is not None and not record.explains(observed.tags_of(desired))


def _sets(tags: Mapping[str, Sequence[str]]) -> dict[str, set[str]]:
    return {name: set(values) for name, values in tags.items()}


def _is_own(external_id: str, record: Record) -> bool:
    """Whether the record's external id is the one that the manifest gives, at its generation."""
    ids = ExternalIds(external_id, is_own=True)
    return ids.generation(record.external_id) in {1, record.generation}


def decide(
    identity: Identity, desired: Desired, prior: Prior | None, *, forced: bool, next_free: int, status: Status
) -> Decision:
    """The row of the table for a declared address.

    `next_free` is the first generation whose external id no batch carries; `forced` is `--replace`.
    """
    if prior is None:
        return _create(identity, desired, next_free)
    record = prior.record
    differences = differing(desired, record, prior.observed)
    deposed = _deposed(prior, status)
    recreation = _recreation(desired, prior, differences)
    if recreation is not None:
        after = _next(identity, desired, max(next_free, record.generation + 1), deposed)
        replays = tuple(desired.spec.get("replaces", ()))
        return _change(Action.CREATE, prior, recreation, after, predecessors=replays, withdraw=deposed)
    if _is_gone(prior):
        return _left_to_record(desired, prior, deposed)
    is_found = prior.origin is not Origin.STATE or (record.rivals and not record.names)
    if content.needs_another_batch(desired, record, status_of(prior), prior.observed if is_found else None):
        differences |= {"files"}
    if forced or differences - {"tags", "on_remove"}:
        return _replacement(identity, desired, prior, deposed, differences, forced=forced, next_free=next_free)
    target = content.target(desired, record, status_of(prior))
    if differences or (target is not record and target != record):
        return _update(desired, prior, deposed, differences, target)
    return _left_to_record(desired, prior, deposed)


def _deposed(prior: Prior, status: Status) -> tuple[Withdrawal, ...]:
    """The earlier generations that still have to go."""
    return tuple([Withdrawal(batch, verb_for(status(batch))) for batch in prior.record.deposed + prior.deposed])


def _create(identity: Identity, desired: Desired, generation: int) -> Change:
    after = _next(identity, desired, generation, ())
    replays = tuple(desired.spec.get("replaces", ()))
    return Change(Action.CREATE, desired.address, Reason.NEW, None, after, predecessors=replays)


def _recreation(desired: Desired, prior: Prior, differences: frozenset[str]) -> Reason | None:
    """Why a next generation is due because of what became of the batch; None when it is not."""
    if prior.status is None:
        return None
    is_same = desired.content == prior.record.files and not differences - {"tags", "on_remove"}
    if prior.status is StatusClass.FAILED and desired.content is not None and is_same:
        return None  # the same files would fail again with every apply
    word = GONE_WORDS.get(prior.status)
    if prior.status is StatusClass.UNFINISHED and prior.observed is not None:
        word = prior.observed.status
    return GONE_REASONS[word] if word is not None and word in desired.lifecycle.recreate_when else None


def _is_gone(prior: Prior) -> bool:
    return prior.status in DEAD or prior.status in {StatusClass.FAILED, StatusClass.STUCK}


def _replacement(
    identity: Identity,
    desired: Desired,
    prior: Prior,
    withdraw: tuple[Withdrawal, ...],
    differences: frozenset[str],
    *,
    forced: bool,
    next_free: int,
) -> Change | Conflict:
    record = prior.record
    problem = _replace_problem(desired, prior, differences)
    if problem is not None:
        return problem
    generation = max(next_free, record.generation + 1)
    predecessors: tuple[str, ...] = ()
    if status_of(prior) is StatusClass.DONE:
        predecessors = (record.id,)
    else:
        withdraw = (*withdraw, Withdrawal(record.id, verb_for(status_of(prior))))
        predecessors = tuple(desired.spec.get("replaces", ()))
    only_files = Reason.FILES_CHANGED if differences <= {"files", "tags", "on_remove"} else Reason.SPEC_CHANGED
    return _change(
        Action.REPLACE,
        prior,
        Reason.REQUESTED if forced else only_files,
        _next(identity, desired, generation, withdraw),
        predecessors=predecessors,
        withdraw=withdraw,
    )


def _replace_problem(desired: Desired, prior: Prior, differences: frozenset[str]) -> Conflict | None:
    record = prior.record
    fields = listed(sorted(differences)) or "`--replace`"
    if prior.origin is Origin.IMPORT:
        message = f"is to be imported from batch `{record.id}`, which differs in {fields}"
        hint = "make the manifest say what the batch is: these fields can only be set at creation"
    elif desired.lifecycle.prevent_replace:
        message = f"must be replaced because of {fields}, and `prevent_replace` forbids it"
        hint = "take the change back, or set `prevent_replace: false` in a reviewed change first"
    elif status_of(prior) is StatusClass.IN_FLIGHT:
        message = "must be replaced, but AEP is still processing its batch"
        hint = "plan again when the batch is done, or leave it out with `--target`"
    elif _is_consolidated(prior):
        return replace(_consolidated(desired.address, "must be replaced", record), place=desired.place)
    elif "dataset" in differences and status_of(prior) is StatusClass.DONE:
        message = f"now belongs to dataset `{desired.dataset}`, but its batch holds data in `{record.dataset}`"
        hint = "a replay cannot cross datasets: declare a new batch, and forget or delete this one"
    else:
        return None
    return Conflict(desired.address, message, hint, (record.id,), desired.place)


def _is_consolidated(prior: Prior) -> bool:
    """Whether the platform put another batch in the place of the recorded one, which is not to be touched any more."""
    return prior.status is StatusClass.DONE and prior.observed is None


def _consolidated(address: str, what: str, record: Record) -> Conflict:
    return Conflict(
        address,
        f"{what}, but the platform has put another batch in the place of `{record.id}`",
        "record that one with `reconciler apply --refresh-only`, then plan again",
        (record.id,),
    )


def _update(
    desired: Desired, prior: Prior, deposed: tuple[Withdrawal, ...], differences: frozenset[str], target: Record
) -> Change:
    spec = prior.record.spec
    if "tags" in differences:
        spec = Spec(**spec)
        spec["tags"] = desired.spec.get("tags", {})
        if not spec["tags"]:
            del spec["tags"]
    after = replace(
        prior.record,
        address=desired.address,
        on_remove=desired.lifecycle.on_remove,
        spec=spec,
        deposed=tuple([each.id for each in deposed]),
        kept_tags=None if "tags" in differences else prior.record.kept_tags,
        files=target.files,
        begun=target.begun,
        stage=target.stage,
    )
    retags = "tags" in differences
    reason = Reason.TAGS_CHANGED if retags else Reason.RULES_CHANGED
    if not differences:
        reason = Reason.INCOMPLETE if target.files == prior.record.files else Reason.FILES_MISSING
    action = Action.UPDATE
    if prior.origin is not Origin.STATE:
        action, reason = ENTRIES[prior.origin]
    return replace(_change(action, prior, reason, after, withdraw=deposed), retags=retags)


def _left_to_record(desired: Desired, prior: Prior, deposed: tuple[Withdrawal, ...]) -> Decision:
    """Nothing differs: no change, or one that only writes down what was found."""
    if not deposed and prior.origin is Origin.STATE and prior.previous_address is None:
        return None
    after = replace(prior.record, address=desired.address, deposed=tuple([each.id for each in deposed]))
    if prior.origin is not Origin.STATE:
        action, reason = ENTRIES[prior.origin]
        return _change(action, prior, reason, after, withdraw=deposed)
    if deposed:
        action = Action.UPDATE if _are_gone(deposed) else Action.DELETE
        return _change(action, prior, Reason.UNFINISHED_REPLACEMENT, after, withdraw=deposed)
    return _change(Action.MOVE, prior, Reason.MOVED, after)


def _are_gone(withdraw: tuple[Withdrawal, ...]) -> bool:
    return all(each.verb is WithdrawVerb.NONE for each in withdraw)


def _next(identity: Identity, desired: Desired, generation: int, deposed: tuple[Withdrawal, ...]) -> Record:
    return Record(
        address=desired.address,
        id="",
        dataset=desired.dataset,
        external_id=identity.external_ids(desired.address, desired.external_id).of(generation),
        generation=generation,
        on_remove=desired.lifecycle.on_remove,
        spec=desired.spec,
        deposed=tuple([each.id for each in deposed]),
        files=desired.content or (),
        stage=Stage.COMPLETED if desired.complete else Stage.OPEN,
    )


def _change(
    action: Action,
    prior: Prior,
    reason: Reason,
    after: Record | None,
    *,
    predecessors: tuple[str, ...] = (),
    withdraw: tuple[Withdrawal, ...] = (),
) -> Change:
    return Change(
        action=action,
        address=after.address if after is not None else prior.record.address,
        reason=reason,
        before=prior.record,
        after=after,
        previous_address=prior.previous_address,
        predecessors=predecessors,
        withdraw=withdraw,
    )


def decide_removed(prior: Prior, *, destroy: bool, status: Status) -> Change | Conflict:
    """The row of the table for a record without a declaration."""
    record = prior.record
    wanted = OnRemove.DELETE if destroy else record.on_remove
    reason = Reason.DESTROY if destroy else Reason.NOT_DECLARED
    if wanted is OnRemove.FORGET:
        return _change(Action.FORGET, prior, reason, None)
    withdraw = (*_deposed(prior, status), Withdrawal(record.id, verb_for(prior.status)))
    if _are_gone(withdraw):
        return _change(Action.FORGET, prior, Reason.ALREADY_GONE, None, withdraw=withdraw)
    if _is_consolidated(prior):
        return _consolidated(record.address, "is to be deleted", record)
    if prior.status in {StatusClass.IN_FLIGHT, StatusClass.STUCK}:
        return Conflict(
            record.address,
            f"is to be deleted, but AEP is still processing its batch `{record.id}`",
            "plan again when the batch is done, or leave it out with `--target`",
            (record.id,),
        )
    return _change(Action.DELETE, prior, reason, None, withdraw=withdraw)


_RECREATE = "set `recreate_when` in its `lifecycle` to have a next one made, or `reconciler state rm` it"

_MEND = "mend its files: with `recreate_when: [failed]` the next apply makes another batch of the changed ones"

_OVERDUE = (
    "was completed, and is still open after an hour",
    "with `complete: true`, `apply` asks AEP for it again; if that does not help, ask AEP support",
)
_MEND_ROWS = "mend these rows in its files: the next apply replaces the batch by one with the changed files"

_DRIFT: Final[dict[StatusClass, tuple[str, str | None]]] = {
    StatusClass.FAILED: ("failed", _RECREATE),
    StatusClass.WITHDRAWN: ("was withdrawn", _RECREATE),
    StatusClass.UNFINISHED: ("will never be completed", None),
    StatusClass.STUCK: ("is stalled: AEP's own retries are exhausted", "ask AEP support: no way out is documented"),
}
"""What a status means for a person; the other classes are as they should be."""


def _ending(record: Record, observed: Observed, now: int | None) -> tuple[str, str | None] | None:
    """What became of the batch, and what to do about it; None where it is as it should be."""
    if observed.is_partial:
        lost = f"without {observed.failed_records:,} of its records" if observed.failed_records else "with errors"
        return f"was loaded {lost}", _MEND_ROWS
    if content.is_overdue(record, observed, now):
        return _OVERDUE
    if record.files and observed.status_class is StatusClass.FAILED:
        return _DRIFT[StatusClass.FAILED][0], _MEND
    return _DRIFT.get(observed.status_class)


def drift_of(record: Record, prior: Prior, observation: Observation) -> Drift | None:
    """What another hand did to a recorded batch; None where there is nothing to tell."""
    observed = observation.by_id.get(record.id)
    status = observed.status if observed else "missing"
    final = observation.final(record.id)
    if final != record.id:
        return Drift(record.address, record.id, status, f"was consolidated by the platform into `{final}`")
    if observed is None:
        return Drift(record.address, record.id, status, "is gone from Catalog")
    if observed.status not in STATUS_CLASSES:
        unknown = f"has status `{status}`, which this version does not know, and is taken to be in flight"
        return Drift(record.address, record.id, status, unknown, "look for a newer reconciler")
    if (ending := _ending(record, observed, observation.now)) is not None:
        return Drift(record.address, record.id, status, *ending, observed.errors)
    return drift_of_tags(record, observed) if prior.origin is Origin.STATE else None


def drift_of_tags(record: Record, observed: Observed) -> Drift | None:
    """The same for the tags, also for those in which Catalog shows what became of options of the create."""
    shown, status = observed.tags_of(record.spec), observed.status
    if not record.explains(shown):
        tags = record.kept_tags or record.spec.get("tags", {})
        changed = [name for name in sorted({*tags, *shown}) if not same_tags(_only(name, tags), _only(name, shown))]
        return Drift(record.address, record.id, status, f"tags were changed in Catalog: {listed(changed)}")
    asked = [name for name in OPTION_TAGS if name in record.spec]
    otherwise = [text for name in asked if (text := _taken_otherwise(record.spec, name, observed))]
    if otherwise:
        return Drift(record.address, record.id, status, "; ".join(otherwise), "only a new batch can have it otherwise")
    return None


LONGEST_VALUE = 40
"""Characters of a tag's value that a message shows."""

OPTION_TAGS: Final = {
    "partial_ingestion_percent": "acp_partialIngestionPercent",
    "error_diagnostics": "acp_enableErrorDiagnostics",
}
"""The tag in which Catalog shows what it took an option of a create for (aep-api.md §16.1)."""


def _only(name: str, tags: Mapping[str, Sequence[str]]) -> Mapping[str, Sequence[str]]:
    return {name: tags[name]} if name in tags else {}


def _taken_otherwise(spec: Spec, name: str, observed: Observed) -> str | None:
    """What is wrong with an option of the create; None where it is as was asked for, or is not shown."""
    asked, shown = json.dumps(spec.get(name)), observed.tags.get(OPTION_TAGS[name], ())
    if len(shown) != 1 or shown[0].strip().lower() == asked:
        return None
    return f"`{name}: {asked}` is not what AEP took: it shows `{OPTION_TAGS[name]}: {shown[0][:LONGEST_VALUE]}`"
