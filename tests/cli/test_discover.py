"""`import --discover`: what it prints is a manifest that plans to nothing but imports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.cli import run
from reconciler.emulator import Emulator, World
from tests.examples import DATASET

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

PROJECT = "project: acme-crm\nenvironments: {local: {emulator: true}}\n"
OWN = f"dataset: loyalty\nid: {DATASET}\nbatches: {{own: }}\n"


def test_the_printed_manifest_plans_to_nothing_but_imports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "manifests").mkdir()
    (tmp_path / "state").mkdir()
    (tmp_path / "manifests" / "reconciler.yaml").write_text(PROJECT, encoding="utf-8")
    (tmp_path / "manifests" / "loyalty.yaml").write_text(OWN, encoding="utf-8")
    here = ["-C", str(tmp_path)]
    assert run([*here, "apply", "--auto-approve"]) == 0
    with Emulator(tmp_path / "state" / "local.emulator", world=World(any_dataset=True)) as emulator:
        for status in ("success", "loading", "aborted"):
            emulator.add_batch(DATASET, sandbox="local", status=status)
    capsys.readouterr()
    assert run([*here, "import", "--discover", DATASET, "--as", "legacy"]) == 0
    printed = capsys.readouterr()
    assert "2 batches to import" in printed.err
    (tmp_path / "manifests" / "legacy.yaml").write_text(printed.out, encoding="utf-8")
    assert run([*here, "validate"]) == 0
    capsys.readouterr()
    assert run([*here, "plan"]) == 0
    assert "Plan: 2 to import, 0 to add, 0 to change, 0 to destroy." in capsys.readouterr().out
    assert run([*here, "apply", "--auto-approve"]) == 0
    assert run([*here, "plan", "--detailed-exitcode"]) == 0


def test_a_dataset_that_does_not_exist_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "reconciler.yaml").write_text(PROJECT, encoding="utf-8")
    assert run(["-C", str(tmp_path), "import", "--discover", "nowhere"]) == 1
    assert "does not exist in sandbox `local`" in capsys.readouterr().err


def test_half_of_the_arguments_is_a_usage_error() -> None:
    assert run(["import", "loyalty/a"]) == 64
