r"""Makes text from outside harmless for the place where it is shown: terminal, Markdown, workflow command.

Addresses and names that become part of a URL are checked when they are read; all other text from a manifest, a file
or the API passes through here. Control codes (C0, C1), bidi overrides, invisible characters and line breaks become
visible escapes such as `\x1b`; nothing is dropped, so nothing can hide. A text of any length is cut, and its length
told: one alone must not push all others out of a comment.
"""

from __future__ import annotations

import re

from reconciler.core.wording import visible

LONGEST = 1_000
"""Characters that are shown of one text."""

LONGEST_OF_MANY = 300
"""The same where many texts stand together, such as the errors of many batches."""

_RUNNER_COMMANDS = re.compile(r"##(?=\[|vso\[)")
"""CI runners obey `##[command]` and `##vso[command]` anywhere in a line."""

_BACKTICKS = re.compile(r"`+")


def cut(text: str, most: int = LONGEST) -> str:
    """The text, or its first characters and how many it has."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text)} characters)"


def for_terminal(text: str, most: int | None = LONGEST) -> str:
    r"""One line that a terminal shows as it is and that no CI runner obeys, cut to so many characters; None: whole.

    GitHub's runner takes a line for a command when it begins with `::`, with or without blanks before it.
    """
    shown = visible(text if most is None else text[: most + 1])
    if most is not None and len(shown) > most:
        shown = f"{shown[:most]}… ({len(text)} characters)"
    if "##" in shown:
        shown = _RUNNER_COMMANDS.sub(r"#\\#", shown)
    return f"\\{shown}" if shown.lstrip().startswith("::") else shown


def for_markdown(text: str, most: int | None = LONGEST) -> str:
    r"""Inline code, in which GitHub reads no markup, HTML, mention or reference; also safe in a table's cell.

    A vertical bar becomes `\|`: GitHub cuts a table into cells before it looks for code.
    """
    shown = for_terminal(text, most).replace("|", r"\|")
    if not shown.strip():
        return "`(empty)`" if not shown else f"`{shown}`"
    fence = "`" * (longest_backticks(shown) + 1)
    pad = " " if shown[0] in "` " or shown[-1] in "` " else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def for_runner(encoded: str) -> str:
    r"""JSON in which no CI runner finds a command: the second `#` of `##` becomes `\u0023`, which means the same."""
    return encoded.replace("##", r"#\u0023") if "##" in encoded else encoded


def longest_backticks(text: str) -> int:
    """The length of the longest run of backticks: a fence around the text must be longer."""
    return max((len(run) for run in _BACKTICKS.findall(text)), default=0)


def for_workflow(text: str) -> str:
    """The message of a GitHub workflow command: `%` and line breaks escaped, as the runner expects them."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def for_workflow_property(text: str) -> str:
    """A property (`file=…`) of a GitHub workflow command, in which colons and commas are separators too."""
    return for_workflow(text).replace(":", "%3A").replace(",", "%2C")
