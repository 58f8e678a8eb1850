"""Whatever people, a foreign hand, the network and dying machines do: one batch per address, and nothing forgotten.

A Hypothesis state machine edits manifests, changes batches behind our back, loses state and journal, kills runs at any
effect, and applies. After each undisturbed apply the invariants must hold.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from reconciler.apply.engine import carry_out
from reconciler.apply.ledger import Ledger
from reconciler.apply.run import Run, Slots, Stop
from reconciler.apply.settling import settle_at_once
from reconciler.core.batch import Lifecycle, Observed, OnRemove, Spec, StatusClass
from reconciler.core.identity import ADDRESS_TAG
from reconciler.core.pace import Pace
from reconciler.core.plans.observation import DEAD
from reconciler.core.plans.planner import PlanInputs
from reconciler.core.states.journal import Intent
from reconciler.core.states.replay import replay
from reconciler.core.states.state import State, dump, parse
from reconciler.ports import Platform
from reconciler.refresh import RefreshRequest, refresh
from tests.examples import DATASET, TODAY, WHO, desired
from tests.shell.fake_platform import FakePlatform

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

    from reconciler.core.batch import Desired, Record
    from reconciler.core.plans.plan import Plan
    from reconciler.core.states.journal import Entry
    from reconciler.ports import Content, CreateRequest, FilePlace, TagsKept, Verb
    from tests.shell.fake_platform import Answer

ADDRESSES = [f"loyalty/b{number}" for number in range(5)]
STATUSES = ["loading", "success", "staging", "aborted", "abandoned", "failed", "inactive", "stalled"]
ANSWERS: list[Answer] = ["made", "lost after", "lost before", "refused", "throttled", "never sent", "taken"]
LIVE = {StatusClass.OPEN, StatusClass.IN_FLIGHT, StatusClass.DONE, StatusClass.STUCK}


class Killed(BaseException):
    """The machine died."""


class Mortal:
    """A platform and a journal that die at the n-th effect."""

    def __init__(self, platform: FakePlatform, journal: list[Entry], dies_at: int | None) -> None:
        self.platform, self.journal, self.left = platform, journal, dies_at

    def _pass(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Killed

    async def append(self, *entries: Entry) -> None:
        for entry in entries:
            self._pass()
            self.journal.append(entry)

    async def create(self, request: CreateRequest, *, about_to_send: Callable[[], Awaitable[None]]) -> str:
        self._pass()
        batch = await self.platform.create(request, about_to_send=about_to_send)
        self._pass()
        return batch

    async def act(self, batch: str, verb: Verb, *, in_doubt: bool = False) -> None:
        self._pass()
        await self.platform.act(batch, verb, in_doubt=in_doubt)
        self._pass()

    async def upload(
        self, place: FilePlace, content: Content, *, resume: bool = False, about_to_send: Callable[[], Awaitable[None]]
    ) -> None:
        raise NotImplementedError("no batch here has files")

    async def change_tags(
        self, batch: str, assign: Mapping[str, Sequence[str]], remove: Collection[str]
    ) -> TagsKept | None:
        self._pass()
        kept = await self.platform.change_tags(batch, assign, remove)
        self._pass()
        return kept


class Convergence(RuleBasedStateMachine):
    """The world: manifests, AEP, a state file, a journal."""

    @initialize()
    def begin(self) -> None:
        self.wanted: dict[str, Desired] = {}
        self.platform = FakePlatform()
        self.foreign = Observed("FOREIGN", "loading", frozenset({DATASET}), "someone.else")
        self.platform.batches["FOREIGN"] = self.foreign
        self.state = dump(State(WHO, {}))
        self.journal: list[Entry] = []
        for address in ADDRESSES[:3]:
            self.declare(address, "json", "crm", OnRemove.FORGET)

    # -- what people do

    @rule(
        address=st.sampled_from(ADDRESSES),
        form=st.sampled_from(["json", "csv", "parquet"]),
        team=st.sampled_from(["crm", "eu"]),
        on_remove=st.sampled_from(OnRemove),
    )
    def declare(self, address: str, form: str, team: str, on_remove: OnRemove) -> None:
        spec = Spec(format=form, tags={"team": [team]})
        rules = Lifecycle(on_remove=on_remove, recreate_when=("missing", "aborted", "abandoned", "failed", "withdrawn"))
        self.wanted[address] = desired(address, spec=spec, lifecycle=rules)

    @precondition(lambda self: self.wanted)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        del self.wanted[data.draw(st.sampled_from(sorted(self.wanted)))]

    # -- what a foreign hand and bad luck do

    @precondition(lambda self: len(self.platform.batches) > 1)
    @rule(data=st.data(), status=st.sampled_from(STATUSES))
    def change_status(self, data: st.DataObject, status: str) -> None:
        """A batch moves on; one that is dead stays dead, as in AEP."""
        final = DEAD | {StatusClass.FAILED}
        ours = [b for b, o in self.platform.batches.items() if b != "FOREIGN" and o.status_class not in final]
        if ours:
            self.platform.set_status(data.draw(st.sampled_from(sorted(ours))), status)

    @precondition(lambda self: len(self.platform.batches) > 1)
    @rule(data=st.data())
    def vanish(self, data: st.DataObject) -> None:
        ours = sorted(b for b in self.platform.batches if b != "FOREIGN")
        del self.platform.batches[data.draw(st.sampled_from(ours))]

    @rule(journal=st.booleans(), state=st.booleans())
    def lose(self, *, journal: bool, state: bool) -> None:
        if journal:
            self.journal = []
        if state:
            self.state = dump(State(WHO, {}))

    # -- runs

    @rule(answers=st.lists(st.sampled_from(ANSWERS), min_size=2, max_size=8), blind=st.booleans())
    def apply_over_a_bad_network(self, answers: list[Answer], *, blind: bool) -> None:
        self._disturbed(answers, None, commits=True, blind=blind)

    @rule(
        answers=st.lists(st.sampled_from(ANSWERS), max_size=4),
        dies_at=st.integers(0, 15),
        commits=st.booleans(),
    )
    def apply_and_die(self, answers: list[Answer], dies_at: int, *, commits: bool) -> None:
        self._disturbed(answers, dies_at, commits=commits, blind=False)

    def _disturbed(self, answers: list[Answer], dies_at: int | None, *, commits: bool, blind: bool) -> None:
        self.platform.answers, self.platform.blind = list(answers), blind
        with suppress(Killed):
            try:
                self._apply(dies_at, commits=commits)
            except* Killed:
                pass
        self.platform.answers, self.platform.blind = [], False

    @rule()
    def apply(self) -> None:
        plan = self._apply(None, commits=True)
        again = self._apply(None, commits=True)
        assert not again.changes or plan.conflicts or again.conflicts, again.changes
        if not again.conflicts:
            self._check(again)

    def _apply(self, dies_at: int | None, *, commits: bool) -> Plan:
        return asyncio.run(self._run(Mortal(self.platform, self.journal, dies_at), commits=commits))

    async def _run(self, mortal: Mortal, *, commits: bool) -> Plan:
        replayed = replay(parse(self.state, WHO, "state"), tuple(self.journal))
        records: dict[str, Record] = dict(replayed.state.records)
        pace = Pace(parallelism=2, settle=0.0, first_look=0.0)
        ledger, known = Ledger(mortal, records), {record.id for record in records.values()}
        settled = await settle_at_once(self.platform, WHO, replayed.open_intents, known=known)
        await ledger.write(*settled.entries)
        inputs = PlanInputs(WHO, self.wanted, records, None)
        plan = (await refresh(self.platform, RefreshRequest(inputs, TODAY, settle=0.0, accept_all_missing=True))).plan
        # A person would leave out what needs a decision; so does this one.
        stop, intents = Stop(), {intent.address: intent for intent in settled.undecided}
        platform = Platform(self.platform, mortal)
        run = Run(WHO, platform, ledger, lambda _: None, stop, Slots(2, stop), pace, intents)
        await carry_out(plan, run)
        if commits:
            self.state = dump(State(WHO, records))
            self.journal.clear()
        return plan

    # -- what must be true

    def _check(self, plan: Plan) -> None:
        records = parse(self.state, WHO, "state").records
        assert set(records) == set(self.wanted)
        live = Counter(
            batch.tags[ADDRESS_TAG][0]
            for batch in self.platform.batches.values()
            if batch.id != "FOREIGN" and batch.status_class in LIVE and not self._is_replaced(batch)
        )
        for address, record in records.items():
            batch = self.platform.batches.get(record.id)
            assert batch is not None, address
            assert live[address] <= 1, (address, live)
            assert record.deposed == () or plan.conflicts

    def _is_replaced(self, batch: Observed) -> bool:
        return any(batch.id in other.predecessors for other in self.platform.batches.values())

    @invariant()
    def foreign_batches_are_never_touched(self) -> None:
        assert self.platform.batches["FOREIGN"] == self.foreign

    @invariant()
    def one_request_per_generation_has_an_effect(self) -> None:
        """No external id was ever given to two live batches by us."""
        carried = Counter(b.external_id for b in self.platform.batches.values() if b.status_class in LIVE)
        assert max(carried.values(), default=0) <= 1, carried

    @invariant()
    def intents_precede_what_they_announce(self) -> None:
        announced = {entry.external_id for entry in self.journal if isinstance(entry, Intent)}
        assert announced <= {WHO.external_ids(a).of(g) for a in ADDRESSES for g in range(1, 200)}


EXAMPLES = int(os.environ.get("RECONCILER_EXAMPLES", "60"))
"""More of them, in random order, are a nightly's business."""

Convergence.TestCase.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=25,
    deadline=None,
    derandomize=EXAMPLES == 60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestConvergence = Convergence.TestCase
