"""Whole command lines that must not go through: the exit code, what is said, and that nothing was changed."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from reconciler.cli import run
from reconciler.core.states.state import State, dump, parse
from reconciler.emulator import Answer, Emulator, Fault, Faults, World
from reconciler.storage.lock import hold
from tests.emulator.serving import served
from tests.examples import DATASET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PROJECT = """\
project: acme-crm
default_environment: local
environments: {local: {emulator: true}, dev: {org: 0123456789ABCDEF01234567@AdobeOrg, sandbox: dev}}
limits: {create: 20, replace: 1, delete: 0}
"""


class Checkout:
    """A project on the embedded emulator."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root, self.capsys = root, capsys
        self.state = root / "state" / "local.jsonl"
        (root / "manifests").mkdir()
        self.project(PROJECT)

    def project(self, text: str) -> None:
        (self.root / "manifests" / "reconciler.yaml").write_text(text, encoding="utf-8")

    def declare(self, batches: str) -> None:
        text = f"dataset: loyalty\nid: {DATASET}\nbatches: {batches}\n"
        (self.root / "manifests" / "loyalty.yaml").write_text(text, encoding="utf-8")

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        code = run(["-C", str(self.root), *arguments])
        printed = self.capsys.readouterr()
        assert "Traceback" not in printed.err + printed.out
        return code, printed.out, printed.err

    def applied(self) -> None:
        code, out, err = self("apply", "--auto-approve", "--ignore-limits")
        assert code == 0, out + err

    def emulator(self) -> Emulator:
        return Emulator(self.state.with_suffix(".emulator"), world=World(any_dataset=True))


@contextmanager
def on_a_socket(monkeypatch: pytest.MonkeyPatch, world: World, faults: Faults | None = None) -> Iterator[Emulator]:
    """Serve AEP on loopback, and point the environment at it."""
    with Emulator(world=world, faults=faults) as emulator, served(emulator) as url:
        for name, value in {
            "AEP_API_URL": url,
            "AEP_IMS_URL": url,
            "AEP_CLIENT_ID": "id",
            "AEP_CLIENT_SECRET": "secret",
        }.items():
            monkeypatch.setenv(name, value)
        yield emulator


@pytest.fixture
def checkout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Checkout:
    return Checkout(tmp_path, capsys)


def test_a_plan_beyond_the_limits_is_shown_and_refused(checkout: Checkout) -> None:
    checkout.declare("{b: {each: {day: {from: 2026-01-01, to: 2026-01-31}}}}")
    for command in (["plan"], ["apply", "--auto-approve"]):
        code, out, err = checkout(*command)
        assert code == 4
        assert "Plan: 31 to add" in out
        assert "`limits.create` in the project file is 20" in err
        assert "--ignore-limits" in err
    assert not checkout.state.exists()
    assert checkout("plan", "--ignore-limits")[0] == 0


def test_a_manifest_folder_that_lost_its_files_is_refused(checkout: Checkout) -> None:
    checkout.declare("{a: , b: , c: }")
    checkout.applied()
    before = checkout.state.read_bytes()
    checkout.declare("{}")
    code, _, err = checkout("apply", "--auto-approve")
    assert code == 4
    assert "would remove 3 of 3 recorded batches" in err
    assert checkout.state.read_bytes() == before


def test_two_live_batches_with_one_external_id_are_refused_and_import_settles_it(checkout: Checkout) -> None:
    checkout.declare("{a: }")
    checkout.applied()
    own = json.loads(checkout.state.read_text(encoding="utf-8").splitlines()[1])
    with checkout.emulator() as emulator:
        twin = emulator.batch(own["id"])
        rival = emulator.add_batch(
            DATASET, sandbox="local", status="loading", external_id=own["external_id"], tags=twin["tags"]
        )
    code, out, err = checkout("plan")
    assert code == 4
    assert own["id"] in out
    assert rival in out
    assert "needs a decision" in err
    assert checkout("import", "loyalty/a", rival)[0] == 0
    code, out, _ = checkout("plan", "--detailed-exitcode")
    assert (code, "No changes." in out) == (0, True)
    assert checkout("output", "--format", "json")[1] == f'{{\n  "loyalty/a": "{rival}"\n}}\n'


