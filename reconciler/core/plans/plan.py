"""What will be done, as values: a plan is changes, drift and conflicts. `decide` makes them, `apply` does them."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Literal, NamedTuple, NotRequired

from typing_extensions import TypedDict

from reconciler.core.batch import Address, Generation, OnRemove, Sha256, Spec, Stage, StatusClass, Text
from reconciler.core.plans.observation import CatalogRead

if TYPE_CHECKING:
    from datetime import date

    from reconciler.core.batch import File, Record
    from reconciler.core.diagnostics import Place
    from reconciler.core.identity import Identity


class Action(StrEnum):
    """What will be done at one address. The engine handles each of them and no others."""

    CREATE = "create"
    ADOPT = "adopt"
    IMPORT = "import"
    UPDATE = "update"
    REPLACE = "replace"
    MOVE = "move"
    FORGET = "forget"
    DELETE = "delete"

    @property
    def symbol(self) -> str:
        """How it looks in front of an address."""
        return SYMBOLS[self]


SYMBOLS = {
    Action.CREATE: "+",
    Action.ADOPT: "<=",
    Action.IMPORT: "<=",
    Action.UPDATE: "~",
    Action.REPLACE: "+/-",
    Action.MOVE: ">",
    Action.FORGET: ".",
    Action.DELETE: "-",
}


class Reason(StrEnum):
    """Why, for people only: nothing branches on it."""

    NEW = "new"
    LOST_RECORD = "exists in Catalog, the state does not know it"
    NEWER_GENERATION = "a later generation exists in Catalog"
    SURVIVOR = "the recorded batch is gone, this one carries its external id"
    DECLARED_IMPORT = "named in `imports`"
    MISSING = "the batch is gone from Catalog"
    ABORTED = "the batch was aborted"
    ABANDONED = "the batch was abandoned: nobody completed it in time"
    FAILED = "the batch failed"
    WITHDRAWN = "the batch was withdrawn"
    TAGS_CHANGED = "tags differ"
    RULES_CHANGED = "lifecycle differs"
    SPEC_CHANGED = "fields differ that can only be set at creation"
    REQUESTED = "asked for with `--replace`"
    MOVED = "moved in the manifests"
    NOT_DECLARED = "no longer declared"
    ALREADY_GONE = "no longer declared, and the batch is gone"
    DESTROY = "asked for with `--destroy`"
    UNFINISHED_REPLACEMENT = "replaced, and not yet aborted"
    REFRESHED = "changed in Catalog"
    FILES_MISSING = "its files are not all there"
    INCOMPLETE = "it is not completed yet"
    FILES_CHANGED = "its files changed, and it takes no others"


class WithdrawVerb(StrEnum):
    """What is asked of AEP for a batch that is to go (aep-api.md §5.3); what is replayed goes by itself."""

    ABORT = "abort"
    REVERT = "revert"
    NONE = "none"
    """Nothing: it holds no data and never will. Only the record goes."""
    UNKNOWN = "unknown"
    """Catalog was not asked: it is aborted if it is still open then, and never reverted."""


class Withdrawal(NamedTuple):
    """A batch that is to go, and how: the verb is decided by what Catalog shows when the plan is made."""

    id: Text
    verb: WithdrawVerb


def verb_for(status: StatusClass | None) -> WithdrawVerb:
    """How a batch of this class goes; one that AEP is still loading is reverted once it is done. None: not asked."""
    match status:
        case None:
            return WithdrawVerb.UNKNOWN
        case StatusClass.OPEN:
            return WithdrawVerb.ABORT
        case StatusClass.DONE | StatusClass.IN_FLIGHT | StatusClass.STUCK:
            return WithdrawVerb.REVERT
        case StatusClass.FAILED | StatusClass.UNFINISHED | StatusClass.WITHDRAWN | StatusClass.MISSING:
            return WithdrawVerb.NONE


class Target(TypedDict):
    """What a batch will be, as far as a change decides it."""

    id: str
    """Empty where AEP has yet to choose one."""
    dataset: Text
    external_id: Text
    generation: Generation
    on_remove: OnRemove
    spec: Spec
    deposed: tuple[str, ...]
    rivals: tuple[str, ...]
    files: NotRequired[Sha256]
    """Of the names, sizes and SHA-256 of its files."""
    stage: NotRequired[Stage]


class Effect(TypedDict):
    """What a change does and nothing else."""

    action: Action
    address: Address
    after: Target | None
    before: Text | None
    """Id of the batch that stands there now."""
    predecessors: tuple[str, ...]
    previous_address: Address | None
    retags: bool
    untags: tuple[str, ...]
    withdraw: tuple[Withdrawal, ...]
    completes: NotRequired[Literal[True]]
    """Whether COMPLETE is sent to a batch that exists already."""


@dataclass(frozen=True, slots=True)
class Change:
    """One action at one address, and all that is needed to carry it out."""

    action: Action
    address: str
    reason: Reason
    before: Record | None
    """The record as it is; None when there is none."""
    after: Record | None
    """The record as it will be, with an empty `id` where AEP has yet to choose one; None when there will be none."""
    previous_address: str | None = None
    """Where the record stands now, when the manifests moved it."""
    predecessors: tuple[str, ...] = ()
    """Batches that the new one replays: ids, and addresses, whose batch is looked up when the change is made."""
    withdraw: tuple[Withdrawal, ...] = ()
    """Batches to abort or revert once the rest is done. One that is otherwise at that moment is left as it is."""
    retags: bool = False
    """Whether the batch's own tags are written."""

    @property
    def creates(self) -> bool:
        """Whether a batch comes into being."""
        return self.action in {Action.CREATE, Action.REPLACE}

    @property
    def uploads(self) -> tuple[File, ...]:
        """The files that AEP is not known to hold yet."""
        if self.after is None or not self.after.files:
            return ()
        held = set() if self.creates or self.before is None else set(self.before.files)
        return tuple([file for file in self.after.files if file not in held])

    @property
    def completes(self) -> bool:
        """Whether the batch is completed."""
        wanted = self.after is not None and self.after.stage is Stage.COMPLETED
        return wanted and (self.creates or self.before is None or self.before.stage is not Stage.COMPLETED)

    @property
    def destroys(self) -> tuple[str, ...]:
        """The batches that are aborted, reverted or, by a replay, deactivated: ids, and addresses that are replayed."""
        withdrawn = [each.id for each in self.withdraw if each.verb is not WithdrawVerb.NONE]
        return tuple(dict.fromkeys((*withdrawn, *self.predecessors)))

    @property
    def untags(self) -> tuple[str, ...]:
        """The names of own tags that are taken off the batch."""
        if not self.retags or self.before is None or self.after is None:
            return ()
        return tuple(sorted(self.before.spec.get("tags", {}).keys() - self.after.spec.get("tags", {}).keys()))

    @property
    def effect(self) -> Effect:
        """What the change does and nothing else: the same effect is the same approval."""
        effect: Effect = {
            "action": self.action,
            "address": self.address,
            "previous_address": self.previous_address,
            "before": None if self.before is None else self.before.id,
            "after": None if self.after is None else _target(self.after),
            "predecessors": self.predecessors,
            "untags": self.untags,
            "withdraw": self.withdraw,
            "retags": self.retags,
        }
        if self.completes and not self.creates:  # of a new batch, `after` says it
            effect["completes"] = True
        return effect


