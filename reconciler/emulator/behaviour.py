"""What the emulated API does where Adobe's pages are silent or contradict each other: one switch per open question.

The defaults are those of aep-api.md §11; a client must work with every value.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

DAY_MS = 86_400_000


class Duplicates(StrEnum):
    """The answer to a second batch with an external id that the organisation already has (aep-api.md §4, E12)."""

    ACCEPT = "accept"
    REJECT_409 = "reject409"
    REJECT_400 = "reject400"


class ActionBody(StrEnum):
    """The body of a successful action or PUT (aep-api.md §5.3, E33)."""

    EMPTY = "empty"
    ONE = "one"
    OBJECT = "object"


class Outcome(StrEnum):
    """How a completed batch ends (E31, E34, E35)."""

    SUCCESS = "success"
    FAILED = "failed"
    EMPTY = "empty"
    """Failed with error 106: no file, or only empty ones."""
    GUARDRAIL = "guardrail"
    """Failed because a limit of aep-api.md §9 was passed."""
    RECOVERS = "recovers"
    """`retrying` once, then success."""
    STALLS = "stalls"
    """`retrying`, then `stalled` for ever."""


class Retirement(StrEnum):
    """When the predecessors of a replay turn `inactive` (E17)."""

    ON_CREATE = "create"
    ON_COMPLETE = "complete"
    ON_SUCCESS = "success"


class ReplayEcho(StrEnum):
    """How Catalog shows the predecessors of a replay, and so which ones retire (aep-api.md §16.1: none published)."""

    PLAIN = "plain"
    DOLLAR = "dollar"
    """As they were sent: nothing retires."""
    NONE = "none"
    FOREIGN = "foreign"
    """Ids of nobody."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One reading of the API. Times are milliseconds unless a name says otherwise."""

    # creation
    duplicate_external_id: Duplicates = Duplicates.ACCEPT
    unknown_dataset_status: Literal[400, 404] = 404
    unknown_sandbox_status: Literal[400, 403, 404] = 403
    reject_reserved_tags: bool = False
    """Answer 400 to reserved tag names (E13); otherwise they are dropped."""
    create_tells_external_id: bool = True
    """Adobe's response schema lacks `externalId`; its examples have it (aep-api.md §3.2)."""
    creations_per_minute: int | None = None
    """Per client; beyond it 429 (E42). None: unlimited, since AEP's own 2,000 (§9) would slow every test."""
    visibility_lag_ms: int = 0
    """How long Catalog does not show a new batch (E18)."""

    # Catalog
    repeat_id: bool = True
    """Whether a batch repeats its id inside (aep-api.md §8.4)."""
    filter_by_unknown_parameter: bool = False
    """Read an undeclared query parameter as a property filter; otherwise ignore it (§8.3)."""
    patch_allowed: bool = True
    """Whether a customer may change a batch through Catalog at all (aep-api.md §8.7); otherwise 403."""
    reject_read_only: bool = False
    """Answer 400 to a change of `externalId` and the like (E24); otherwise ignore it."""
    quoted_etag: bool = False
    delete_unknown_status: Literal[200, 404] = 404
    """`DELETE` of an unknown batch: 404, or 200 with an empty list (aep-api.md §7)."""

    # lifecycle
    success_word: Literal["success", "active"] = "success"
    failure_word: Literal["failed", "failure"] = "failed"
    action_body: ActionBody = ActionBody.EMPTY
    wrong_state_status: Literal[400, 409] = 400
    abort_in_flight: bool = False
    """Whether ABORT still works between COMPLETE and the end (two pages of Adobe disagree, §5.3)."""
    step_ms: int = 100
    """From one state of the promotion to the next."""
    outcome: Outcome = Outcome.SUCCESS
    """Of batches that were given no outcome of their own."""
    empty_batch_fails: bool = True
    """Whether a batch completed without data ends as `Outcome.EMPTY` (E34)."""
    retire_predecessors: Retirement = Retirement.ON_SUCCESS
    replay_echo: ReplayEcho = ReplayEcho.PLAIN
    abandon_after_ms: int | None = None
    """How long a batch may stay `loading` (E36); Adobe publishes no figure. None: for ever."""
    collect_after_ms: int | None = DAY_MS
    """From `inactive` to `deleted` (E37). None: never."""

    # files
    small_file_bytes: int = 256 * 1024 * 1024
    """The largest body of one PUT; beyond it 413."""
    part_bytes: int = 512_000_000
    """The largest part of a large file; beyond it 400."""
    initialize_again: Literal["anew", "refused", "kept"] = "anew"
    """A second INITIALIZE of a file: it begins anew, is refused, or is accepted and leaves the parts that are there
    (undocumented, §7)."""

    # tokens
    token_ttl_s: int = 86_399
    bad_client_status: Literal[400, 401] = 401
    """The status of `invalid_client` (E2)."""
