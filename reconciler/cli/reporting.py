"""What an apply says while it runs and at its end, as text for people or as Terraform's event stream."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import chain
from time import monotonic
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.cli.invocation import Invocation
    from reconciler.core.errors import ReconcilerError
    from reconciler.core.plans.events import Event
    from reconciler.core.plans.plan import Plan
    from reconciler.operations import Applied


class Reporter(Protocol):
    """Follows one apply from its plan to its account, and writes what it says."""

    def show(self, plan: Plan) -> None:
        """Show what will be done."""
        ...

    def listen(self, event: Event) -> None:
        """Show what happens."""
        ...

    def finish(self, done: Applied, error: ReconcilerError | None = None) -> None:
        """Show the account; `error` is what went wrong after the run itself."""
        ...

    def not_begun(self, error: ReconcilerError | None) -> None:
        """End a run that changed nothing: because of the error, or of a signal if there is none."""
        ...


def reporter(invocation: Invocation, form: str) -> Reporter:
    """The reporter for `--format`."""
    return _JsonReporter(invocation) if form == "json" else _TextReporter(invocation)


class _TextReporter:
    """The plan and the account go to stdout, what happens in between to stderr."""

    def __init__(self, invocation: Invocation) -> None:
        from reconciler.views.apply_text import ProgressLines

        self.console = invocation.console
        self.progress = ProgressLines(self.console.color_err, monotonic, verbose=bool(self.console.verbose))

    def show(self, plan: Plan) -> None:
        from reconciler.views.plan_text import render_plan

        self.progress.total = len(plan.changes)
        self.progress.total_bytes = sum(file.size for change in plan.changes for file in change.uploads)
        self.console.out(render_plan(plan, color=self.console.color, verbose=bool(self.console.verbose)))

    def listen(self, event: Event) -> None:
        if lines := list(self.progress.lines(event)):
            self.console.err(lines)

    def finish(self, done: Applied, error: ReconcilerError | None = None) -> None:  # noqa: ARG002  (stderr shows it)
        from reconciler.views.apply_text import account_lines
        from reconciler.views.escape import for_terminal

        if done.account is not None:
            # On both streams: a log may keep only one of them, and these ids stand nowhere else.
            self.console.err(f"{address} {for_terminal(batch)}" for address, batch in sorted(done.account.unrecorded))
            self.console.out(account_lines(done.account, color=self.console.color))

    def not_begun(self, error: ReconcilerError | None) -> None:
        pass  # stderr shows it


class _JsonReporter:
    """One event a line on stdout; the last line is the summary."""

    def __init__(self, invocation: Invocation) -> None:
        from reconciler.views.apply_json import Stream

        self.console = invocation.console
        self.stream = Stream(lambda: datetime.now(UTC))
        self.opening = self.stream.opening()
        """Goes before the first lines: no stream begins without getting to its summary."""

    def show(self, plan: Plan) -> None:
        self._out(self.stream.planned(plan))

    def listen(self, event: Event) -> None:
        self._out(self.stream.event(event))

    def finish(self, done: Applied, error: ReconcilerError | None = None) -> None:
        from reconciler.core.plans.events import Account

        self._out(self.stream.closing(done.account or Account(), error))

    def not_begun(self, error: ReconcilerError | None) -> None:
        self._out(self.stream.not_begun(error))

    def _out(self, lines: Iterator[str]) -> None:
        self.console.out(chain(self.opening, lines))