def test_a_held_lock_is_exit_5_and_says_who(checkout: Checkout) -> None:
    checkout.declare("{a: }")
    checkout.applied()
    with hold(checkout.state.with_suffix(".lock"), "apply"):
        for command in (["plan"], ["apply", "--auto-approve"], ["state", "rm", "loyalty/a"]):
            code, _, err = checkout(*command)
            assert code == 5
            assert "running `apply`" in err
            assert "--lock-timeout" in err


def test_an_apply_in_part_is_exit_3_and_a_rerun_finishes_it(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout.declare("{a: , b: , c: }")
    refused = Faults((Fault(Answer(422), method="POST", path="/import/batches$", nth=2),))
    with on_a_socket(monkeypatch, World(any_dataset=True), refused) as emulator:
        code, out, _ = checkout("--env", "dev", "apply", "--auto-approve")
        assert code == 3
        assert "Apply done in part. Resources: 2 added" in out
        code, out, _ = checkout("--env", "dev", "apply", "--auto-approve")
        assert code == 0
        assert "1 added" in out
        assert len(emulator.batches()) == 3


STATES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda _: b"", "is empty"),
    "truncated": (lambda data: data.replace(b'{"end": true}\n', b""), "end"),
    "not JSON": (lambda data: b"hello\n" + data, "does not begin like a state file"),
    "conflict": (lambda data: data.replace(b'{"end"', b'<<<<<<< HEAD\n=======\n>>>>>>> x\n{"end"'), "conflict markers"),
    "newer": (lambda data: data.replace(b'"format": 1', b'"format": 9'), "format 9"),
    "another project": (lambda data: data.replace(b'"project": "acme-crm"', b'"project": "other"'), "other"),
    "another environment": (lambda data: data.replace(b'"environment": "local"', b'"environment": "prod"'), "prod"),
    "another sandbox": (lambda data: data.replace(b'"sandbox": "local"', b'"sandbox": "prod"'), "prod"),
    "another organisation": (lambda data: data.replace(b"000000000000000000000000@", b"A" * 24 + b"@"), "AAAA"),
    "a changed id": (lambda data: data.replace(b'"id": "01', b'"id": "02'), "sum"),
}


@pytest.mark.parametrize("damage", STATES)
def test_a_state_that_is_damaged_or_not_ours_is_refused_and_left_alone(checkout: Checkout, damage: str) -> None:
    checkout.declare("{a: , b: }")
    checkout.applied()
    change, word = STATES[damage]
    checkout.state.write_bytes(change(checkout.state.read_bytes()))
    before = checkout.state.read_bytes()
    for command in (["plan"], ["plan", "--no-refresh"], ["apply", "--auto-approve"], ["output"], ["state", "list"]):
        code, out, err = checkout(*command)
        assert code == 1, command
        assert word in err
        assert "hint: " in err
        assert out == ""
    assert checkout.state.read_bytes() == before


def test_a_damaged_state_is_made_anew_from_catalog(checkout: Checkout) -> None:
    checkout.declare("{a: , b: {format: json, tags: {team: [crm]}}}")
    checkout.applied()
    before = checkout.state.read_bytes()
    checkout.state.write_bytes(before[:100])
    assert checkout("state", "rebuild", "--settle-timeout", "0")[0] == 0
    assert parse(checkout.state.read_bytes(), None, "") == parse(before, None, "")
    assert checkout("plan", "--detailed-exitcode")[0] == 0


def test_nothing_that_is_recorded_can_be_found(checkout: Checkout) -> None:
    checkout.declare("{a: , b: }")
    checkout.applied()
    checkout.state.with_suffix(".emulator").unlink()
    code, _, err = checkout("apply", "--auto-approve", "--settle-timeout", "0")
    assert code == 1
    assert "none of the 2 recorded batches can be found" in err


