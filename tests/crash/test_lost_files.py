"""State and journal deleted, damaged or rebuilt: Catalog still knows what was made, and nothing is made again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.aep.server import DATASET
from tests.crash.checkout import addresses, manifest

if TYPE_CHECKING:
    from tests.aep.server import Aep
    from tests.crash.checkout import Checkout

COMBINATIONS = [("state",), ("journal",), ("state", "journal")]


def lose(checkout: Checkout, names: tuple[str, ...]) -> None:
    """Delete the files."""
    if "state" in names:
        checkout.state.unlink(missing_ok=True)
    if "journal" in names:
        checkout.journal.unlink(missing_ok=True)


@pytest.mark.parametrize("names", COMBINATIONS, ids="+".join)
def test_after_a_finished_run_everything_is_adopted(checkout: Checkout, aep: Aep, names: tuple[str, ...]) -> None:
    checkout.declare(manifest(8))
    assert checkout.apply().code == 0
    lose(checkout, names)
    done = checkout.apply()
    assert done.code == 0, done.text
    assert len(aep.creates) == 8
    checkout.check_settled(addresses(8))


@pytest.mark.parametrize(("names", "had_state"), [*((each, True) for each in COMBINATIONS), (("journal",), False)])
def test_after_a_half_finished_run_only_what_is_missing_is_created(
    checkout: Checkout, names: tuple[str, ...], had_state: bool
) -> None:
    checkout.settle = 0.5
    if had_state:
        checkout.declare(manifest(3))
        assert checkout.apply().code == 0
    checkout.declare(manifest(20))
    checkout.half_finish(after=10)
    lose(checkout, names)
    done = checkout.apply()
    assert done.code == 0, done.text
    checkout.check_settled(addresses(20))


def test_a_damaged_journal_is_set_aside_and_the_next_run_adopts(checkout: Checkout) -> None:
    checkout.declare(manifest(20))
    checkout.half_finish(after=10)
    data = bytearray(checkout.journal.read_bytes())
    data[len(data) // 2] ^= 1
    checkout.journal.write_bytes(data)
    first = checkout.apply()
    assert first.code == 1, first.text
    assert "damaged" in first.err
    assert checkout.journal.with_name("dev.journal.damaged-1").read_bytes() == bytes(data)
    done = checkout.apply()
    assert done.code == 0, done.text
    checkout.check(addresses(20))


def test_a_state_cut_short_is_refused_and_rebuild_mends_it(checkout: Checkout, aep: Aep) -> None:
    checkout.declare(manifest(6))
    assert checkout.apply().code == 0
    whole = checkout.state.read_bytes()
    for broken in (b"", whole[: len(whole) // 2], whole.replace(b'{"end": true}\n', b"")):
        checkout.state.write_bytes(broken)
        refused = checkout.apply()
        assert refused.code == 1, refused.text
        assert "hint" in refused.err
    rebuilt = checkout.run("state", "rebuild")
    assert rebuilt.code == 0, rebuilt.text
    assert "recorded 6 batches" in rebuilt.out
    assert checkout.state.read_bytes() == whole
    assert len(aep.creates) == 6
    checkout.check(addresses(6))


def test_rebuild_after_a_kill_loses_no_open_intent(checkout: Checkout, aep: Aep) -> None:
    checkout.declare(manifest(12))
    aep.lag, checkout.settle = 1.2, 2.0
    checkout.half_finish(after=6)
    rebuilt = checkout.run("state", "rebuild")
    assert rebuilt.code == 0, rebuilt.text
    done = checkout.apply()
    assert done.code == 0, done.text
    checkout.check_settled(addresses(12))


def test_rebuild_keeps_an_imported_record_though_the_journal_is_damaged(checkout: Checkout, aep: Aep) -> None:
    """Its external id is foreign: once forgotten, the next apply would create a second batch at its address."""
    checkout.declare(manifest(2))
    legacy = aep.create({"datasetId": DATASET, "inputFormat": {"format": "json"}})
    imported = checkout.run("import", "loyalty/daily/k00000", legacy)
    assert imported.code == 0, imported.text
    checkout.journal.write_bytes(b'{"not": "a journal"}\nrubbish\n')
    rebuilt = checkout.run("state", "rebuild")
    assert rebuilt.code == 0, rebuilt.text
    assert checkout.recorded() == {"loyalty/daily/k00000": legacy}
    assert checkout.apply().code == 0
    assert len(aep.creates) == 1


def test_a_record_removed_by_hand_is_adopted_again(checkout: Checkout, aep: Aep) -> None:
    checkout.declare(manifest(3))
    assert checkout.apply().code == 0
    before = checkout.recorded()
    removed = checkout.run("state", "rm", "loyalty/daily/k00001")
    assert removed.code == 0, removed.text
    assert before["loyalty/daily/k00001"] in removed.out
    assert checkout.apply().code == 0
    assert checkout.recorded() == before
    assert len(aep.creates) == 3


def test_a_record_moved_by_hand_keeps_its_batch(checkout: Checkout, aep: Aep) -> None:
    checkout.declare(manifest(2))
    assert checkout.apply().code == 0
    batch = checkout.recorded()["loyalty/daily/k00000"]
    moved = checkout.run("state", "mv", "loyalty/daily/k00000", "loyalty/daily/k00002")
    assert moved.code == 0, moved.text
    text = manifest(3).replace("k00000, ", "")
    checkout.declare(text)
    done = checkout.apply()
    assert done.code == 0, done.text
    assert checkout.recorded()["loyalty/daily/k00002"] == batch
    assert len(aep.creates) == 2


def test_check_is_quiet_when_all_is_well_and_names_what_is_not(checkout: Checkout, aep: Aep) -> None:
    checkout.declare(manifest(3))
    assert checkout.apply().code == 0
    sound = checkout.run("state", "check")
    assert sound.code == 0, sound.text
    body = aep.creates[0].json
    orphan = aep.create({**body, "externalId": "acme-crm.00000000000000000000.1"})
    found = checkout.run("state", "check")
    assert found.code == 1, found.text
    assert orphan in found.out, found.text
    twin = aep.create(body)
    found = checkout.run("state", "check")
    assert found.code == 1, found.text
    assert twin in found.out, found.text


def test_check_reports_open_intents_and_changes_nothing(checkout: Checkout) -> None:
    checkout.declare(manifest(12))
    checkout.half_finish(after=6)
    before = checkout.journal.read_bytes()
    found = checkout.run("state", "check")
    assert found.code == 1, found.text
    assert checkout.journal.read_bytes() == before
    listed = checkout.run("state", "list")
    assert listed.code == 0
    assert "undecided" in listed.err


def test_the_state_holds_facts_only(checkout: Checkout) -> None:
    """Lost and adopted again, or never lost: the same bytes."""
    checkout.declare(manifest(5))
    assert checkout.apply().code == 0
    before = checkout.state.read_bytes()
    assert json.loads(before.splitlines()[0])["project"] == "acme-crm"
    checkout.state.unlink()
    assert checkout.apply().code == 0
    assert checkout.state.read_bytes() == before
