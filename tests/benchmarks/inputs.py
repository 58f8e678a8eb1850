"""Projects of a wanted size: what the benchmarks read. The same size always gives the same bytes.

Five shapes of the same number of batches: `explicit` (one big file, each batch written out), `files` (the same
batches, 100 to a file), `keys` (one list of keys), `ranges` (a few date ranges) and `product` (dimensions that
multiply).
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ORG = "0123456789ABCDEF01234567@AdobeOrg"
ENVIRONMENT = "bench"
PROJECT = "benchmark"
PER_FILE = 100
"""Batches in each of many small files."""
PER_RANGE = 10_000
"""Days in one date range."""

PROJECT_FILE = f"""\
project: {PROJECT}
default_environment: {ENVIRONMENT}
environments:
  {ENVIRONMENT}: {{org: {ORG}, sandbox: {ENVIRONMENT}}}
"""


def dataset_id(number: int) -> str:
    """The id of one of the project's datasets, in the form that AEP gives them."""
    return f"5c8c3c555033b814{number:08x}"


def _head(name: str, number: int) -> str:
    return f"dataset: {name}\nid: {dataset_id(number)}\n"


def _explicit_batches(numbers: range) -> str:
    """Six lines a batch, as somebody writes them who needs no `each`."""
    return "".join(
        f"  load-{number:06}:\n"
        f"    format: json\n"
        f"    multiline: false\n"
        f"    tags:\n"
        f"      team: [crm]\n"
        f"      source: [feed-{number % 50}]\n"
        for number in numbers
    )


def _explicit(size: int) -> dict[str, str]:
    return {"orders.yaml": f"{_head('orders', 1)}batches:\n{_explicit_batches(range(size))}"}


def _files(size: int) -> dict[str, str]:
    return {
        f"part-{number:04}.yaml": f"{_head(f'orders-{number:04}', number)}batches:\n"
        + _explicit_batches(range(start, min(start + PER_FILE, size)))
        for number, start in enumerate(range(0, size, PER_FILE))
    }


def _keys(size: int) -> dict[str, str]:
    keys = "".join(f"        - K{number:06}\n" for number in range(size))
    return {"orders.yaml": f"{_head('orders', 1)}batches:\n  part:\n    each:\n      part:\n{keys}"}


def _ranges(size: int) -> dict[str, str]:
    first = date(2000, 1, 1)
    entries = []
    for number, start in enumerate(range(0, size, PER_RANGE)):
        last = first + timedelta(days=min(PER_RANGE, size - start) - 1)
        entries.append(f"  daily-{number}:\n    format: json\n    each: {{day: {{from: {first}, to: {last}}}}}\n")
    return {"orders.yaml": f"{_head('orders', 1)}batches:\n{''.join(entries)}"}


def _product(size: int) -> dict[str, str]:
    """Ten regions times days times ten parts; sizes are multiples of a hundred."""
    regions = ", ".join(f"region-{number}" for number in range(10))
    parts = ", ".join(f"p{number}" for number in range(10))
    last = date(2000, 1, 1) + timedelta(days=size // 100 - 1)
    each = f"{{region: [{regions}], day: {{from: 2000-01-01, to: {last}}}, part: [{parts}]}}"
    tags = '{region: ["{region}"]}'
    return {"orders.yaml": f"{_head('orders', 1)}batches:\n  slices:\n    tags: {tags}\n    each: {each}\n"}


SHAPES: dict[str, Callable[[int], dict[str, str]]] = {
    "explicit": _explicit,
    "files": _files,
    "keys": _keys,
    "ranges": _ranges,
    "product": _product,
}


def write_project(root: Path, shape: str, size: int) -> None:
    """Write the manifests of a project with `size` batches."""
    folder = root / "manifests"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "reconciler.yaml").write_text(PROJECT_FILE, encoding="utf-8")
    for name, text in SHAPES[shape](size).items():
        (folder / name).write_text(text, encoding="utf-8")
