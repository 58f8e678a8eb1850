"""A plan and an account as Markdown for a pull request or a job summary: fits a GitHub comment whatever their size.

Everything from others stands in fences and inline code, where GitHub reads no markup, mention or HTML.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

from reconciler.core.plans.plan import Action
from reconciler.views.apply_text import account_lines, complete_line
from reconciler.views.escape import for_markdown, longest_backticks
from reconciler.views.plan_findings import conflicts, drift, remarks
from reconciler.views.plan_rows import by_dataset, rows
from reconciler.views.plan_text import summary_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from reconciler.core.plans.events import Account
    from reconciler.core.plans.plan import Change, Plan
    from reconciler.views.plan_rows import Row

MAX_CHARACTERS = 65_536
"""A GitHub comment (libraries.md §4)."""

MAX_BYTES = 262_144
"""What the service stores of a comment."""

RESERVED = 1_000
"""Characters kept free for fences and for saying what was left out."""

SHARE_OF_FINDINGS = 20_000
"""Characters that conflicts may take, and drift: what a reviewer must see leaves room for what would be done."""

SEE_ALL = "`reconciler plan` prints all of it, and `reconciler show FILE` does for a saved plan."


@dataclass(slots=True)
class _Page:
    """Text that never grows beyond what a comment takes."""

    parts: list[str] = field(default_factory=list)
    characters: int = 0
    size: int = 0

    def add(self, text: str) -> None:
        """Add what has been made to fit."""
        self.parts.append(text)
        self.characters += _units(text)
        self.size += len(text.encode(errors="surrogatepass"))

    def room(self) -> int:
        """Characters that are left, each taken as the three bytes that it may need."""
        return min(MAX_CHARACTERS - self.characters, (MAX_BYTES - self.size) // 3) - RESERVED


def _units(text: str) -> int:
    """Characters as GitHub may count them: what lies beyond the basic plane counts twice."""
    return len(text) + sum(1 for each in text if ord(each) > 0xFFFF) if not text.isascii() else len(text)  # noqa: PLR2004


def render_plan(plan: Plan) -> str:
    """The plan: a hidden marker for the comment that is updated in place, the headline, findings, then changes."""
    who = plan.identity
    page = _Page()
    marker = re.sub(r"[^A-Za-z0-9._-]", "_", who.environment)
    page.add(f"<!-- reconciler:plan:{marker} -->\n")
    page.add(f"### Plan for {for_markdown(who.environment)} of {for_markdown(who.project)}\n\n")
    page.add(f"**{summary_line(plan)}**\n\nDigest: `{plan.digest}`\n")
    _findings(page, "Conflicts, for a person to settle", conflicts(plan), len(plan.conflicts))
    _findings(page, "Changed outside of the manifests", drift(plan), len(plan.drift))
    for remark in remarks(plan):
        page.add(f"\nNote: {for_markdown(remark)}\n")
    _changes(page, plan)
    return "".join(page.parts)


def _findings(page: _Page, title: str, blocks: Iterator[list[str]], count: int) -> None:
    if not count:
        return
    body = _Fence(min(SHARE_OF_FINDINGS, page.room()))
    left = 0
    for head, *notes in blocks:
        left += not body.take([f"! {head}", *(f"      {note}" for note in notes)])
    page.add(f"\n**{title}** ({count})\n\n{body.text('diff')}")
    if left:
        page.add(f"\n… and {left} more of these. {SEE_ALL}\n")


def _changes(page: _Page, plan: Plan) -> None:
    """One collapsed part per dataset, as long as there is room; what is left out is counted."""
    datasets = left = 0
    for dataset, changes in by_dataset(plan.changes):
        if page.room() < RESERVED:
            datasets, left = datasets + 1, left + len(changes)
        else:
            _dataset(page, dataset, changes)
    if left:
        page.add(f"\n… and {left} changes of {datasets} more datasets. {SEE_ALL}\n")


def _dataset(page: _Page, dataset: str, changes: list[Change]) -> None:
    body = _Fence(page.room() - RESERVED)
    left = 0
    for row in rows(changes):
        left += 0 if body.take(list(_row(row))) else row.count
    counts = Counter(change.action for change in changes)
    told = ", ".join(f"{count} {action.value}" for action, count in sorted(counts.items()))
    page.add(f"\n<details><summary><code>{_html(dataset)}</code>: {told}</summary>\n\n{body.text('diff')}")
    if left:
        page.add(f"\n… and {left} more changes of this dataset. {SEE_ALL}\n")
    page.add("\n</details>\n")


def _row(row: Row) -> Iterator[str]:
    lead = _lead(row.action)
    yield from (f"{lead} {label}  # {row.reason.value}" for label in row.labels)
    yield from (f"      {note}" for note in row.notes)


def _lead(action: Action) -> str:
    """What a line begins with: GitHub colours `+`, `-` and `!` in the first column."""
    match action:
        case Action.CREATE | Action.DELETE:
            return action.symbol
        case Action.UPDATE | Action.REPLACE:
            return f"! {action.symbol}"
        case Action.ADOPT | Action.IMPORT | Action.MOVE | Action.FORGET:
            return f"  {action.symbol}"


def account_markdown(account: Account) -> str:
    """The account of an apply, for a job summary."""
    page = _Page()
    page.add(f"### {complete_line(account)}\n\n")
    body = _Fence(page.room())
    left = sum(not body.take([line]) for line in account_lines(account, color=False))
    page.add(body.text("text"))
    if left:
        page.add(f"\n… and {left} more lines, which the log of the run has.\n")
    return "".join(page.parts)


class _Fence:
    """A fenced block with a budget in characters. Once something did not fit, nothing more is taken."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.lines: list[str] = []

    def take(self, lines: Iterable[str]) -> bool:
        """Whether the lines fitted, all of them."""
        lines = list(lines)
        self.room -= sum(_units(line) + 1 for line in lines)
        if self.room < 0:
            self.room = -1
            return False
        self.lines += lines
        return True

    def text(self, language: str) -> str:
        """The block, its fence longer than any run of backticks inside."""
        fence = "`" * max(3, 1 + max(map(longest_backticks, self.lines), default=0))
        return "\n".join(chain((f"{fence}{language}",), self.lines, (fence,))) + "\n"


def _html(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
