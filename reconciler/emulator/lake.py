"""All batches of all emulated sandboxes, the rules for changing them, and the changes that come with time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from reconciler.emulator.behaviour import Behaviour, Outcome
from reconciler.emulator.creation import Origin, formed, new_batch
from reconciler.emulator.files import Files
from reconciler.emulator.lifecycle import (
    Action,
    Phase,
    Verdict,
    counts_of,
    errors_of,
    judge,
    phase,
    promotion,
    reason_of,
    status_after,
    steps_after,
)
from reconciler.emulator.objects import PLATFORM_USER, BatchObject, changed
from reconciler.emulator.problems import service
from reconciler.emulator.store import Step, Store, Stored, sandbox_id
from reconciler.emulator.ulid import ulid

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from reconciler.emulator.creation import Creation
    from reconciler.emulator.exchange import Caller
    from reconciler.emulator.world import World

OUTCOME_TAG: Final = "emulator_outcome"
"""A tag with which a create chooses how its batch will end: one of `Outcome`."""

CLOCK_OFFSET: Final = "clock_offset_ms"


class Lake:
    """The data lake that callers share. A method that refuses raises `Problem`, with the HTTP status of the refusal."""

    def __init__(self, path: Path | None, *, world: World, behaviour: Behaviour, clock: Callable[[], int]) -> None:
        self.store = Store(path)
        self.files = Files(self.store, path)
        self.world = world
        self.behaviour = behaviour
        self._clock = clock
        self._offset = self.store.number(CLOCK_OFFSET)

    def close(self) -> None:
        """Close database and files. A second call does nothing."""
        self.store.close()
        self.files.close()

    # --- time ---

    def now(self) -> int:
        """Return the time here, epoch milliseconds: that of the clock and all that `advance` added."""
        return self._clock() + self._offset

    def advance(self, milliseconds: int) -> None:
        """Let time pass, with all that is due in it; a restart does not undo it."""
        self._offset += milliseconds
        self.store.set_number(CLOCK_OFFSET, self._offset)
        self.catch_up()

    def catch_up(self) -> None:
        """Make the changes that are due by now, each with the time at which it was due."""
        now = self.now()
        while due := self.store.due(now):
            with self.store.transaction():
                for stored in due:
                    self._step(stored)
        self.store.end_lags(now)

    def _step(self, stored: Stored) -> None:
        current = self.store.get(stored.id)
        if current is None or current.due is None or current.due != stored.due:
            return  # an earlier step has changed this batch
        step, *rest = current.steps
        self.set_status(current, step.status, at=current.due, steps=tuple(rest))

    # --- what callers do ---

    def has_dataset(self, sandbox: str, dataset: str) -> bool:
        """Tell whether the sandbox has the dataset, from the `World` or added later."""
        return self.world.has_dataset(sandbox, dataset) or dataset in self.store.datasets(sandbox)

    def find(self, caller: Caller, batch: str) -> Stored:
        """Return a batch of the caller's sandbox, or refuse with 404."""
        stored = self.store.get(batch)
        if stored is None or stored.scope != self.store.scope(caller.org, caller.sandbox):
            raise service(404, f"batch {batch} not found")
        return stored

    def shows(self, caller: Caller, batch: str) -> bool:
        """Tell whether Catalog already shows the batch to the caller."""
        stored = self.store.get(batch)
        return (
            stored is not None
            and stored.scope == self.store.scope(caller.org, caller.sandbox)
            and not ("by-id" in self.behaviour.lagging_looks and self.store.is_hidden(stored))
        )

    def create(self, caller: Caller, creation: Creation, *, lag_ms: int = 0) -> Stored:
        """Create a batch, or refuse; the same request makes a new batch each time (E14)."""
        self._check_dataset(caller, creation.dataset)
        self._check_external_id(caller, creation.external_id)
        kept = replace(creation, tags=formed(creation.tags, self.behaviour.tag_form))
        return self.add(caller, kept, lag_ms=lag_ms)

    def add(self, caller: Caller, creation: Creation, *, lag_ms: int = 0) -> Stored:
        """Create a batch without any check."""
        stored = self.store.add(self._stored(caller, creation), hidden_until=self._hidden_until(lag_ms))
        if self.behaviour.retire_predecessors == "create":
            self._retire_predecessors(stored, at=stored.object["created"])
        return stored

    def _stored(self, caller: Caller, creation: Creation) -> Stored:
        now = self.now()
        origin = Origin(
            id=ulid(now, self.store.seed, self.store.next_n()),
            org=caller.org,
            sandbox_id=sandbox_id(caller.org, caller.sandbox),
            client=caller.client,
            now=now,
        )
        steps = steps_after("loading", self.behaviour)
        return Stored(
            n=0,
            id=origin.id,
            scope=self.store.scope(caller.org, caller.sandbox),
            object=new_batch(creation, origin),
            due=_due(now, steps),
            steps=steps,
            outcome=_chosen_outcome(creation.tags),
        )

    def _check_dataset(self, caller: Caller, dataset: str) -> None:
        if not self.has_dataset(caller.sandbox, dataset):
            raise service(self.behaviour.unknown_dataset_status, f"dataset {dataset} not found")

    def _check_external_id(self, caller: Caller, external_id: str | None) -> None:
        if external_id is None or self.behaviour.duplicate_external_id == "accept":
            return
        if self.store.with_external_id(external_id, caller.org):
            status = 409 if self.behaviour.duplicate_external_id == "reject409" else 400
            raise service(status, f"externalId {external_id} is taken")

    def _hidden_until(self, lag_ms: int) -> int | None:
        lag = max(lag_ms, self.behaviour.visibility_lag_ms)
        return self.now() + lag if lag else None

    def act(self, stored: Stored, action: Action, *, user: str) -> Stored:
        """Carry out an action, or refuse it (aep-api.md §5.3)."""
        verdict = judge(stored.object["status"], action, abort_in_flight=self.behaviour.abort_in_flight)
        if verdict is Verdict.REFUSE:
            detail = f"{action} is not allowed while batch {stored.id} is {stored.object['status']}"
            raise service(self.behaviour.wrong_state_status, detail)
        if verdict is Verdict.NO_CHANGE or (action is Action.COMPLETE and not self.behaviour.complete_has_effect):
            return stored
        now = self.now()
        if action is Action.COMPLETE:
            return self._complete(stored, at=now, user=user)
        return self.set_status(stored, status_after(action, self.behaviour), at=now, user=user)

    def _complete(self, stored: Stored, *, at: int, user: str) -> Stored:
        outcome = Outcome(stored.outcome) if stored.outcome else self.behaviour.outcome
        sizes = self.files.sizes(stored.n).values()
        if self.behaviour.empty_batch_fails and not any(sizes):
            outcome = Outcome.EMPTY
        if self.behaviour.any_empty_file_fails and 0 in sizes:
            outcome = Outcome.EMPTY
        if len(sizes) > self.behaviour.most_files or sum(sizes) > self.behaviour.most_bytes:
            outcome = Outcome.GUARDRAIL
        if self.behaviour.retire_predecessors == "complete":
            self._retire_predecessors(stored, at=at)
        steps = promotion(outcome, self.behaviour)
        return self.set_status(replace(stored, outcome=outcome), "loaded", at=at, user=user, steps=steps)

    # --- changes ---

    def remove(self, stored: Stored) -> None:
        """Remove a batch and its files without a trace."""
        self.store.remove(stored)
        self.files.remove_batch(stored.n)

    def change(self, stored: Stored, changes: BatchObject, *, user: str, at: int | None = None) -> Stored:
        """Change fields of the batch, and with them its version, time and user (E23)."""
        now = self.now() if at is None else at
        return self.store.save(stored, replace(stored, object=changed(stored.object, changes, now=now, user=user)))

    def set_status(
        self, stored: Stored, status: str, *, at: int, user: str = PLATFORM_USER, steps: Sequence[Step] = ()
    ) -> Stored:
        """Give the batch a status and what follows from it; then come `steps`, or the usual ones if there are none."""
        coming = tuple(steps) or steps_after(status, self.behaviour)
        scheduled = replace(stored, steps=coming, due=_due(at, coming))
        after = self.change(scheduled, self._details(stored, status, at), user=user, at=at)
        newly_done = phase(status) is Phase.DONE and phase(stored.object["status"]) is not Phase.DONE
        if newly_done and self.behaviour.retire_predecessors == "success":
            self._retire_predecessors(after, at=at)
        return after

    def _details(self, stored: Stored, status: str, at: int) -> BatchObject:
        details: BatchObject = {"status": status}
        if status == "staging" and "started" not in stored.object:
            details["started"] = at
        if phase(status) is Phase.DONE:
            outcome = Outcome(stored.outcome) if stored.outcome else Outcome.SUCCESS
            errors = errors_of(outcome, "", diagnosed=_is_diagnosed(stored))
            details |= {"completed": at, "errors": errors, "metrics": self._metrics(stored) | counts_of(outcome)}
            details["tags"] = stored.object["tags"] | {
                "acp_finalized_time": [str(at)],
                "acp_workflow": ["BufferedPromotionWorkflow"],
            }
        if phase(status) is Phase.FAILED:
            outcome = Outcome(stored.outcome) if stored.outcome else Outcome.FAILED
            details["completed"] = at
            reason = reason_of(outcome, self.files.sizes(stored.n).values(), self.behaviour)
            if self.behaviour.failure_in != "metrics":
                details["errors"] = errors_of(outcome, reason, diagnosed=_is_diagnosed(stored))
            if self.behaviour.failure_in != "errors":
                details["metrics"] = {"failureReason": reason}
        return details

    def _metrics(self, stored: Stored) -> dict[str, int | str]:
        sizes = self.files.sizes(stored.n)
        size = sum(sizes.values())
        return {
            "inputByteSize": size,
            "outputByteSize": size,
            "inputFileCount": len(sizes),
            "failedRecordCount": 0,
        }

    def _retire_predecessors(self, stored: Stored, *, at: int) -> None:
        replay = stored.object.get("replay", {})
        org = stored.object["imsOrg"]
        found = [self.store.get(batch) for batch in replay.get("predecessors", ())]
        for external_id in replay.get("predecessorsByExternalId", ()):
            found += self.store.with_external_id(external_id, org)
        for old in found:
            if old is not None and old.scope == stored.scope and phase(old.object["status"]) is Phase.DONE:
                self.set_status(old, "inactive", at=at)


def _due(at: int, steps: Sequence[Step]) -> int | None:
    return at + steps[0].after_ms if steps else None


def _is_diagnosed(stored: Stored) -> bool:
    return stored.object["tags"].get("acp_enableErrorDiagnostics") == ["true"]


def _chosen_outcome(tags: dict[str, list[str]]) -> str | None:
    chosen = tags.get(OUTCOME_TAG, [])
    return chosen[0] if chosen and chosen[0] in set(Outcome) else None
