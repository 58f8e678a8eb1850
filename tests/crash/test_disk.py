"""A disk in trouble: full, read-only, forbidden. Nothing is created that cannot be recorded, and nothing is lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.crash.checkout import addresses, end, manifest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.aep.server import Aep
    from tests.crash.checkout import Checkout, Ended


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """A small file system of its own at the folder; skips where this user may not mount."""
    folder.mkdir(parents=True, exist_ok=True)
    if sys.platform != "linux":
        pytest.skip("tmpfs is Linux's")
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    made = subprocess.run(command, check=False, capture_output=True)
    if made.returncode:
        pytest.skip(f"cannot mount a tmpfs: {made.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


def check_every_id_is_told(checkout: Checkout, aep: Aep, *runs: Ended) -> None:
    """Whatever exists is in the state, in the journal, or was said on both streams of a run."""
    known = checkout.state.read_text("utf-8") if checkout.state.exists() else ""
    known += checkout.journal.read_text("utf-8") if checkout.journal.exists() else ""
    for many in aep.ids().values():
        for batch in many:
            assert batch in known or any(batch in run.out and batch in run.err for run in runs), batch


@pytest.mark.slow
def test_a_disk_that_fills_up_ends_the_run_and_loses_nothing(checkout: Checkout, aep: Aep) -> None:
    count = 500
    checkout.declare(manifest(count, f"format: json, tags: {{note: [{'x' * 2000}]}}"))
    with mounted(checkout.state.parent, "size=1m"):
        done = checkout.apply()
        assert done.code == 1, done.text
        assert "No space left" in done.text
        assert "free some space" in done.text
        assert "internal error" not in done.text
        check_every_id_is_told(checkout, aep, done)
        made = len(aep.batches)
        assert 0 < made < count
        again = checkout.apply()  # and the same on the full disk
        assert again.code == 1, again.text
        assert len(aep.batches) <= made + 32
        check_every_id_is_told(checkout, aep, done, again)
        remount(checkout.state.parent, "size=64m")
        done = checkout.apply()
        assert done.code == 0, done.text
        checkout.check_settled(addresses(count))


def test_a_disk_that_is_full_from_the_start_is_known_before_the_first_request(checkout: Checkout, aep: Aep) -> None:
    checkout.declare(manifest(3))
    with mounted(checkout.state.parent, "size=64k"):
        ballast = checkout.state.parent / "ballast"
        with pytest.raises(OSError, match="No space"):
            ballast.write_bytes(b"x" * 100_000)
        done = checkout.apply()
        assert done.code == 1, done.text
        assert "hint" in done.err
        assert not aep.creates
        ballast.unlink()
        assert checkout.apply().code == 0
        checkout.check(addresses(3))


def test_a_read_only_state_folder_is_known_before_the_first_request(checkout: Checkout, aep: Aep) -> None:
    checkout.declare(manifest(3))
    with mounted(checkout.state.parent, "size=1m"):
        assert checkout.apply().code == 0
        checkout.declare(manifest(5))
        remount(checkout.state.parent, "ro")
        planned = checkout.run("plan")
        assert planned.code == 0, planned.text
        assert "2 to add" in planned.out
        done = checkout.apply()
        assert done.code == 1, done.text
        assert "Read-only" in done.err
        assert "hint" in done.err
        assert len(aep.creates) == 3
        remount(checkout.state.parent, "rw")
        assert checkout.apply().code == 0
        checkout.check(addresses(5))


def test_a_state_folder_of_somebody_else_is_known_before_the_first_request(checkout: Checkout, aep: Aep) -> None:
    checkout.declare(manifest(3))
    prefix = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"] if os.getuid() == 0 else []
    if prefix and shutil.which("setpriv") is None:
        pytest.skip("nothing is forbidden to root, and there is no `setpriv` to become less")
    checkout.state.parent.mkdir(mode=0o555)
    with checkout.started("apply", "--auto-approve", prefix=prefix) as process:
        done = end(process)
    assert done.code == 1, done.text
    assert "write permission" in done.err
    assert not aep.creates


def test_new_files_beside_the_state_are_private(checkout: Checkout, aep: Aep) -> None:
    seen: dict[str, int] = {}

    def look() -> None:
        seen.update({each.name: each.stat().st_mode & 0o777 for each in checkout.state.parent.iterdir()})

    aep.before_create = look
    checkout.declare(manifest(2))
    assert checkout.apply().code == 0
    assert seen["dev.journal"] == 0o600
    assert set(seen.values()) == {0o600}, seen
