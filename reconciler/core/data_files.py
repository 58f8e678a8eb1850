"""What is checked of a batch's files before they are sent: names, formats, AEP's limits. It is given bytes, not paths.

Only what is certain to fail at AEP is an error: AEP would report it hours later, and fail the whole batch.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from reconciler.core.batch import DEFAULT_FORMAT
from reconciler.core.diagnostics import Severity
from reconciler.core.wording import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reconciler.core.batch import Spec

HEAD: Final = 8192
"""Bytes at the start of a file that are checked."""
TAIL: Final = 8
"""Bytes at its end."""

WILDCARDS: Final = frozenset("*?[")

EXTENSIONS: Final = {
    "json": (".json", ".jsonl", ".ndjson"),
    "parquet": (".parquet",),
    "csv": (".csv", ".tsv", ".psv", ".txt"),
}

MANY_FILES, MOST_FILES = 10_000, 25_000
"""Files in one batch: recommended, and the most (aep-api.md §9)."""
LARGE_BATCH, LARGEST_BATCH = 100 * 10**9, 10**12
"""Bytes in one batch: recommended, and the most (aep-api.md §9)."""
MOST_A_DAY: Final = 90
"""Batches a day into a dataset that is enabled for Profile (aep-api.md §9)."""

_PARQUET_ENDS = frozenset({b"PAR1", b"PARE"})


@dataclass(frozen=True, slots=True)
class Flaw:
    """What is wrong with a file, or with all files of a batch, before it has a place in a manifest."""

    code: str
    message: str
    hint: str
    severity: Severity = Severity.ERROR


@dataclass(frozen=True, slots=True)
class Glob:
    """A glob, split where its wildcards begin."""

    folder: tuple[str, ...]
    """Steps without wildcards: names within the batch are relative to this folder."""
    rest: tuple[str, ...]
    """The other steps, at least one; `**` stands for any number of folders."""


def read_glob(text: str) -> Glob:
    """Split a glob that is relative and has no `..`: the manifest's field has checked that."""
    steps = [step for step in text.split("/") if step not in {"", "."}]
    wild = next((index for index, step in enumerate(steps) if WILDCARDS & set(step)), len(steps))
    at = min(wild, max(len(steps) - 1, 0))
    return Glob(tuple(steps[:at]), tuple(steps[at:]))


def name_flaw(name: str) -> Flaw | None:
    """What is wrong with a file's name: it will be shown in URLs, state files and terminals."""
    if not name.isprintable():
        hint = "rename the file"
        return Flaw("control-character", f"{quoted(name)} holds a character that cannot be shown", hint)
    return None


def extension_flaw(spec: Spec, name: str) -> Flaw | None:
    """What is wrong when the name's extension is that of another format than the batch's."""
    form = spec.get("format", DEFAULT_FORMAT)
    known = EXTENSIONS[form]
    if name.lower().endswith(known):
        return None
    hint = f"a {form} file ends in {' or '.join(f'`{each}`' for each in known)}; narrow the glob, or correct `format`"
    return Flaw("wrong-extension", f"{quoted(name)} is no file of format `{form}`", hint)


def content_flaw(spec: Spec, shown: str, size: int, head: bytes, tail: bytes) -> Flaw | None:
    """What is wrong with a file by its first `HEAD` and last `TAIL` bytes; `shown` is its name in messages.

    `size` is in bytes; a file that is not longer than `head` needs no `tail`.
    """
    if size == 0:
        return Flaw("empty-file", f"{quoted(shown)} is empty", "AEP fails a batch without data", Severity.WARNING)
    check = _CHECKS[spec.get("format", DEFAULT_FORMAT)]
    return check(spec, shown, size, head, tail if size > len(head) else head[-TAIL:])


def rules_of(spec: Spec) -> str:
    """All that `content_flaw` depends on beside the bytes: under the same rules a file is not checked twice."""
    parts = (spec.get("format", DEFAULT_FORMAT), spec.get("multiline", False), spec.get("csv", {}))
    return json.dumps(parts, sort_keys=True)