def test_a_dataset_that_does_not_exist_is_named_with_its_line(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout.declare("{a: }")
    with on_a_socket(monkeypatch, World()) as emulator:
        code, _, err = checkout("--env", "dev", "plan")
        assert not emulator.batches()
    assert code == 1
    assert "manifests/loyalty.yaml:2:1" in err
    assert "does not exist in sandbox `dev`" in err


def test_without_a_terminal_somebody_has_to_approve(checkout: Checkout) -> None:
    checkout.declare("{a: }")
    code, _, err = checkout("apply")
    assert code == 1
    assert "--auto-approve" in err
    assert not checkout.state.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["plan", "--nope"],
        ["nope"],
        ["plan", "--replace", "no address"],
        ["plan", "--destroy", "--refresh-only"],
        ["state", "mv", "loyalty/a"],
        ["apply", "--approved", "x", "pyproject.toml"],
    ],
)
def test_a_typo_is_exit_64_and_never_2(arguments: list[str]) -> None:
    assert run(arguments) == 64


def test_a_saved_plan_that_was_tampered_with_is_refused(checkout: Checkout) -> None:
    checkout.declare("{a: }")
    saved = checkout.root / "plan.json"
    assert checkout("plan", "--out", str(saved))[0] == 0
    assert saved.stat().st_mode & 0o777 == 0o600
    saved.write_text(saved.read_text(encoding="utf-8").replace("parquet", "json").replace(DATASET, "another"))
    code, _, err = checkout("apply", str(saved))
    assert code == 4
    assert "hint: " in err
    assert not checkout.state.exists()


def test_an_apply_does_no_more_than_was_approved(checkout: Checkout) -> None:
    checkout.declare("{a: }")
    saved = checkout.root / "plan.json"
    assert checkout("plan", "--out", str(saved))[0] == 0
    checkout.declare("{a: , b: }")
    code, _, err = checkout("apply", str(saved))
    assert code == 4
    assert "loyalty/b" in err
    checkout.declare("{a: }")
    assert checkout("apply", str(saved))[0] == 0
    assert checkout("apply", str(saved))[0] == 0


def test_records_are_moved_and_forgotten_by_hand(checkout: Checkout) -> None:
    checkout.declare("{a: }")
    checkout.applied()
    assert checkout("state", "mv", "loyalty/a", "loyalty/b")[0] == 0
    assert "loyalty/b" in checkout("state", "list")[1]
    code, _, err = checkout("state", "rm", "loyalty/a")
    assert code == 1
    assert "did you mean `loyalty/b`?" in err
    assert checkout("state", "rm", "loyalty/b")[0] == 0
    assert checkout("output")[1] == ""


def test_committing_a_journal_that_is_not_there_changes_nothing(checkout: Checkout) -> None:
    checkout.declare("{a: }")
    assert checkout("state", "commit") == (0, "the state holds 0 batches\n", "")
    assert not checkout.state.exists()
    checkout.applied()
    before = checkout.state.read_bytes()
    assert checkout("state", "commit") == (0, "the state holds 1 batch\n", "")
    assert checkout.state.read_bytes() == before


def test_the_merge_driver_joins_two_histories(checkout: Checkout) -> None:
    checkout.declare("{a: , b: }")
    checkout.applied()
    whole = parse(checkout.state.read_bytes(), None, "")
    base, ours, theirs = (checkout.root / name for name in ("base", "ours", "theirs"))
    base.write_bytes(b"")
    for path, address in ((ours, "loyalty/a"), (theirs, "loyalty/b")):
        path.write_bytes(dump(State(whole.identity, {address: whole.records[address]})))
    assert checkout("state", "merge", str(base), str(ours), str(theirs))[0] == 0
    assert parse(ours.read_bytes(), None, "") == whole