def _target(after: Record) -> Target:
    """What the batch will be; without its content where no files are declared."""
    target: Target = {
        "id": after.id,
        "dataset": after.dataset,
        "external_id": after.external_id,
        "generation": after.generation,
        "on_remove": after.on_remove,
        "spec": after.spec,
        "deposed": after.deposed,
        "rivals": after.rivals,
    }
    if after.files or after.stage is not Stage.OPEN:
        text = json.dumps(after.files, separators=(",", ":"))
        target["files"], target["stage"] = sha256(text.encode()).hexdigest(), after.stage
    return target


@dataclass(frozen=True, slots=True)
class Drift:
    """Observed differs from recorded, by another hand. Reported; an action follows only where a change says so."""

    address: str
    id: str
    status: str
    """AEP's word, or `missing`."""
    message: str
    hint: str | None = None
    errors: tuple[str, ...] = ()
    """What the service says went wrong; untrusted text."""

    @property
    def is_missing(self) -> bool:
        """Whether the batch is gone; else AEP still shows it."""
        return self.status == StatusClass.MISSING


@dataclass(frozen=True, slots=True)
class Conflict:
    """Something that a person has to settle or correct: until then nothing is done at the address."""

    address: str
    message: str
    hint: str
    ids: tuple[str, ...] = ()
    place: Place | None = None
    doubts_record: bool = False
    """Whether the record of the address is not of the batch that it names."""
    is_mistake: bool = False
    """Whether something declared is wrong, and is to be corrected: there is nothing to decide."""


