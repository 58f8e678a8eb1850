"""State lines that were edited: whole command lines on the embedded emulator, and what they leave undone."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from reconciler.core.states.journal import Done, Encoder, JournalHeader
from reconciler.core.states.state import parse
from reconciler.emulator import Emulator, World
from tests.cli.project import Project
from tests.examples import DATASET

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TWO = "{a: {lifecycle: {on_remove: delete}}, b: {lifecycle: {on_remove: delete}}}"
ONE = "{a: {lifecycle: {on_remove: delete}}}"
A, B = "loyalty/a", "loyalty/b"


@pytest.fixture
def here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Project:
    project = Project(tmp_path, capsys, "local")
    project.declare(TWO, dataset=DATASET)
    project.apply()
    return project


def emulator(project: Project) -> Emulator:
    return Emulator(project.state.with_suffix(".emulator"), world=World(any_dataset=True))


def statuses(project: Project) -> dict[str, object]:
    with emulator(project) as world:
        return {name: batch["status"] for name, batch in world.batches().items()}


def edit(project: Project, change: Callable[[dict[str, dict[str, object]]], None]) -> None:
    """Change the records by hand, as a person would: without the `sum` of each line."""
    first, *_, end = project.state.read_text(encoding="utf-8").splitlines()
    records = {address: {**record} for address, record in project.records().items()}
    change(records)
    lines = [{name: value for name, value in record.items() if name != "sum"} for record in records.values()]
    text = "\n".join([first, *map(json.dumps, lines), end]) + "\n"
    project.state.write_text(text, encoding="utf-8")


def without(address: str) -> Callable[[dict[str, dict[str, object]]], None]:
    def change(records: dict[str, dict[str, object]]) -> None:
        del records[address]

    return change


def swap(*fields: str) -> Callable[[dict[str, dict[str, object]]], None]:
    def change(records: dict[str, dict[str, object]]) -> None:
        for name in fields:
            records[A][name], records[B][name] = records[B][name], records[A][name]

    return change


@pytest.mark.parametrize("fields", [("id",), ("id", "external_id"), ("address",)], ids="+".join)
def test_swapped_lines_stop_every_command_that_would_rest_on_them(here: Project, fields: tuple[str, ...]) -> None:
    before = statuses(here)
    edit(here, swap(*fields))
    here.declare(ONE, dataset=DATASET)
    for arguments in (["plan"], ["apply", "--auto-approve"], ["state", "check"], ["plan", "--refresh-only"]):
        said = here(*arguments, *(["--settle-timeout", "0"] if "check" in arguments else []))
        assert A in said.out + said.err, said.text
        assert B in said.out + said.err, said.text
    for more in (["--no-refresh"], ["--target", B], ["--destroy", "--ignore-limits"], ["--refresh-only"]):
        assert here("apply", "--auto-approve", *more).code in {1, 4}
    assert statuses(here) == before
    here.declare(TWO, dataset=DATASET)
    assert here("state", "rebuild", "--settle-timeout", "0").code == 0
    assert here("plan", "--detailed-exitcode").code == 0


def test_a_foreign_batch_is_neither_withdrawn_nor_shown_as_sound(here: Project) -> None:
    with emulator(here) as world:
        foreign = world.add_batch(DATASET, sandbox="local", status="success", external_id="someone.else")
    edit(here, lambda records: records[B].update(id=foreign))
    here.declare(ONE, dataset=DATASET)
    said = here("apply", "--auto-approve", "--ignore-limits")
    assert said.code != 0
    assert "has external id `someone.else`" in said.out + said.err
    assert statuses(here)[foreign] == "success"
    shown = here("state", "show", B, "--refresh")
    assert "! the batch has external id `someone.else`" in shown.out, shown.text
    edit(here, lambda records: records[A].update(deposed=[foreign]))
    edit(here, without(B))
    assert here("apply", "--auto-approve", "--ignore-limits").code != 0
    assert statuses(here)[foreign] == "success"


@pytest.mark.parametrize(
    ("was", "is_"),
    [('"environment": "local"', '"environment": "prod"'), ('"sandbox": "local"', '"sandbox": "x"'), ('t": 1', 't": 9')],
    ids=["environment", "sandbox", "newer"],
)
def test_a_whole_file_that_is_not_of_this_environment_or_newer_is_not_made_anew(
    here: Project, was: str, is_: str
) -> None:
    text = here.state.read_text(encoding="utf-8")
    assert was in text
    here.state.write_text(text.replace(was, is_), encoding="utf-8")
    said = here("state", "rebuild", "--settle-timeout", "0")
    assert said.code == 1
    assert "hint:" in said.err
    assert here.state.read_text(encoding="utf-8") == text.replace(was, is_)


def test_a_journal_that_contradicts_the_state_is_no_reason_not_to_make_it_anew(here: Project) -> None:
    text = here.state.read_bytes()
    record = replace(parse(text, None, "").records[A], id="another")
    head = JournalHeader(parse(text, None, "").identity, "0" * 64)
    encoder = Encoder()
    here.state.with_suffix(".journal").write_bytes(encoder.header(head) + encoder.encode(Done(record)))
    assert here("plan").code == 1
    assert here("state", "rebuild", "--settle-timeout", "0").code == 0
    assert here("plan", "--detailed-exitcode").code == 0


def test_a_batch_of_another_project_is_not_imported(here: Project) -> None:
    here.declare("{a: , b: , c: }", dataset=DATASET)
    with emulator(here) as world:
        foreign = world.add_batch(DATASET, sandbox="local", status="success", tags={"reconciler_project": ["other"]})
    said = here("import", "loyalty/c", foreign)
    assert said.code == 1
    assert "is tagged `reconciler_project: other`" in said.err
    assert "hint:" in said.err
