"""A run that fills batches is killed at effect n for n = 0, 1, 2 …: the rerun ends with every byte, completed once.

Afterwards the bytes at the service equal the local ones, no batch stands twice, and what AEP had confirmed was not
sent again.
"""

from __future__ import annotations

import json
from hashlib import sha256
from itertools import count
from typing import TYPE_CHECKING, Literal

import pytest

from reconciler.core.identity import ADDRESS_TAG
from reconciler.emulator import Behaviour, Emulator, World
from reconciler.platform import uploads
from tests.crash.failpoints import Failpoints
from tests.crash.test_crash_points import Checkout
from tests.examples import DATASET

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST = f"""\
dataset: loyalty
id: {DATASET}
batches:
  one: {{format: json, files: ["data/one/*.json", "data/one/*/*.json"], complete: true}}
  two: {{format: json, files: ["data/two.json"]}}
"""
ONE = {"a.json": b'{"a": 1}\n', "deep/b.json": b'{"b": 2}\n' * 4}
TWO = {"two.json": b'{"c": 3}\n'}


def checkout(root: Path) -> Checkout:
    """A checkout with data, and an AEP of its own whose clock does not hurry."""
    (root / "data" / "one" / "deep").mkdir(parents=True)
    for name, data in ONE.items():
        (root / "data" / "one" / name).write_bytes(data)
    (root / "data" / "two.json").write_bytes(TWO["two.json"])
    made = Checkout(root, Emulator(world=World(any_dataset=True), behaviour=Behaviour(step_ms=10**9)))
    made.manifests(MANIFEST)
    return made


def check(made: Checkout, one: dict[str, bytes]) -> None:
    """One live batch an address, with exactly the local bytes; and nothing is left to do."""
    done = made.run(Failpoints(None))
    assert not done.plan.changes, done.plan.changes
    assert not done.plan.conflicts
    batches = made.emulator.batches()
    replayed = {old for batch in batches.values() for old in batch.get("replay", {}).get("predecessors", ())}
    live = {i: b for i, b in batches.items() if b["status"] != "aborted" and i not in replayed}
    by_address = {batch["tags"][ADDRESS_TAG][0]: batch_id for batch_id, batch in live.items()}
    assert len(by_address) == len(live) == 2
    assert made.emulator.files(by_address["loyalty/one"]) == one
    assert made.emulator.files(by_address["loyalty/two"]) == TWO
    assert live[by_address["loyalty/one"]]["status"] == "loaded"
    assert live[by_address["loyalty/two"]]["status"] == "loading"
    assert not (made.root / "state" / "dev.journal").exists()
    refused = [r for r in made.emulator.requests if r.method == "PUT" and r.status not in {None, 200, 201}]
    assert not refused, refused


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("in_parts", [False, True])
def test_filling_batches_survives_a_kill_at_every_effect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_parts: bool
) -> None:
    if in_parts:
        monkeypatch.setattr(uploads, "LARGEST_PUT", 5)
        monkeypatch.setattr(uploads, "LARGEST_PART", 10)
    for kill_at in count():
        made = checkout(tmp_path / str(kill_at))
        points = made.dies(kill_at)
        sent = made.emulator.requests.count("PUT" if not in_parts else "PATCH")
        made.run(Failpoints(None))
        check(made, ONE)
        again = made.emulator.requests.count("PUT" if not in_parts else "PATCH")
        assert again <= (3 if not in_parts else 6) + min(sent, 3), (points.at, sent, again)
        made.emulator.close()
        if not points.is_dead:
            break
    print(f"{kill_at} crash points tried")
    assert kill_at > 40


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_changed_files_survive_a_kill_at_every_effect(tmp_path: Path) -> None:
    """Of a done batch, which is replayed, and of an open one, which gets them again."""
    for kill_at in count():
        made = checkout(tmp_path / str(kill_at))
        made.run(Failpoints(None))
        made.emulator.advance(4 * 10**9)
        changed = {**ONE, "a.json": b'{"a": 2}\n'}
        (made.root / "data" / "one" / "a.json").write_bytes(changed["a.json"])
        points = made.dies(kill_at)
        made.run(Failpoints(None))
        made.emulator.behaviour = Behaviour(step_ms=10**9)
        check(made, changed)
        replays = [b["replay"]["predecessors"] for b in made.emulator.batches().values() if "replay" in b]
        assert len(replays) == 1
        made.emulator.close()
        if not points.is_dead:
            break
    print(f"{kill_at} crash points tried")
    assert kill_at > 30


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_second_kill_while_filling_costs_nothing_either(tmp_path: Path) -> None:
    tried, is_unharmed, first_kill = 0, False, 11
    while not is_unharmed:
        for second_kill in range(0, 60, 7):
            made = checkout(tmp_path / f"{first_kill}-{second_kill}")
            is_unharmed = not made.dies(first_kill).is_dead
            made.dies(second_kill)
            made.run(Failpoints(None))
            check(made, ONE)
            made.emulator.close()
            tried += 1
        first_kill += 3
    print(f"{tried} pairs of crash points tried")
    assert tried > 50


BIG = f"""\
dataset: loyalty
id: {DATASET}
batches: {{big: {{format: json, files: [data/big.json], complete: true}}}}
"""
VERSIONS = [b'{"v": 1}\n' * 4, b'{"v": 2}\n' * 4, b'{"v": 3}\n' * 4]
"""Of one size."""


def recorded(root: Path) -> list[tuple[str, str]]:
    """Batch and SHA-256 of each file that the state says AEP holds."""
    lines = (root / "state" / "dev.jsonl").read_text("utf-8").splitlines()
    return [(each["id"], digest) for each in map(json.loads, lines[1:-1]) for _, _, digest in each.get("files", [])]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("again", ["anew", "refused", "kept"])
def test_versions_of_a_file_are_never_joined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: Literal["anew", "refused", "kept"]
) -> None:
    """Killed while the first version goes in parts, and again while the second does; the third is there at the end."""
    monkeypatch.setattr(uploads, "LARGEST_PUT", 5)
    monkeypatch.setattr(uploads, "LARGEST_PART", 10)
    refused = 0
    for kill_at in count(8):
        root = tmp_path / str(kill_at)
        (root / "data").mkdir(parents=True)
        behaviour = Behaviour(step_ms=10**9, initialize_again=again)
        made = Checkout(root, Emulator(world=World(any_dataset=True), behaviour=behaviour))
        made.manifests(BIG)
        for version in VERSIONS[:2]:
            (root / "data" / "big.json").write_bytes(version)
            made.dies(kill_at)
        journal = root / "state" / "dev.journal"
        is_staged = journal.exists() and '"staged"' in journal.read_text("utf-8")
        if is_staged or {each["status"] for each in made.emulator.batches().values()} - {"loading"}:
            made.emulator.close()
            break  # from here on the batch is completed first, as it was
        (root / "data" / "big.json").write_bytes(VERSIONS[2])
        done = made.run(Failpoints(None))
        failed = done.account.failures if done.account else []
        assert all("holds a part of other bytes" in str(each.error) for each in failed), failed
        refused += len(failed)
        for batch, digest in recorded(root):
            assert sha256(made.emulator.files(batch)["big.json"]).hexdigest() == digest, kill_at
        (batch,) = made.emulator.batches()
        there = made.emulator.files(batch)
        assert there == {"big.json": VERSIONS[2]} if not failed else set(there.values()) <= set(VERSIONS), kill_at
        made.emulator.close()
    assert kill_at > 20
    assert bool(refused) == (again != "anew")
