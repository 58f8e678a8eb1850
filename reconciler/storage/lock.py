"""Only one run uses a state at a time: an operating system lock on a file of its own, which ends with its process.

A note beside the file says who holds it, where, since when and for which command. It serves only for the message to
whoever has to wait: nothing is decided by it, and no lock is ever broken.
"""

from __future__ import annotations

import errno
import getpass
import json
import os
import socket
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from reconciler.core.errors import LockHeld
from reconciler.files.inside import PRIVATE
from reconciler.storage.disk import HINTS, RealDisk, store_failed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from filelock import BaseFileLock

_LONGEST = 200
"""Characters that are shown of one field of a note: another process wrote it."""

_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
_HINTS = HINTS | dict.fromkeys(
    _NO_LOCKS,
    "this file system has no locks, or their service does not run (NFS): put the state on one that has them; nothing "
    "was done, since without a lock two runs could make one batch twice",
)


@contextmanager
def hold(path: Path, command: str, timeout_s: float = 0.0, *, required: bool = True) -> Iterator[None]:
    """Hold the lock file at `path` inside the block, after a wait of at most `timeout_s` seconds.

    `command` is what others are told. Raises `LockHeld`, or `StoreFailed` if the folder cannot be written. If the lock
    is not `required`, because the block only reads, it then runs without a lock.
    """
    lock = _acquired(path, timeout_s, required=required)
    if lock is None:
        yield
        return
    note = _note_path(path)
    try:
        _write_note(note, command)
        yield
    finally:
        with suppress(OSError):
            note.unlink(missing_ok=True)
        lock.release()


def _acquired(path: Path, timeout_s: float, *, required: bool) -> BaseFileLock | None:
    """The lock, held; None if it is not required and the folder is missing or cannot be written."""
    lock = FileLock(path, mode=PRIVATE, thread_local=False, fallback_to_soft=False)
    try:
        if required:
            path.parent.mkdir(parents=True, exist_ok=True)
        elif not path.parent.is_dir():
            return None
        lock.acquire(timeout=timeout_s)
    except Timeout:
        raise _held(path, timeout_s) from None
    except OSError as error:
        if required:
            raise store_failed(error, f"locking `{path}`", _HINTS) from error
        return None
    return lock


def _note_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _write_note(note: Path, command: str) -> None:
    since = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    text = {"who": _who(), "pid": os.getpid(), "since": since, "command": command}
    with suppress(OSError):  # on a full disk the message to others just says less
        handle = RealDisk().open(note, fresh=True, mode=PRIVATE)
        try:
            handle.write(json.dumps(text).encode() + b"\n")
        finally:
            handle.close()


def _who() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # the user of a container may have no name
        user = str(os.getuid()) if hasattr(os, "getuid") else "someone"
    return f"{user}@{socket.gethostname()}"


def _held(path: Path, waited_s: float) -> LockHeld:
    try:
        holder = _holder(RealDisk().read(_note_path(path)))
    except OSError:
        holder = None
    return LockHeld(
        f"the state is locked: `{path}` is held by {holder or 'another run'}",
        detail=f"waited {waited_s:g} s for it" if waited_s > 0 else None,
        hint="wait for that run to end, or let this one wait: `--lock-timeout 300`; a lock ends with its "
        "process, so there is never a file to remove",
    )


def _holder(data: bytes | None) -> str | None:
    """What the note says; None if there is none or it is not readable: it may be only half written."""
    try:
        note = json.loads(data or b"")
    except (ValueError, RecursionError):
        return None
    if not isinstance(note, dict) or not {"who", "pid", "since", "command"} <= note.keys():
        return None
    who, pid, since, command = (_printable(str(note[name])) for name in ("who", "pid", "since", "command"))
    return f"{who} (process {pid}) since {since}, running `{command}`"


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else "?" for each in text[:_LONGEST])
