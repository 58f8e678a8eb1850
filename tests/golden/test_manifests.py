"""Manifests and what comes of them: mistakes as the user sees them (`err`), batches as a plan gets them (`ok`).

A case is a file, named by what it shows, or a folder of files; `project-….yaml` stands for the project file itself,
the others get `PROJECT`. `UPDATE_GOLDEN=1` writes what is expected anew: review the difference.
"""

from __future__ import annotations

import json
import os
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler.core.batch import Desired, Lifecycle
from reconciler.core.manifests.expand import expand
from reconciler.core.manifests.parse import parse
from reconciler.core.manifests.source import Source
from reconciler.views.diagnostics import render

if TYPE_CHECKING:
    from reconciler.core.diagnostics import Diagnostic

CASES = Path(__file__).parent / "manifests"
TODAY = date(2026, 3, 15)
ENVIRONMENT = "dev"
PROJECT = """\
project: acme-crm
environments:
  local: {emulator: true}
  dev: {org: 0123456789ABCDEF01234567@AdobeOrg, sandbox: dev}
"""


def cases(kind: str) -> list[Path]:
    return sorted(path for path in (CASES / kind).iterdir() if path.is_dir() or path.suffix == ".yaml")


def sources(case: Path) -> list[Source]:
    if case.is_dir():
        files = sorted(path for path in case.rglob("*") if path.is_file())
        return [Source(f"manifests/{path.relative_to(case).as_posix()}", path.read_text("utf-8")) for path in files]
    text = case.read_bytes().decode("utf-8")
    if case.name.startswith("project-"):
        return [Source("manifests/reconciler.yaml", text)]
    return [Source("manifests/reconciler.yaml", PROJECT), Source(f"manifests/{case.name}", text)]


def outcome(case: Path) -> tuple[tuple[Desired, ...], tuple[Diagnostic, ...]]:
    read = sources(case)
    manifests, found = parse(read)
    if manifests is None:
        return (), found
    desired, more = expand(manifests, read, ENVIRONMENT, TODAY)
    return desired, (*found, *more)


def shown(desired: Desired) -> str:
    details = {
        "dataset": desired.dataset,
        "spec": desired.spec or None,
        "external_id": desired.external_id,
        "files": desired.globs or None,
        "complete": desired.complete or None,
        "lifecycle": None if desired.lifecycle == Lifecycle() else repr(desired.lifecycle),
    }
    written = {name: value for name, value in details.items() if value is not None}
    return f"{desired.address} {json.dumps(written, ensure_ascii=False)}"


def compare(case: Path, text: str) -> None:
    golden = case.with_name(f"{case.name.removesuffix('.yaml')}.out")
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(text, "utf-8")
    assert text == golden.read_text("utf-8")


@pytest.mark.parametrize("case", cases("err"), ids=lambda path: path.name.removesuffix(".yaml"))
def test_mistakes_are_shown_with_their_place(case: Path) -> None:
    _, found = outcome(case)
    assert found, "a case of `err` has a mistake"
    assert all(each.hint for each in found)
    compare(case, render(found) + "\n")


@pytest.mark.parametrize("case", cases("ok"), ids=lambda path: path.name.removesuffix(".yaml"))
def test_batches_are_as_declared(case: Path) -> None:
    desired, found = outcome(case)
    assert found == ()
    compare(case, "".join(f"{shown(each)}\n" for each in desired))


def test_every_outcome_has_its_case() -> None:
    for kind in ("err", "ok"):
        names = {path.name.removesuffix(".yaml") for path in cases(kind)}
        assert {path.stem for path in (CASES / kind).glob("*.out")} == names
