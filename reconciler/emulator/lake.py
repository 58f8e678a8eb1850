"""The emulated organisation: its batches and what time does to them. It knows nothing of HTTP."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from reconciler.emulator.behaviour import Behaviour, Duplicates, Outcome, Retirement
from reconciler.emulator.creation import Origin, new_batch
from reconciler.emulator.files import Files
from reconciler.emulator.lifecycle import (
    Action,
    Phase,
    Verdict,
    errors_of,
    judge,
    phase,
    promotion,
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
"""A tag by which a new batch can choose how it will end: one of `Outcome`."""

CLOCK_OFFSET: Final = "clock_offset_ms"


class Lake:
    """Batches of every sandbox. Methods that refuse raise `Problem`."""

    def __init__(self, path: Path | None, *, world: World, behaviour: Behaviour, clock: Callable[[], int]) -> None:
        self.store = Store(path)
        self.files = Files(self.store, path)
        self.world = world
        self.behaviour = behaviour
        self._clock = clock
        self._offset = self.store.number(CLOCK_OFFSET)

    def close(self) -> None:
        """Let go of database and files. Harmless twice."""
        self.store.close()
        self.files.close()

    # --- time ---

    def now(self) -> int:
        """Return the lake's own time, epoch milliseconds."""
        return self._clock() + self._offset

    def advance(self, milliseconds: int) -> None:
        """Let time pass, and let happen what happens in it; a restart does not undo it."""
        self._offset += milliseconds
        self.store.set_number(CLOCK_OFFSET, self._offset)
        self.settle()

    def settle(self) -> None:
        """Let everything happen that was due by now, each thing with its own time."""
        now = self.now()
        while due := self.store.due(now):
            with self.store.transaction():
                for stored in due:
                    self._step(stored)
        if self.store.is_lagging(now):
            self.store.show_until(now)

    def _step(self, stored: Stored) -> None:
        current = self.store.get(stored.id)
        if current is None or current.due is None or current.due != stored.due:
            return  # an earlier step of this round has changed it
        step, *rest = current.steps
        self.become(current, step.status, at=current.due, steps=tuple(rest))

    # --- what callers do ---

    def has_dataset(self, sandbox: str, dataset: str) -> bool:
        """Tell whether the sandbox has the dataset, from the start or added since."""
        return self.world.has_dataset(sandbox, dataset) or dataset in self.store.datasets(sandbox)

    def find(self, caller: Caller, batch: str) -> Stored:
        """Return the batch of the caller's sandbox, or refuse with 404."""
        stored = self.store.get(batch)
        if stored is None or stored.scope != self.store.scope(caller.org, caller.sandbox):
            raise service(404, f"batch {batch} not found")
        return stored

    def shows(self, caller: Caller, batch: str) -> bool:
        """Tell whether Catalog shows the batch to the caller by now."""
        stored = self.store.get(batch)
        return (
            stored is not None
            and stored.scope == self.store.scope(caller.org, caller.sandbox)
            and not self.store.is_hidden(stored)
        )

    def create(self, caller: Caller, creation: Creation, *, lag_ms: int = 0) -> Stored:
        """Create a batch: a new one each time (E14)."""
        self._check_dataset(caller, creation.dataset)
        self._check_external_id(caller, creation.external_id)
        return self.add(caller, creation, lag_ms=lag_ms)

    def add(self, caller: Caller, creation: Creation, *, lag_ms: int = 0) -> Stored:
        """Create a batch unchecked."""
        stored = self.store.add(self._stored(caller, creation), hidden_until=self._hidden_until(lag_ms))
        if self.behaviour.retire_predecessors is Retirement.ON_CREATE:
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
        if external_id is None or self.behaviour.duplicate_external_id is Duplicates.ACCEPT:
            return
        if self.store.with_external_id(external_id, caller.org):
            status = 409 if self.behaviour.duplicate_external_id is Duplicates.REJECT_409 else 400
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
        if verdict is Verdict.NO_CHANGE:
            return stored
        now = self.now()
        if action is Action.COMPLETE:
            return self._complete(stored, at=now, user=user)
        return self.become(stored, status_after(action, self.behaviour), at=now, user=user)

    def _complete(self, stored: Stored, *, at: int, user: str) -> Stored:
        outcome = Outcome(stored.outcome) if stored.outcome else self.behaviour.outcome
        if self.behaviour.empty_batch_fails and not any(self.files.sizes(stored.n).values()):
            outcome = Outcome.EMPTY
        if self.behaviour.retire_predecessors is Retirement.ON_COMPLETE:
            self._retire_predecessors(stored, at=at)
        steps = promotion(outcome, self.behaviour)
        return self.become(replace(stored, outcome=outcome), "loaded", at=at, user=user, steps=steps)

    # --- changes ---

    def remove(self, stored: Stored) -> None:
        """Forget a batch and its files as if they had never been."""
        self.store.remove(stored)
        self.files.remove_batch(stored.n)

    def change(self, stored: Stored, changes: BatchObject, *, user: str, at: int | None = None) -> Stored:
        """Change the object, with the marks of a change (E23)."""
        now = self.now() if at is None else at
        return self.store.save(stored, replace(stored, object=changed(stored.object, changes, now=now, user=user)))

    def become(
        self, stored: Stored, status: str, *, at: int, user: str = PLATFORM_USER, steps: Sequence[Step] = ()
    ) -> Stored:
        """Give the batch a status, with all that goes with it; `steps` come next or else the usual."""
        coming = tuple(steps) or steps_after(status, self.behaviour)
        planned = replace(stored, steps=coming, due=_due(at, coming))
        after = self.change(planned, self._details(stored, status, at), user=user, at=at)
        newly_done = phase(status) is Phase.DONE and phase(stored.object["status"]) is not Phase.DONE
        if newly_done and self.behaviour.retire_predecessors is Retirement.ON_SUCCESS:
            self._retire_predecessors(after, at=at)
        return after

    def _details(self, stored: Stored, status: str, at: int) -> BatchObject:
        details: BatchObject = {"status": status}
        if status == "staging" and "started" not in stored.object:
            details["started"] = at
        if phase(status) is Phase.DONE:
            details |= {"completed": at, "errors": [], "metrics": self._metrics(stored)}
            details["tags"] = stored.object["tags"] | {
                "acp_finalized_time": [str(at)],
                "acp_workflow": ["BufferedPromotionWorkflow"],
            }
        if phase(status) is Phase.FAILED:
            outcome = Outcome(stored.outcome) if stored.outcome else Outcome.FAILED
            details |= {"completed": at, "errors": errors_of(outcome)}
        return details

    def _metrics(self, stored: Stored) -> dict[str, int]:
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
                self.become(old, "inactive", at=at)


def _due(at: int, steps: Sequence[Step]) -> int | None:
    return at + steps[0].after_ms if steps else None


def _chosen_outcome(tags: dict[str, list[str]]) -> str | None:
    chosen = tags.get(OUTCOME_TAG, [])
    return chosen[0] if chosen and chosen[0] in set(Outcome) else None
