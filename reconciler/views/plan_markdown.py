"""A plan and an account as Markdown for a pull request or a job summary: they always fit into a GitHub comment.

Text from outside stands in code blocks and inline code, where GitHub reads no markup, mention or HTML.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from dataclasses import dataclass, field
from itertools import filterfalse
from typing import TYPE_CHECKING

from reconciler.core.plans.plan import Action
from reconciler.views.apply_text import closing_lines, complete_line, failure_lines
from reconciler.views.escape import for_markdown, longest_backticks
from reconciler.views.plan_findings import conflicts, drift, remarks
from reconciler.views.plan_rows import by_dataset, rows, withdraws
from reconciler.views.plan_text import summary_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.core.plans.events import Account
    from reconciler.core.plans.plan import Change, Plan
    from reconciler.views.plan_rows import Row

MAX_CHARACTERS = 65_536
"""The longest GitHub comment (libraries.md §4)."""

MAX_BYTES = 262_144
"""What GitHub stores of a comment, in UTF-8."""

RESERVED = 1_000
"""Characters kept free for fences and for what says how much was left out."""

SHARE_OF_FINDINGS = 20_000
"""Characters that conflicts may take, and as many for drift: the changes need room too."""

LEFT_BY_WITHDRAWALS = 12_000
"""Characters that the batches that go leave to all else: of them, as many are named as there is room for."""

LONGEST_NOTE = 5_000
"""Characters of one remark."""

SEE_ALL = "`reconciler plan` prints all of it, and `reconciler show FILE` does for a saved plan."


@dataclass(slots=True)
class _Comment:
    """The text of a comment and the room that is left in it."""

    notes: str = ""
    """What will follow the findings: its room is kept."""
    parts: list[str] = field(default_factory=list)
    characters: int = 0
    size: int = 0

    def add(self, text: str) -> None:
        """Add text; the caller has made sure that it fits."""
        self.parts.append(text)
        self.characters += _characters(text)
        self.size += len(text.encode(errors="surrogatepass"))

    def room(self) -> int:
        """Characters that still fit, if each needs three bytes."""
        return min(MAX_CHARACTERS - self.characters, (MAX_BYTES - self.size) // 3) - RESERVED - _characters(self.notes)


def _characters(text: str) -> int:
    """Characters as GitHub may count them, in UTF-16: one beyond the basic plane counts twice."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", errors="surrogatepass")) // 2


def render_plan(plan: Plan) -> str:
    """The plan: a hidden marker, by which a pipeline finds its comment again, then headline, findings and changes.

    Batches that go are named first: no flood of anything else hides them.
    """
    who = plan.identity
    comment = _Comment("".join(f"\nNote: {for_markdown(each, LONGEST_NOTE)}\n" for each in remarks(plan)))
    marker = re.sub(r"[^A-Za-z0-9._-]", "_", who.environment)
    comment.add(f"<!-- reconciler:plan:{marker} -->\n")
    comment.add(f"### Plan for {for_markdown(who.environment)} of {for_markdown(who.project)}\n\n")
    comment.add(f"**{summary_line(plan)}**\n\nDigest: `{plan.digest}`\n")
    gone = list(filter(withdraws, plan.changes))
    title = "Batches that go: deleted, replaced or withdrawn"
    _open_section(comment, title, len(gone), _withdrawn(gone), comment.room() - LEFT_BY_WITHDRAWALS)
    _findings(comment, "Conflicts, for a person to settle", conflicts(plan), len(plan.conflicts))
    _findings(comment, "Changed outside of the manifests", drift(plan), len(plan.drift))
    notes, comment.notes = comment.notes, ""
    comment.add(notes)
    _changes(comment, list(filterfalse(withdraws, plan.changes)))
    return "".join(comment.parts)