@dataclass(frozen=True, slots=True)
class Orphan:
    """A live batch that carries our marker and that no record knows."""

    id: str
    status: str
    address: str | None
    """What its tag says; untrusted text."""


@dataclass(frozen=True, slots=True)
class Summary:
    """The counts of the summary line; `destroy` counts batches: a replacement is one add and at least one destroy."""

    add: int = 0
    change: int = 0
    destroy: int = 0
    imported: int = 0
    adopt: int = 0
    forget: int = 0
    move: int = 0
    drift: int = 0


@dataclass(frozen=True)
class Plan:
    """All that would be done, in the order of addresses."""

    identity: Identity
    today: date
    changes: tuple[Change, ...]
    drift: tuple[Drift, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    orphans: tuple[Orphan, ...] = ()
    recorded: int = 0
    """How many batches the state holds."""
    declared: int = 0
    """How many batches the manifests declare."""
    unsettled: int = 0
    """Open intents of an earlier run that are still undecided."""
    targets: tuple[str, ...] = ()
    """The globs of `--target`: what was looked at; empty for everything."""
    replaced: tuple[str, ...] = ()
    """The addresses of `--replace`."""
    destroys_all: bool = False
    """Asked for with `--destroy`."""
    refresh_only: bool = False
    """Asked for with `--refresh-only`: drift is the subject, and only records change."""
    read: CatalogRead = CatalogRead.EVERYTHING
    """How much of Catalog was read."""
    how: str = ""
    """The same for people, with counts."""

    @property
    def has_changes(self) -> bool:
        """Whether there is anything to do: the exit code, the prompt and `No changes.` all ask this."""
        return bool(self.changes) or (self.refresh_only and bool(self.drift))

    @property
    def blockers(self) -> tuple[Conflict, ...]:
        """The conflicts that only a person can settle: with one of them nothing is applied, at no address."""
        return tuple(each for each in self.conflicts if not each.is_mistake)

    @cached_property
    def summary(self) -> Summary:
        """The counts."""
        count = Counter(change.action for change in self.changes)
        return Summary(
            add=count[Action.CREATE] + count[Action.REPLACE],
            change=count[Action.UPDATE],
            destroy=sum(len(each.destroys) for each in self.changes if each.withdraw or each.predecessors),
            imported=count[Action.IMPORT],
            adopt=count[Action.ADOPT],
            forget=count[Action.FORGET],
            move=sum(1 for change in self.changes if change.previous_address is not None),
            drift=len(self.drift),
        )

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical actions and of whose state they change, never of any text."""
        result = sha256()
        who = self.identity
        result.update(json.dumps([who.project, who.environment, who.org, who.sandbox]).encode())
        for change in self.changes:
            result.update(b"\n")
            result.update(json.dumps(change.effect, sort_keys=True, separators=(",", ":")).encode())
        return result.hexdigest()
