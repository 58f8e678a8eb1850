"""The chain of one batch against AEP as a dictionary: what is uploaded when, what is asked for twice, what is told."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from reconciler.apply.engine import carry_out
from reconciler.apply.ledger import Ledger
from reconciler.apply.run import Run, Slots, Stop
from reconciler.core.batch import Desired, File, Record, Spec, Stage
from reconciler.core.errors import ContentChanged, LoadFailed
from reconciler.core.pace import Pace
from reconciler.core.states.journal import Done, Intent, Staged, Uploaded, Uploading
from reconciler.ports import Platform
from tests.examples import ADDRESS, WHO, desired, observed, plan_of, recorded
from tests.shell.fake_platform import FakePlatform
from tests.shell.test_engine import ListJournal, Trial

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from reconciler.core.plans.events import Account, Event
    from reconciler.core.plans.plan import Plan

FILES = tuple(File(f"{letter}.json", 4, letter * 64) for letter in "abcdef")


@dataclass
class One:
    """One file in memory; it may have changed."""

    file: File
    is_changed: bool

    @property
    def size(self) -> int:
        return self.file.size

    async def chunks(self, first: int, stop: int) -> AsyncIterator[bytes]:
        if self.is_changed:
            raise ContentChanged("it changed")
        yield self.file.sha256[first:stop].encode()


@dataclass
class Memory:
    """Contents whose bytes are the beginning of their own digest; some have changed."""

    changed: set[str] = field(default_factory=set)

    def open(self, address: str, file: File) -> One:
        assert address
        return One(file, file.name in self.changed)


def wanted(*files: File, address: str = ADDRESS, complete: bool = True, spec: Spec | None = None) -> Desired:
    return replace(desired(address, spec=spec), globs=("*",), content=files, complete=complete)


def carry(
    plan: Plan,
    platform: FakePlatform,
    known: Record | None = None,
    *,
    changed: set[str] | None = None,
    wait: bool = False,
    breaks_at: int | None = None,
) -> Trial:
    journal = ListJournal(breaks_at=breaks_at)
    records: dict[str, Record] = {}
    events: list[Event] = []

    def listen(event: Event) -> None:
        events.append(event)

    if known is not None:
        records[known.address] = known

    async def main() -> Account:
        pace = Pace(parallelism=2, settle=0.05, first_look=0.005)
        stop = Stop()
        run = Run(
            WHO,
            Platform(platform, platform),
            Ledger(journal, records),
            listen,
            stop,
            Slots(pace.parallelism, stop),
            pace,
            contents=Memory(changed or set()),
            wait=wait,
        )
        return await carry_out(plan, run)

    return Trial(asyncio.run(main()), records, journal, events)


def known(*files: File, begun: tuple[File, ...] = (), stage: Stage = Stage.OPEN) -> Record:
    return replace(recorded(), files=files, begun=begun, stage=stage)


def here(status: str = "loading") -> FakePlatform:
    return FakePlatform(batches={"B1": observed(status=status)})


def test_every_step_is_in_the_journal_before_it_leaves_and_once_it_is_done() -> None:
    platform = FakePlatform()
    trial = carry(plan_of([wanted(FILES[0])]), platform)
    assert [type(entry) for entry in trial.journal.entries] == [Intent, Done, Uploading, Uploaded, Staged, Staged]
    assert trial.records[ADDRESS].files == FILES[:1]
    assert trial.records[ADDRESS].stage is Stage.COMPLETED
    assert (trial.account.uploaded, trial.account.completed, trial.account.created) == (1, 1, 1)
    assert platform.files == {"B1": {"a.json": b"aaaa"}}


def test_only_what_is_missing_is_uploaded_and_completed_last() -> None:
    platform, there = here(), known(*FILES[:3], begun=(FILES[3],))
    trial = carry(plan_of([wanted(*FILES)], [there], platform.batches.values()), platform, there)
    sent = [call for call in platform.calls if call.startswith(("upload", "resume", "COMPLETE"))]
    assert sorted(sent[:-1]) == ["resume B1 d.json", "upload B1 e.json", "upload B1 f.json"]
    assert sent[-1] == "COMPLETE B1"
    assert trial.records[ADDRESS] == known(*FILES, stage=Stage.COMPLETED)


@pytest.mark.parametrize("answer", ["refused", "lost before", "lost after"])
def test_a_file_that_fails_keeps_the_batch_open_and_the_next_run_finishes_it(answer: str) -> None:
    platform = here()
    platform.uploads = ["made", "made", answer]  # type: ignore[list-item]  # a parameter is just a text
    trial = carry(plan_of([wanted(*FILES)], [known()], platform.batches.values()), platform, known())
    assert len(trial.account.failures) == 1
    assert not [call for call in platform.calls if call.startswith("COMPLETE")]
    left = trial.records[ADDRESS]
    assert left.stage is Stage.OPEN
    assert len(left.begun) == 1
    again = carry(plan_of([wanted(*FILES)], [left], platform.batches.values()), platform, left)
    assert again.records[ADDRESS] == known(*FILES, stage=Stage.COMPLETED)
    assert again.account.uploaded + len(left.files) == len(FILES)


def test_a_file_that_changed_meanwhile_is_an_error_and_the_batch_is_not_completed() -> None:
    platform = here()
    plan = plan_of([wanted(*FILES)], [known()], platform.batches.values())
    trial = carry(plan, platform, known(), changed={"c.json"})
    assert isinstance(trial.account.failures[0].error, ContentChanged)
    assert platform.batches["B1"].status == "loading"


def test_a_completion_in_doubt_is_looked_into() -> None:
    platform, there = here("loaded"), known(FILES[0], stage=Stage.COMPLETING)
    trial = carry(plan_of([wanted(FILES[0])], [there], platform.batches.values()), platform, there)
    assert platform.calls == ["external 1", "COMPLETE B1 in doubt"]
    assert trial.records[ADDRESS].stage is Stage.COMPLETED


def test_waiting_tells_a_failure_with_the_errors_of_aep() -> None:
    platform, there = here("failed"), known(FILES[0])
    platform.batches["B1"] = replace(observed(status="loading"), errors=("106: Dataset file is empty",))
    plan = plan_of([wanted(FILES[0])], [there], platform.batches.values())
    platform.completes_to = "failed"
    trial = carry(plan, platform, there, wait=True)
    (failure,) = trial.account.failures
    assert isinstance(failure.error, LoadFailed)
    assert "106: Dataset file is empty" in (failure.error.detail or "")
    assert trial.account.changed == 1
    assert trial.records[ADDRESS].stage is Stage.COMPLETED


def test_waiting_tells_partial_success_from_success() -> None:
    platform, there = here(), known(FILES[0])
    platform.batches["B1"] = replace(observed(), records=98, failed_records=2)
    trial = carry(plan_of([wanted(FILES[0])], [there], platform.batches.values()), platform, there, wait=True)
    assert trial.account.is_whole
    assert trial.account.partial == [(ADDRESS, "98 records, 2 failed")]


def test_a_replay_of_an_address_waits_for_that_address_and_names_its_new_id() -> None:
    platform = FakePlatform()
    first = wanted(FILES[0], address="loyalty/z-first")
    second = wanted(FILES[1], address="loyalty/a-second", spec=Spec(replaces=["loyalty/z-first", "01OLD"]))
    trial = carry(plan_of([first, second]), platform)
    assert trial.account.is_whole
    assert [request.predecessors for request in platform.created] == [(), ("B1", "01OLD")]
    order = [call for call in platform.calls if call.startswith(("COMPLETE", "create"))]
    assert order.index("COMPLETE B1") < order.index(f"create {WHO.external_ids('loyalty/a-second').of(1)}")


def test_a_replay_of_what_could_not_be_made_is_refused() -> None:
    platform = FakePlatform(answers=["refused"])
    first = wanted(FILES[0], address="loyalty/first")
    second = wanted(FILES[1], spec=Spec(replaces=["loyalty/first"]))
    trial = carry(plan_of([first, second]), platform)
    assert sorted(failure.address for failure in trial.account.failures) == [ADDRESS, "loyalty/first"]
    assert not platform.created


def test_a_disk_that_fails_ends_the_run_before_anything_more_is_sent() -> None:
    platform = FakePlatform()
    trial = carry(plan_of([wanted(*FILES)]), platform, breaks_at=4)
    assert trial.account.cause is not None
    assert not [call for call in platform.calls if call.startswith("COMPLETE")]