def limit_flaws(count: int, size: int) -> Iterator[Flaw]:
    """AEP's limits for one batch (aep-api.md §9)."""
    if count > MANY_FILES:
        severity = Severity.ERROR if count > MOST_FILES else Severity.WARNING
        said = f"the batch has {count:,} files; AEP takes {MOST_FILES:,} and recommends fewer than {MANY_FILES:,}"
        yield Flaw("too-many-files", said, "join small files, or split the batch with `each`", severity)
    if size > LARGE_BATCH:
        severity = Severity.ERROR if size > LARGEST_BATCH else Severity.WARNING
        said = f"the batch has {size / 10**9:,.0f} GB; AEP takes 1 TB and recommends less than 100 GB"
        yield Flaw("too-large-batch", said, "split the batch with `each`", severity)


def day_flaw(dataset: str, count: int) -> Flaw | None:
    """What is wrong if one apply could pass AEP's daily limit for datasets that Profile reads (aep-api.md §9)."""
    if count <= MOST_A_DAY:
        return None
    said = f"dataset `{dataset}` declares {count:,} batches to be completed; if Profile reads it, AEP takes 90 a day"
    return Flaw("many-a-day", said, "spread the first apply over days with `--target`", Severity.WARNING)


# -- formats


def _json_flaw(spec: Spec, shown: str, size: int, head: bytes, _tail: bytes) -> Flaw | None:
    text = head.decode("utf-8", "replace").lstrip("\ufeff")
    if spec.get("multiline", False):
        if text.lstrip()[:1] in {"[", "{"}:
            return None
        hint = "with `multiline: true` a file is one JSON array of objects"
        return Flaw("not-json", f"{quoted(shown)} is no JSON array", hint)
    is_whole, lines = size <= len(head), text.split("\n")
    for number, line in enumerate(lines if is_whole else lines[:-1], 1):
        if line.strip() and not _is_object(line):
            return _not_a_line(shown, number)
    started = "" if is_whole else lines[-1].lstrip()
    return _not_a_line(shown, len(lines)) if started and not started.startswith("{") else None


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _not_a_line(shown: str, number: int) -> Flaw:
    message = f"{quoted(shown)} does not hold one JSON object a line: see its line {number}"
    return Flaw("not-json-lines", message, "write each object on one line, or set `multiline: true` for a JSON array")


def _parquet_flaw(_spec: Spec, shown: str, _size: int, head: bytes, tail: bytes) -> Flaw | None:
    if head[:4] in _PARQUET_ENDS and tail[-4:] in _PARQUET_ENDS and len(head) >= 12:  # noqa: PLR2004
        return None
    hint = "a Parquet file begins and ends with `PAR1`: write it to its end, or correct `format`"
    return Flaw("not-parquet", f"{quoted(shown)} is no whole Parquet file", hint)


def _csv_flaw(spec: Spec, shown: str, _size: int, head: bytes, _tail: bytes) -> Flaw | None:
    how = spec.get("csv", {})
    text = head.decode(how.get("charset", "UTF-8"), "replace").lstrip("\ufeff")
    first = text.split("\n", 1)[0].rstrip("\r")
    try:
        (names,) = csv.reader([first], delimiter=how.get("delimiter", ","), quotechar=how.get("quote", '"'))
    except (csv.Error, TypeError, ValueError):
        return _bad_header(shown, "cannot be read")
    blank = [name for name in names if not name or any(char.isspace() for char in name)]
    if blank:
        return _bad_header(shown, f"has {quoted(blank[0])} in it" if blank[0] else "has a column without a name")
    twice = next((name for name in names if names.count(name) > 1), None)
    return _bad_header(shown, f"has {quoted(twice)} twice") if twice is not None else None


def _bad_header(shown: str, what: str) -> Flaw:
    hint = "the first line names each column once, without spaces (check `csv.delimiter` too)"
    return Flaw("bad-csv-header", f"the header of {quoted(shown)} {what}", hint)


_CHECKS: dict[str, Callable[[Spec, str, int, bytes, bytes], Flaw | None]] = {
    "json": _json_flaw,
    "parquet": _parquet_flaw,
    "csv": _csv_flaw,
}
