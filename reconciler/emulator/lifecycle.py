"""The life of a batch: which action is legal when, and what then happens by itself (aep-api.md §5). Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, assert_never

from reconciler.emulator.behaviour import Outcome
from reconciler.emulator.store import Step

if TYPE_CHECKING:
    from collections.abc import Collection

    from reconciler.emulator.behaviour import Behaviour
    from reconciler.emulator.objects import BatchError


class Action(StrEnum):
    """What `POST /batches/{id}?action=` takes (§5.3)."""

    COMPLETE = "COMPLETE"
    ABORT = "ABORT"
    REVERT = "REVERT"
    FAIL = "FAIL"


class Verdict(StrEnum):
    """Whether an action is carried out."""

    APPLY = "apply"
    NO_CHANGE = "no change"
    """200, and everything stays as it is."""
    REFUSE = "refuse"


class Phase(StrEnum):
    """The rows of the matrix in §5.3."""

    LOADING = "loading"
    IN_FLIGHT = "in flight"
    STALLED = "stalled"
    DONE = "done"
    FAILED = "failed"
    ABORTED = "aborted"
    ABANDONED = "abandoned"
    GONE = "gone"


PHASES: Final = {
    "loading": Phase.LOADING,
    "stalled": Phase.STALLED,
    "active": Phase.DONE,
    "success": Phase.DONE,
    "failed": Phase.FAILED,
    "failure": Phase.FAILED,
    "aborted": Phase.ABORTED,
    "abandoned": Phase.ABANDONED,
    "inactive": Phase.GONE,
    "deleted": Phase.GONE,
    "archived": Phase.GONE,
    "retained": Phase.GONE,
}
"""Any other status is in flight."""

MATRIX: Final = {
    (Phase.LOADING, Action.COMPLETE): Verdict.APPLY,
    (Phase.LOADING, Action.ABORT): Verdict.APPLY,
    (Phase.LOADING, Action.FAIL): Verdict.APPLY,
    (Phase.IN_FLIGHT, Action.COMPLETE): Verdict.NO_CHANGE,
    (Phase.STALLED, Action.COMPLETE): Verdict.NO_CHANGE,
    (Phase.STALLED, Action.ABORT): Verdict.APPLY,
    (Phase.DONE, Action.COMPLETE): Verdict.NO_CHANGE,
    (Phase.DONE, Action.REVERT): Verdict.APPLY,
    (Phase.FAILED, Action.FAIL): Verdict.NO_CHANGE,
    (Phase.ABORTED, Action.ABORT): Verdict.NO_CHANGE,
    (Phase.GONE, Action.REVERT): Verdict.NO_CHANGE,
}
"""Whatever is not here is refused."""


def phase(status: str) -> Phase:
    """Return the row of the matrix for a status."""
    return PHASES.get(status, Phase.IN_FLIGHT)


def judge(status: str, action: Action, *, abort_in_flight: bool) -> Verdict:
    """Return what the matrix of §5.3 says of the action for a batch in this status."""
    if abort_in_flight and (phase(status), action) == (Phase.IN_FLIGHT, Action.ABORT):
        return Verdict.APPLY
    return MATRIX.get((phase(status), action), Verdict.REFUSE)


def status_after(action: Action, behaviour: Behaviour) -> str:
    """Return the status that an applied action leads to."""
    match action:
        case Action.COMPLETE:
            return "loaded"
        case Action.ABORT:
            return "aborted"
        case Action.REVERT:
            return "inactive"
        case Action.FAIL:
            return behaviour.failure_word
        case _:
            assert_never(action)


def steps_after(status: str, behaviour: Behaviour) -> tuple[Step, ...]:
    """Return what happens by itself to a batch in this status; after COMPLETE see `promotion`."""
    match phase(status):
        case Phase.LOADING if behaviour.abandon_after_ms is not None:
            return (Step(behaviour.abandon_after_ms, "abandoned"),)
        case Phase.GONE if status == "inactive" and behaviour.collect_after_ms is not None:
            return (Step(behaviour.collect_after_ms, "deleted"),)
        case _:
            return ()


def promotion(outcome: Outcome, behaviour: Behaviour) -> tuple[Step, ...]:
    """Return the steps from `loaded` to the outcome (§5.2)."""
    done, failed = behaviour.success_word, behaviour.failure_word
    statuses: tuple[str, ...]
    match outcome:
        case Outcome.SUCCESS | Outcome.PARTIAL:
            statuses = ("staging", "staged", done)
        case Outcome.FAILED | Outcome.EMPTY | Outcome.GUARDRAIL:
            statuses = ("staging", failed)
        case Outcome.RECOVERS:
            statuses = ("staging", "retrying", "staging", "staged", done)
        case Outcome.STALLS:
            statuses = ("staging", "retrying", "stalled")
        case _:
            assert_never(outcome)
    return tuple(Step(behaviour.step_ms, status) for status in statuses)


def errors_of(outcome: Outcome, reason: str, *, diagnosed: bool) -> list[BatchError]:
    """Return what a batch with this outcome has in `errors` (§8.4, §14, §16.1); `diagnosed`: with error diagnostics."""
    match outcome:
        case Outcome.EMPTY:
            return [{"code": "106", "description": reason, "rows": []}]
        case Outcome.GUARDRAIL:
            return [{"code": "INGEST-1400-400", "description": reason, "rows": []}]
        case Outcome.FAILED | Outcome.PARTIAL if not diagnosed:
            return [{"code": "INGEST-1211-400", "description": UNDIAGNOSED, "rows": []}]
        case Outcome.FAILED | Outcome.PARTIAL:
            good = 0 if outcome is Outcome.FAILED else GOOD_ROWS
            bad = sum(error["recordCount"] for error in ROW_ERRORS)
            summary = f"Encountered {bad} errors in the data. Successfully ingested {good} rows. {SEE_FILES}"
            return [{"code": "INGEST-1212-400", "description": summary, "rows": []}, *ROW_ERRORS]
        case _:
            return []


def counts_of(outcome: Outcome) -> dict[str, int | str]:
    """Return what the metrics of a batch that was loaded in part say of its rows (§16.1)."""
    if outcome is not Outcome.PARTIAL:
        return {}
    bad = sum(error["recordCount"] for error in ROW_ERRORS)
    return {"inputRecordCount": GOOD_ROWS + bad, "outputRecordCount": GOOD_ROWS, "failedRecordCount": bad}


def reason_of(outcome: Outcome, sizes: Collection[int], behaviour: Behaviour) -> str:
    """Return why a batch failed, in one sentence (§9, §16.1); `sizes`: the bytes of its files."""
    match outcome:
        case Outcome.EMPTY:
            return "Dataset file is empty. Provide a file with data."
        case Outcome.GUARDRAIL:
            counts = ((len(sizes), behaviour.most_files, "files"), (sum(sizes), behaviour.most_bytes, "bytes"))
            over = [f"{n} {what} (over the {most} threshold)" for n, most, what in counts if n > most]
            return f"Batch ingestion guardrails hit: {'; '.join(over) or SAMPLE}"
        case _:
            return UNDIAGNOSED


SAMPLE: Final = "25143 files (over the 25000 threshold); 1100000000000 bytes (over the 1099511627776 threshold)"
GOOD_ROWS: Final = 23
SEE_FILES: Final = "Please review the associated diagnostic files for more details."
UNDIAGNOSED: Final = (
    "Encountered errors while parsing, converting or otherwise validating the data. Please resend the data with error "
    "diagnostics enabled to collect additional information on failure types."
)
ROW_ERRORS: Final[tuple[BatchError, ...]] = (
    {
        "code": "INGEST-1401-400",
        "recordCount": 2,
        "description": "The row has corrupted data and cannot be read or parsed. Fix the corrupted data and try again.",
        "rows": [],
    },
    {
        "code": "INGEST-1555-400",
        "recordCount": 3,
        "description": "A required field is either missing or has a value of null. "
        "Add the required field to the input row and try again.",
        "rows": [],
    },
)
"""Errors of single rows, as batches with error diagnostics have them."""
