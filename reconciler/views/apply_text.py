"""An apply as text: each failure at once, each success while they are few, then progress lines; last, an account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.core.plans.events import Completed, Ending, Failed, Sent, Started, Waiting
from reconciler.core.plans.plan import Action
from reconciler.core.ranges import address_ranges
from reconciler.views.amounts import amount, counted
from reconciler.views.color import Palette
from reconciler.views.error_text import detail_lines, hint_lines, request_id
from reconciler.views.escape import LONGEST_OF_MANY, for_terminal
from reconciler.views.plan_text import symbol_column

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reconciler.core.plans.events import Account, Event, FailedAddress

FEW = 50
"""Up to so many changes, each has a line; of more, only the progress is shown."""

SECONDS_BETWEEN = 10.0
"""The shortest time between two progress lines."""

MOST_FAILURES = 20
"""Failures that are shown at once; the account has all of them, equal errors together."""

MOST_LINES = 10
"""Lines that are shown of one error's detail."""

MOST_DETAILS = 5
"""Different details that are shown of one error."""

MOST_ADDRESSES = 3
"""Addresses that are named for one error."""


@dataclass(slots=True)
class ProgressLines:
    """The lines of one run, event by event. It keeps counts and no events: its memory does not grow with the run."""

    color: bool
    now: Callable[[], float]
    """Seconds on a clock that never goes back."""
    verbose: bool = False
    total: int | None = None
    """How many changes there are, once that is known."""
    total_bytes: int = 0
    """The size of all files that will be uploaded."""
    _done: int = 0
    _failed: int = 0
    _done_shown_at: float = float("-inf")
    _sent_bytes: int = 0
    _sending_since: float = 0.0
    _sent_shown_at: float = 0.0
    _last_wait: str = ""

    def lines(self, event: Event) -> Iterator[str]:
        """What to print for an event; for most events, nothing."""
        match event:
            case Completed():
                self._done += 1
                yield from self._completed(event)
            case Failed():
                self._failed += 1
                yield from self._failure(event)
            case Waiting(message=message):
                if message != self._last_wait:
                    self._last_wait = message
                    yield Palette(self.color).dim(f"  … {for_terminal(message)}")
            case Sent(size=size):
                yield from self._sent(size)
            case Started():
                return

    def _sent(self, size: int) -> Iterator[str]:
        """How much was sent and how fast, at most one line in `SECONDS_BETWEEN`."""
        now = self.now()
        if not self._sent_bytes:
            self._sending_since = self._sent_shown_at = now
        self._sent_bytes += size
        if size > 0 and now - self._sent_shown_at >= SECONDS_BETWEEN:
            self._sent_shown_at = now
            of = f" of {amount(self.total_bytes)}" if self.total_bytes else ""
            rate = amount(round(self._sent_bytes / (now - self._sending_since)))
            yield f"  {amount(self._sent_bytes)}{of} sent, {rate}/s"

    def _completed(self, event: Completed) -> Iterator[str]:
        few = self.total <= FEW if self.total is not None else self._done <= FEW
        if few or self.verbose:
            action = Action.ADOPT if event.adopted else event.change.action
            symbol = symbol_column(action, Palette(self.color))
            yield f"  {symbol} {event.change.address}  {for_terminal(event.id or '')}".rstrip()
        elif self.now() - self._done_shown_at >= SECONDS_BETWEEN:
            self._done_shown_at = self.now()
            yield self._so_far()

    def _so_far(self) -> str:
        count = self._done + self._failed
        of = f" of {self.total} ({100 * count // self.total} %)" if self.total else ""
        failed = f", {self._failed} failed" if self._failed else ""
        return f"  {count}{of} done{failed}"

    def _failure(self, event: Failed) -> Iterator[str]:
        paint = Palette(self.color)
        if self._failed <= MOST_FAILURES:
            word = "outcome unknown" if event.unknown else "failed"
            summary = for_terminal(event.error.summary)
            yield f"    {paint.red('!')} {event.change.address}  {paint.red(word)}: {summary}"
        elif self._failed == MOST_FAILURES + 1:
            yield "  … further failures are in the account at the end"


UNLOOKED = "whether another run created a batch at the same moment could not be seen; a later plan shows it"


def account_lines(account: Account, *, color: bool) -> Iterator[str]:
    """The account of a run, however it ended: the errors (equal ones together), Terraform's line, what to do next."""
    yield from failure_lines(account, color=color)
    yield from closing_lines(account, color=color)


def failure_lines(account: Account, *, color: bool) -> Iterator[str]:
    """What went wrong: what could not be written down, each error, rows that were refused."""
    paint = Palette(color)
    yield from _unrecorded(account, paint)
    if account.failures:
        yield ""
        yield paint.red(f"{len(account.failures)} of the changes failed:")
        for failures in same_errors(account):
            yield from _one_error(failures, paint)
    for address, counts in sorted(account.partial):
        yield f"{paint.yellow('Loaded in part:')} {address}: {for_terminal(counts, LONGEST_OF_MANY)}"


