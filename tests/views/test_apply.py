"""What an apply says: little if it is large, clearly what is lost, and what to do next."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.core.errors import OutcomeUnknown, ReconcilerError, Rejected, StoreFailed
from reconciler.core.plans.events import Account, Completed, Ending, Failed, FailedAddress, Started, Waiting
from reconciler.views.apply_json import Stream
from reconciler.views.apply_text import ProgressLines, account_lines, complete_line
from reconciler.views.plan_markdown import MAX_CHARACTERS, account_markdown
from tests.examples import desired, plan_of
from tests.golden.plans.examples import HOSTILE, days, every_action

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.core.plans.plan import Change

NO = Rejected("AEP refused the request: 400", detail="title: bad", hint="look at the dataset", request_id="req-1")
UNKNOWN = OutcomeUnknown("the create got no answer", hint="run again")


def changes(count: int) -> tuple[Change, ...]:
    return plan_of([desired(f"l/d/{number:06}") for number in range(count)]).changes


def progress(total: int | None = None, *, verbose: bool = False, clock: Iterable[float] = ()) -> ProgressLines:
    ticks = iter(clock)
    return ProgressLines(color=False, now=lambda: next(ticks, 0.0), verbose=verbose, total=total)


def done(change: Change, *, adopted: bool = False) -> Completed:
    return Completed(change, f"ID-{change.address}", adopted, 0.5)


# -- while it goes


def test_a_few_changes_are_told_one_by_one() -> None:
    view = progress(2)
    first, second = changes(2)
    assert list(view.lines(Started(first))) == []
    assert list(view.lines(done(first))) == ["    + l/d/000000  ID-l/d/000000"]
    assert list(view.lines(done(second, adopted=True))) == ["   <= l/d/000001  ID-l/d/000001"]


def test_many_changes_are_a_line_now_and_again() -> None:
    view = progress(1000, clock=[number * 0.1 for number in range(4000)])
    lines = [line for change in changes(1000) for line in view.lines(done(change))]
    assert lines[0] == "  1 of 1000 (0 %) done"
    assert 2 <= len(lines) < 30


def test_the_first_are_told_when_nobody_knows_how_many_there_are() -> None:
    view = progress()
    lines = [line for change in changes(200) for line in view.lines(done(change))]
    assert len(lines) == 51


def test_verbose_tells_each() -> None:
    view = progress(200, verbose=True)
    assert len([line for change in changes(200) for line in view.lines(done(change))]) == 200


def test_failures_are_shown_at_once_until_they_are_many() -> None:
    view = progress(1000)
    lines = [line for change in changes(100) for line in view.lines(Failed(change, NO, unknown=False, elapsed=1.0))]
    assert lines[0] == "    ! l/d/000000  failed: AEP refused the request: 400"
    assert lines[-1] == "  … further failures are in the account at the end"
    assert len(lines) == 21


def test_a_wait_is_told_once() -> None:
    view = progress(2)
    told = [list(view.lines(Waiting(message))) for message in ("throttled", "throttled", "\x1b[2Jlag", "throttled")]
    assert told == [["  … throttled"], [], [r"  … \x1b[2Jlag"], ["  … throttled"]]


# -- at the end


def account(**counts: Any) -> Account:
    return Account(**counts)


def failed(addresses: Iterable[str], error: ReconcilerError = NO, *, unknown: bool = False) -> list[FailedAddress]:
    return [FailedAddress(address, error, unknown) for address in addresses]


def text(made: Account) -> str:
    return "\n".join(account_lines(made, color=False))


def test_a_whole_run_ends_in_terraforms_line() -> None:
    assert text(account(created=91)).strip() == "Apply complete! Resources: 91 added, 0 changed, 0 destroyed."


def test_what_terraform_has_no_word_for_stands_below() -> None:
    made = account(created=1, adopted=2, imported=3, forgotten=4, moved=5)
    assert text(made).strip().splitlines() == [
        "Apply complete! Resources: 3 imported, 1 added, 0 changed, 0 destroyed.",
        "Also 2 adopted, 4 forgotten, 5 moved.",
    ]


@pytest.mark.parametrize(
    ("made", "line", "step"),
    [
        (account(failures=failed(["l/a"])), "Apply done in part.", "mend the cause"),
        (account(failures=failed(["l/a"], UNKNOWN, unknown=True)), "Apply done in part.", "looks for what may exist"),
        (account(ending=Ending.INTERRUPTED, skipped=3), "Apply interrupted.", "for the rest"),
        (account(ending=Ending.BROKEN, cause=StoreFailed("disk full")), "Apply broken off.", "for the rest"),
        (account(skipped=1), "Apply done in part.", "for the rest"),
    ],
)
def test_an_incomplete_run_says_so_and_what_to_do(made: Account, line: str, step: str) -> None:
    assert complete_line(made).startswith(line)
    assert any(each.startswith("Next: ") and step in each for each in text(made).splitlines())


def test_same_errors_stand_together_with_the_first_request_id() -> None:
    made = account(failures=[*failed([f"l/d/{day}" for day in days(90)]), *failed(["l/x"], UNKNOWN, unknown=True)])
    shown = text(made)
    assert "91 of the changes failed:" in shown
    assert "! AEP refused the request: 400 (90 times)" in shown
    assert "at l/d/2026-01-01 … 2026-03-31 (90)" in shown
    assert "request id: req-1 (the first)" in shown
    assert "title: bad" in shown
    assert "hint: look at the dataset" in shown
    assert "! outcome unknown: the create got no answer" in shown
    assert "Also 90 failed, 1 with an unknown outcome." in shown


def test_addresses_beyond_a_few_are_counted() -> None:
    made = account(failures=failed(["l/a", "l/b", "l/c", "l/d", "l/e"]))
    assert "at l/a, l/b, l/c and 2 more" in text(made)


def test_what_could_not_be_written_down_is_listed_whole() -> None:
    lost = [(f"l/d/{number}", f"ID{number}") for number in range(300)]
    made = account(unrecorded=lost, ending=Ending.BROKEN, cause=StoreFailed("disk full", hint="free some space"))
    shown = text(made)
    assert all(f"{address}  {batch}" in shown for address, batch in lost)
    assert "COULD NOT BE WRITTEN DOWN" in shown
    assert "The run was given up: disk full" in shown
    assert "hint: free some space" in shown
    assert "it finds the batches and adopts them" in shown


def test_an_account_as_markdown_fits_and_is_inert() -> None:
    error = ReconcilerError(HOSTILE, detail=HOSTILE, hint=HOSTILE)
    made = account(created=1, failures=failed(["l/a"], error), unrecorded=[(f"l/{n}", "B" * 40) for n in range(5000)])
    shown = account_markdown(made)
    assert shown.startswith("### Apply done in part. Resources: 1 added")
    assert len(shown) <= MAX_CHARACTERS
    assert "more lines, which the log of the run has" in shown
    quiet = account_markdown(account(failures=failed(["l/a"], error)))
    opening = next(line for line in quiet.splitlines() if line.startswith("```"))
    assert opening == "````text"
    assert quiet.endswith("\n````\n")


def test_a_huge_error_hides_no_other_and_not_what_to_do_next() -> None:
    huge = ReconcilerError("s" * 25_000, detail="\n".join(["d" * 25_000] * 500), hint="h" * 25_000)
    made = account(failures=[*failed(["l/a"], huge), *failed(["l/b"])], partial=[("l/c", "c" * 25_000)])
    for shown in (text(made), account_markdown(made)):
        assert len(shown) < MAX_CHARACTERS
        assert "… (25000 characters)" in shown
        assert "and 490 more lines" in shown
        assert "AEP refused the request: 400" in shown
        assert "Next: mend the cause" in shown


def test_many_errors_leave_what_to_do_next_in_the_markdown() -> None:
    errors = [ReconcilerError(f"refused for reason {number} " * 10, hint="h" * 200) for number in range(2_000)]
    made = account(failures=[f for number, error in enumerate(errors) for f in failed([f"l/x{number}"], error)])
    shown = account_markdown(made)
    assert len(shown) < MAX_CHARACTERS
    assert "Next: mend the cause" in shown
    assert "more lines, which the log of the run has" in shown


# -- as a stream

NOON = datetime(2026, 3, 31, 12, tzinfo=UTC)


def stream(lines: Iterable[str]) -> list[dict[str, Any]]:
    events = [json.loads(line) for line in lines]
    for event in events:
        assert event["@timestamp"] == "2026-03-31T12:00:00.000000+00:00"
        assert event["@module"] == "reconciler.ui"
        assert event["@level"] in {"info", "warn", "error"}
        assert event["@message"]
    return events


VIEW = Stream(lambda: NOON)


def test_the_stream_opens_with_its_version() -> None:
    (event,) = stream(VIEW.opening())
    assert event["type"] == "version"
    assert event["ui"] == "1.0"


def test_the_stream_tells_the_plan() -> None:
    plan = every_action()
    events = stream(VIEW.planned(plan))
    assert [event["type"] for event in events] == [
        *("resource_drift" for _ in plan.drift),
        *("planned_change" for _ in plan.changes),
        "change_summary",
    ]
    by_address = {event["change"]["resource"]["addr"]: event["change"] for event in events[len(plan.drift) : -1]}
    assert by_address["loyalty/fresh"]["action"] == "create"
    assert by_address["loyalty/legacy"]["importing"] == {"id": "01LEGACY"}
    assert by_address["loyalty/renamed"]["previous_resource"]["addr"] == "loyalty/first"
    assert by_address["loyalty/old"]["action"] == "remove"
    assert events[-1]["changes"]["operation"] == "plan"
    assert events[-1]["changes"]["add"] == plan.summary.add
    assert events[-1]["digest"] == plan.digest


def test_the_stream_tells_each_event() -> None:
    (change,) = changes(1)
    events = stream(
        line
        for event in (
            Started(change),
            Completed(change, "B1", adopted=True, elapsed=1.23456),
            Failed(change, NO, unknown=True, elapsed=2.0),
            Waiting("throttled"),
        )
        for line in VIEW.event(event)
    )
    assert [event["type"] for event in events] == ["apply_start", "apply_complete", "apply_errored", "log"]
    assert events[1]["hook"] | {"resource": None} == {
        "action": "adopt",
        "elapsed_seconds": 1.235,
        "id_key": "id",
        "id_value": "B1",
        "resource": None,
    }
    assert events[2]["hook"]["outcome_unknown"] is True
    assert events[2]["@level"] == "error"


def test_the_stream_ends_with_diagnostics_and_the_summary() -> None:
    made = account(
        created=2,
        failures=failed(["l/a", "l/b"]),
        unrecorded=[("l/c", "B9")],
        ending=Ending.BROKEN,
        cause=StoreFailed("disk full", hint="free some space"),
    )
    events = stream(VIEW.closing(made))
    assert [event["type"] for event in events] == ["diagnostic", "diagnostic", "diagnostic", "change_summary"]
    assert "B9" in events[0]["diagnostic"]["summary"]
    assert "request id: req-1" in events[1]["diagnostic"]["detail"]
    assert events[2]["diagnostic"]["hint"] == "free some space"
    assert events[-1]["changes"]["add"] == 2
    assert events[-1]["changes"]["failed"] == 2
    assert events[-1]["@message"].startswith("Apply broken off.")


def test_addresses_whose_rivals_could_not_be_seen_are_named_as_a_warning() -> None:
    made = account(created=4, unlooked=["l/d", "l/b", "l/c", "l/a"])
    assert made.is_whole
    assert "Warning: whether another run created a batch" in text(made)
    assert ": l/a, l/b, l/c and 1 more" in text(made)
    event = stream(VIEW.closing(made))[0]
    assert (event["@level"], event["diagnostic"]["detail"]) == ("warn", "at l/a, l/b, l/c and 1 more")


def test_no_runner_obeys_the_stream() -> None:
    (change,) = changes(1)
    nasty = replace(change, previous_address="##[error]x")
    for line in (*VIEW.event(Waiting("##[group]x\n::error::y")), *VIEW.event(done(nasty))):
        assert "##[" not in line
        assert "\n" not in line
