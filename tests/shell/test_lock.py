"""The lock: one holder, a message that names the holder, and no lock left after a kill."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from reconciler.core.errors import ExitCode, LockHeld, StoreFailed
from reconciler.storage.lock import hold

if TYPE_CHECKING:
    from pathlib import Path

HOLDER = """
import sys, time
from pathlib import Path
from reconciler.storage.lock import hold
with hold(Path(sys.argv[1]), "apply"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_holder_is_told_who_where_since_when_and_doing_what(tmp_path: Path) -> None:
    lock = tmp_path / "state" / "dev.lock"
    with hold(lock, "apply"):
        with pytest.raises(LockHeld) as caught, hold(lock, "plan"):
            pass
        assert caught.value.exit_code is ExitCode.LOCKED
        assert str(lock) in caught.value.summary
        assert f"(process {os.getpid()}) since 20" in caught.value.summary
        assert "@" in caught.value.summary
        assert "running `apply`" in caught.value.summary
        assert "--lock-timeout" in (caught.value.hint or "")
        assert caught.value.detail is None


def test_released_it_can_be_held_again_and_the_note_is_gone(tmp_path: Path) -> None:
    lock = tmp_path / "dev.lock"
    for _ in range(2):
        with hold(lock, "apply"):
            assert lock.with_name("dev.lock.json").exists()
        assert not lock.with_name("dev.lock.json").exists()


def test_an_error_inside_passes_through_and_releases(tmp_path: Path) -> None:
    lock = tmp_path / "dev.lock"
    for required in (True, False):
        with pytest.raises(OSError, match="ours"), hold(lock, "apply", required=required):
            raise OSError("ours")
    with hold(lock, "apply"):
        pass


def test_waiting_gets_it_when_the_other_is_done(tmp_path: Path) -> None:
    lock = tmp_path / "dev.lock"
    held, done = threading.Event(), threading.Event()

    def other() -> None:
        with hold(lock, "apply"):
            held.set()
            done.wait(10)

    thread = threading.Thread(target=other)
    thread.start()
    held.wait(10)
    with pytest.raises(LockHeld) as caught, hold(lock, "plan", 0.1):
        pass
    assert caught.value.detail == "waited 0.1 s for it"
    threading.Timer(0.1, done.set).start()
    with hold(lock, "plan", 10):
        pass
    thread.join()


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL there")
def test_a_killed_holder_leaves_no_lock_behind(tmp_path: Path) -> None:
    lock = tmp_path / "dev.lock"
    child = subprocess.Popen([sys.executable, "-c", HOLDER, lock], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    try:
        assert child.stdout.readline() == "held\n"
        with pytest.raises(LockHeld, match=f"process {child.pid}"), hold(lock, "plan"):
            pass
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
    assert json.loads(lock.with_name("dev.lock.json").read_text())["pid"] == child.pid
    began = time.monotonic()
    with hold(lock, "plan"):
        assert json.loads(lock.with_name("dev.lock.json").read_text())["pid"] == os.getpid()
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "note",
    [None, b"", b"{", b"\xff", b"[]", b'{"who": "x"}', b"[" * 100_000],
    ids=["missing", "empty", "half", "not text", "another shape", "incomplete", "deep"],
)
def test_without_a_readable_note_the_message_just_says_less(tmp_path: Path, note: bytes | None) -> None:
    lock = tmp_path / "dev.lock"
    with hold(lock, "apply"):
        beside = lock.with_name("dev.lock.json")
        beside.unlink()
        if note is not None:
            beside.write_bytes(note)
        with pytest.raises(LockHeld, match="is held by another run"), hold(lock, "plan"):
            pass


def test_anothers_note_cannot_reach_the_terminal(tmp_path: Path) -> None:
    lock = tmp_path / "dev.lock"
    with hold(lock, "apply"):
        text = json.dumps({"who": "\x1b[2Jx\n::error::y", "pid": 1, "since": "s" * 9999, "command": "c"})
        lock.with_name("dev.lock.json").write_text(text)
        with pytest.raises(LockHeld) as caught, hold(lock, "plan"):
            pass
    assert caught.value.summary.isprintable()
    assert len(caught.value.summary) < 1000


def test_where_nothing_can_be_written_only_readers_go_on(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    lock = tmp_path / "file" / "dev.lock"
    with pytest.raises(StoreFailed, match="locking") as caught, hold(lock, "apply"):
        pass
    assert caught.value.hint
    ran = []
    with hold(lock, "plan", required=False):
        ran.append("plan")
    with hold(tmp_path / "absent" / "dev.lock", "plan", required=False):
        ran.append("plan")
    assert ran == ["plan", "plan"]
    assert not (tmp_path / "absent").exists()


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
def test_neither_lock_nor_note_follows_a_link(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"precious")
    (tmp_path / "a.lock.json").symlink_to(precious)
    with hold(tmp_path / "a.lock", "apply"):
        pass
    (tmp_path / "b.lock").symlink_to(precious)
    with pytest.raises(StoreFailed), hold(tmp_path / "b.lock", "apply"):
        pass
    ran = []
    with hold(tmp_path / "b.lock", "plan", required=False):
        ran.append("plan")
    assert ran == ["plan"]
    assert precious.read_bytes() == b"precious"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_lock_and_note_are_private(tmp_path: Path) -> None:
    with hold(tmp_path / "dev.lock", "apply"):
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {"dev.lock": 0o600, "dev.lock.json": 0o600}


@pytest.mark.skipif(os.name == "nt", reason="no flock there")
@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_named_and_a_reader_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(_descriptor: int, _operation: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("fcntl.flock", refuse)
    lock = tmp_path / "dev.lock"
    with pytest.raises(StoreFailed) as caught, hold(lock, "apply"):
        raise AssertionError("two runs could be here")
    assert caught.value.detail == os.strerror(code)
    assert "has no locks" in (caught.value.hint or "")
    with hold(lock, "plan", required=False):
        pass


@pytest.mark.skipif(os.name == "nt", reason="no pipes in folders there")
@pytest.mark.parametrize("name", ["dev.lock", "dev.lock.json"])
def test_a_pipe_in_the_way_holds_nobody_up(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with suppress(StoreFailed), hold(tmp_path / "dev.lock", "apply"):
        pass
    with hold(tmp_path / "dev.lock", "plan", required=False):
        pass
