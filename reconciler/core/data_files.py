"""What is checked of a batch's files before they are sent: names, formats, AEP's limits. It is given bytes, not paths.

Only what is certain to fail at AEP is an error: AEP would report it hours later, and fail the whole batch.
"""

from __future__ import annotations

import csv
import json
from codecs import BOM_UTF8
from collections import Counter
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, Final
from unicodedata import category
from urllib.parse import quote

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
LONGEST_HEADER: Final = 4 * 1024 * 1024
"""Bytes at the start of a CSV file whose header is longer than `HEAD`: 10,000 columns need them (aep-api.md §9)."""

LFS_POINTER: Final = b"version https://git-lfs.github.com/spec/"
"""How the file begins that Git LFS puts in the place of one that it has not fetched."""

WILDCARDS: Final = frozenset("*?[")
ANY_FOLDERS: Final = "**"
"""The step of a glob that stands for any number of folders; several in a row say no more than one."""

LONGEST_NAME: Final = 1_800
"""Characters of a file's name in its URL, which the ids and the host share with it (aep-api.md §9)."""

EXTENSIONS: Final = {
    "json": (".json", ".jsonl", ".ndjson"),
    "parquet": (".parquet",),
    "csv": (".csv", ".tsv", ".psv", ".txt"),
}

MANY_FILES, MOST_FILES = 10_000, 25_000
"""Files in one batch: recommended, and the most (aep-api.md §9)."""
LARGE_BATCH, LARGEST_BATCH = 100 * 10**9, 2**40
"""Bytes in one batch: recommended, and the most (aep-api.md §9, §16.1)."""
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
    """The other steps, at least one."""


def read_glob(text: str) -> Glob:
    """Split a glob that is relative and has no `..`: the manifest's field has checked that."""
    named = [step for step in text.split("/") if step not in {"", "."}]
    steps = [step for at, step in enumerate(named) if step != ANY_FOLDERS or named[at - 1 : at] != [ANY_FOLDERS]]
    wild = next((index for index, step in enumerate(steps) if WILDCARDS & set(step)), len(steps))
    at = min(wild, max(len(steps) - 1, 0))
    return Glob(tuple(steps[:at]), tuple(steps[at:]))


def name_flaw(name: str) -> Flaw | None:
    """What is wrong with a file's name: it will be shown in URLs, state files and terminals."""
    if any("\ud800" <= char <= "\udfff" for char in name):
        return Flaw("not-utf-8", f"the name {quoted(name)} is not UTF-8", "rename the file")
    # The wide and the no-break space are no worse than the usual one: URLs and state files spell them as escapes.
    if not all(char.isprintable() or category(char) == "Zs" for char in name):
        return Flaw("control-character", f"{quoted(name)} holds a character that cannot be shown", "rename the file")
    if len(quote(name)) > LONGEST_NAME:
        hint = "shorten it: AEP takes URLs of at most 2,000 characters, and letters beyond ASCII count three to twelve"
        return Flaw("too-long", f"the name {quoted(name)} is too long for AEP", hint)
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
        return None  # `empty_flaw` looks at the whole batch
    if head.startswith(LFS_POINTER):
        hint = "run `git lfs pull`; in CI, check out with LFS files"
        return Flaw("lfs-pointer", f"{quoted(shown)} is a Git LFS pointer, not data", hint)
    check = _CHECKS[spec.get("format", DEFAULT_FORMAT)]
    return check(spec, shown, size, head, tail if size > len(head) else head[-TAIL:])


def is_cut_short(spec: Spec, head: bytes) -> bool:
    """Whether `content_flaw` needs more than `HEAD` bytes: a CSV header that does not end within them."""
    return spec.get("format", DEFAULT_FORMAT) == "csv" and not _header(spec, head)[1]


def empty_flaw(shown: str, *, is_all: bool) -> Flaw:
    """What is wrong with an empty file; `is_all`: the batch has no other bytes, and fails (aep-api.md §16.1, E34)."""
    severity = Severity.ERROR if is_all else Severity.WARNING
    what = "and so is the whole batch" if is_all else "beside others"
    hint = "AEP fails a batch without data (code 106): write the file, or take it out of the batch"
    return Flaw("empty-file", f"{quoted(shown)} is empty, {what}", hint, severity)


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
        said = f"the batch has {size:,} bytes; AEP takes {LARGEST_BATCH:,} and recommends fewer than {LARGE_BATCH:,}"
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


def _csv_flaw(spec: Spec, shown: str, size: int, head: bytes, _tail: bytes) -> Flaw | None:
    what = next(_header_faults(spec, size, head), None)
    if what is None:
        return None
    hint = "the first line names each column once, without spaces (check `csv.delimiter` too)"
    return Flaw("bad-csv-header", f"the header of {quoted(shown)} {what}", hint)


def _header_faults(spec: Spec, size: int, head: bytes) -> Iterator[str]:
    charset = spec.get("csv", {}).get("charset", "UTF-8")
    names, is_whole = _header(spec, head)
    if names is None:
        yield "cannot be read"
        return
    if not "".join(names).strip():
        yield "names no column"
    if not is_whole and size > len(head):
        yield f"does not end within {len(head):,} bytes"
    if charset != "UTF-8" and head.startswith(BOM_UTF8):
        yield f"begins with the mark of UTF-8, and `csv.charset` is {charset}"
    for name, count in Counter(names).items():
        if "\ufffd" in name:
            yield f"is not {charset}: see {quoted(name)}"
        if not name:
            yield "has a column without a name"
        if any(char.isspace() or not char.isprintable() for char in name):
            yield f"has {quoted(name)} in it"
        if count > 1:
            yield f"has {quoted(name)} twice"


def _header(spec: Spec, head: bytes) -> tuple[list[str] | None, bool]:
    """The names in the first record, None if it is no CSV, and whether the record ends within these bytes."""
    how = spec.get("csv", {})
    text = head.removeprefix(BOM_UTF8).decode(how.get("charset", "UTF-8"), "replace")
    lines = StringIO(text, newline="")  # a line ends with \n, \r\n or \r, and keeps it
    try:
        reader = csv.reader(
            lines,
            delimiter=how.get("delimiter", ","),
            quotechar=how.get("quote", '"'),
            escapechar=how.get("escape"),
        )
        names = next(reader, [])
    except (csv.Error, TypeError, ValueError):
        return None, True
    return names, lines.tell() < len(text)


_CHECKS: dict[str, Callable[[Spec, str, int, bytes, bytes], Flaw | None]] = {
    "json": _json_flaw,
    "parquet": _parquet_flaw,
    "csv": _csv_flaw,
}