def closing_lines(account: Account, *, color: bool) -> Iterator[str]:
    """What was done, what ended the run, and what to do next."""
    paint = Palette(color)
    yield ""
    yield paint.bold(complete_line(account))
    others = other_counts(account)
    if others:
        yield f"Also {', '.join(others)}."
    if account.unlooked:
        yield f"{paint.yellow(f'Warning: {UNLOOKED}:')} {first_addresses(sorted(account.unlooked))}"
    if account.cause is not None:
        yield f"{paint.red('The run was given up:')} {for_terminal(account.cause.summary)}"
        yield from (f"    {line}" for line in detail_lines(account.cause, MOST_LINES))
        yield from hint_lines(account.cause.hint, paint)
    yield from (f"Next: {step}" for step in next_steps(account))


def complete_line(account: Account) -> str:
    """Terraform's last line, which tools look for."""
    head = {
        Ending.COMPLETE: "Apply complete!" if account.is_whole else "Apply done in part.",
        Ending.INTERRUPTED: "Apply interrupted.",
        Ending.BROKEN: "Apply broken off.",
        Ending.NOT_BEGUN: "Apply not begun.",
    }[account.ending]
    imported = f"{account.imported} imported, " if account.imported else ""
    counts = f"{account.created} added, {account.changed} changed, {account.destroyed} destroyed"
    return f"{head} Resources: {imported}{counts}."


def other_counts(account: Account) -> list[str]:
    """The counts that Terraform's line has no word for."""
    uploaded = [counted(account.uploaded, "file uploaded", "files uploaded")] if account.uploaded else []
    counts = (
        (account.completed, "completed"),
        (len(account.partial), "loaded in part"),
        (account.adopted, "adopted"),
        (account.forgotten, "forgotten"),
        (account.moved, "moved"),
        (account.yielded, "given up to another run that was first"),
        (len(account.failures) - account.unknown, "failed"),
        (account.unknown, "with an unknown outcome"),
        (account.skipped, "not started"),
    )
    return uploaded + [f"{count} {word}" for count, word in counts if count]


def next_steps(account: Account) -> Iterator[str]:
    """What a person should do now."""
    if account.unrecorded:
        yield "keep the ids above, mend the disk and run `reconciler apply` again: it finds the batches and adopts them"
    if account.unknown:
        yield "run `reconciler apply` again: it looks for what may exist before it creates anything"
    elif account.failures:
        yield "mend the cause and run `reconciler apply` again: what is done is not repeated"
    elif account.skipped or account.ending is not Ending.COMPLETE:
        yield "run `reconciler apply` again for the rest: what is done is not repeated"


def same_errors(account: Account) -> list[list[FailedAddress]]:
    """The failures grouped by error, the most frequent error first."""
    alike: dict[tuple[bool, str, str | None], list[FailedAddress]] = {}
    for failure in account.failures:
        key = (failure.unknown, failure.error.summary, failure.error.hint)
        alike.setdefault(key, []).append(failure)
    for group in alike.values():
        group.sort(key=lambda failure: failure.address)
    return sorted(alike.values(), key=lambda group: (-len(group), group[0].address))


def failed_addresses(failures: list[FailedAddress]) -> str:
    """The first addresses of one error, as ranges, and how many more there are."""
    return first_addresses([failure.address for failure in failures])


def first_addresses(addresses: list[str]) -> str:
    """The first of sorted addresses, as ranges, and how many more there are."""
    shown = address_ranges(addresses)[:MOST_ADDRESSES]
    left = len(addresses) - sum(each.count for each in shown)
    return ", ".join(each.text for each in shown) + (f" and {left} more" if left else "")


def first_request_id(failures: list[FailedAddress]) -> str | None:
    """The first request id that the service gave, for a support ticket."""
    return next(filter(None, (request_id(failure.error) for failure in failures)), None)


def _details(failures: list[FailedAddress]) -> Iterator[str]:
    """The details of one error; where they differ, the first of them, each behind its address."""
    different = list({failure.error.detail: failure for failure in reversed(failures) if failure.error.detail}.values())
    different.sort(key=lambda failure: failure.address)
    for failure in different[:MOST_DETAILS]:
        first, *more = detail_lines(failure.error, MOST_LINES)
        yield first if len(different) == 1 else f"{failure.address}: {first}"
        yield from more
    if len(different) > MOST_DETAILS:
        yield f"… and {len(different) - MOST_DETAILS} more of these"


def _one_error(failures: list[FailedAddress], paint: Palette) -> Iterator[str]:
    first = failures[0]
    count = f" ({len(failures)} times)" if len(failures) > 1 else ""
    unknown = "outcome unknown: " if first.unknown else ""
    yield f"    {paint.red('!')} {unknown}{for_terminal(first.error.summary)}{count}"
    yield f"        at {failed_addresses(failures)}"
    yield from (f"        {line}" for line in _details(failures))
    if request := first_request_id(failures):
        yield f"        request id: {for_terminal(request)}{' (the first)' if len(failures) > 1 else ''}"
    if first.error.hint:
        yield f"        hint: {for_terminal(first.error.hint)}"


def _unrecorded(account: Account, paint: Palette) -> Iterator[str]:
    if not account.unrecorded:
        return
    yield ""
    yield paint.red("THESE BATCHES EXIST IN AEP AND COULD NOT BE WRITTEN DOWN, because the disk refused:")
    for address, batch in sorted(account.unrecorded):
        yield f"    {for_terminal(address)}  {for_terminal(batch)}"
    yield "Nothing is lost as long as AEP keeps them: each carries its external id, by which the next run finds it."