def _open_section(comment: _Comment, title: str, count: int, blocks: Iterator[list[str]], room: int) -> None:
    """Blocks of lines that are not folded, as many as there is room for."""
    if not count:
        return
    body = _CodeBlock(room)
    left = sum(1 for block in blocks if not body.take(block))
    comment.add(f"\n**{title}** ({count})\n\n{body.text('diff')}")
    if left:
        comment.add(f"\n… and {left} more of these. {SEE_ALL}\n")


def _withdrawn(changes: list[Change]) -> Iterator[list[str]]:
    """A block for each label, so that as many as possible are named; the notes of a row are with its last one."""
    for _, some in by_dataset(changes):
        for row in rows(some):
            *labels, last = _labels(row)
            yield from ([label] for label in labels)
            yield [last, *_notes(row)]


def _findings(comment: _Comment, title: str, blocks: Iterator[list[str]], count: int) -> None:
    marked = ([f"! {head}", *(f"      {note}" for note in notes)] for head, *notes in blocks)
    _open_section(comment, title, count, marked, min(SHARE_OF_FINDINGS, comment.room() // 2))


def _changes(comment: _Comment, others: list[Change]) -> None:
    """One collapsed section per dataset, as long as there is room; what is left out is counted."""
    datasets = left = 0
    for dataset, changes in by_dataset(others):
        if comment.room() < RESERVED:
            datasets, left = datasets + 1, left + len(changes)
        else:
            _dataset(comment, dataset, changes)
    if left:
        comment.add(f"\n… and {left} changes of {datasets} more datasets. {SEE_ALL}\n")


def _dataset(comment: _Comment, dataset: str, changes: list[Change]) -> None:
    body = _CodeBlock(comment.room() - RESERVED)
    left = 0
    for row in rows(changes):
        if not body.take([*_labels(row), *_notes(row)]):
            left += row.count
    counts = Counter(change.action for change in changes)
    counted_actions = ", ".join(f"{count} {action.value}" for action, count in sorted(counts.items()))
    comment.add(
        f"\n<details><summary><code>{html.escape(dataset, quote=False)}</code>: {counted_actions}</summary>\n\n"
        f"{body.text('diff')}"
    )
    if left:
        comment.add(f"\n… and {left} more changes of this dataset. {SEE_ALL}\n")
    comment.add("\n</details>\n")


def _labels(row: Row) -> list[str]:
    return [f"{_lead(row.action)} {label}  # {row.reason.value}" for label in row.labels]


def _notes(row: Row) -> list[str]:
    return [f"      {note}" for note in row.notes]


def _lead(action: Action) -> str:
    """What a line begins with: GitHub colours lines with `+`, `-` or `!` in the first column."""
    match action:
        case Action.CREATE | Action.DELETE:
            return action.symbol
        case Action.UPDATE | Action.REPLACE:
            return f"! {action.symbol}"
        case Action.ADOPT | Action.IMPORT | Action.MOVE | Action.FORGET:
            return f"  {action.symbol}"


def account_markdown(account: Account) -> str:
    """The account of an apply, for a job summary."""
    comment = _Comment()
    comment.add(f"### {complete_line(account)}\n\n")
    body = _CodeBlock(comment.room())
    lines = [*closing_lines(account, color=False), *failure_lines(account, color=False)]
    left = sum(1 for line in lines if not body.take([line]))
    comment.add(body.text("text"))
    if left:
        comment.add(f"\n… and {left} more lines, which the log of the run has.\n")
    return "".join(comment.parts)


class _CodeBlock:
    """A code block with room for so many characters. Once something did not fit, nothing more is taken."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.lines: list[str] = []

    def take(self, lines: list[str]) -> bool:
        """Add the lines if all of them fit, and say whether they did."""
        self.room -= sum(_characters(line) + 1 for line in lines)
        if self.room < 0:
            self.room = -1
            return False
        self.lines += lines
        return True

    def text(self, language: str) -> str:
        """The block, its fence longer than any run of backticks inside."""
        fence = "`" * max(3, 1 + max(map(longest_backticks, self.lines), default=0))
        return "\n".join([f"{fence}{language}", *self.lines, fence]) + "\n"
