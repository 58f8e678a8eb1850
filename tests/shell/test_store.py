"""The state directory under failing disks, crashes and changed files: the state is loaded whole or refused."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler.core.batch import Record
from reconciler.core.errors import SettingsInvalid, StateCorrupt, StateError, StateMismatch, StoreFailed
from reconciler.core.states.journal import Done, Dropped, Encoder, Entry, JournalHeader, Void
from reconciler.core.states.state import State, digest, dump
from reconciler.storage.disk import RealDisk
from reconciler.storage.store import Loaded, Store
from tests.core.states.test_journal import intent_of
from tests.examples import WHO, recorded
from tests.shell.fragile_disk import Crash, FragileDisk, Killed

if TYPE_CHECKING:
    from collections.abc import Callable

PATH = Path("state/dev.jsonl")
ONE, TWO, THREE = (recorded(f"loyalty/{name}", f"01{name}") for name in ("one", "two", "three"))


def state_of(*records: Record) -> State:
    return State(WHO, {each.address: each for each in records})


def store_at(folder: Path) -> Store:
    return Store(folder / "state" / "dev.jsonl", WHO)


def append(store: Store, *groups: tuple[Entry, ...]) -> None:
    async def run() -> None:
        async with store.open_journal() as journal:
            for group in groups:
                await journal.append(*group)

    asyncio.run(run())


def test_no_file_is_an_empty_state(tmp_path: Path) -> None:
    assert store_at(tmp_path).load() == Loaded.empty(WHO) == Loaded(State(WHO), (), 0, digest(b""))
    assert list(tmp_path.iterdir()) == []


def test_what_is_committed_is_loaded(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    store.commit(state_of(ONE, TWO))
    loaded = store.load()
    assert loaded.state == state_of(ONE, TWO)
    assert loaded.text_digest == digest(store.path.read_bytes())
    assert [each.name for each in store.path.parent.iterdir()] == ["dev.jsonl"]


def test_what_is_appended_is_loaded(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    append(store, (intent_of(ONE), intent_of(TWO)), (Done(ONE),), ())
    loaded = store.load()
    assert loaded.state == state_of(ONE)
    assert loaded.open_intents == (intent_of(TWO),)
    assert loaded.journal_entries == 3
    assert not store.path.exists()


def test_a_later_run_appends_to_what_an_earlier_one_left(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    append(store, (intent_of(ONE),))
    append(store, (Done(ONE), intent_of(TWO)))
    assert store.load().state == state_of(ONE)
    assert store.journal.read_bytes().count(b"\n") == 4


def test_a_commit_clears_the_journal_but_for_what_is_open(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    append(store, (intent_of(ONE), intent_of(TWO), Done(ONE)))
    store.commit(store.load().state)
    loaded = store.load()
    assert (loaded.state, loaded.open_intents, loaded.journal_entries) == (state_of(ONE), (intent_of(TWO),), 1)
    append(store, (Void(TWO.address, 1),))
    store.commit(store.load().state)
    assert not store.journal.exists()


def test_an_intent_that_the_state_decides_is_not_kept(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    append(store, (intent_of(ONE),))
    store.commit(state_of(ONE))
    assert not store.journal.exists()


def test_unchanged_content_is_not_written(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    store.commit(state_of(ONE))
    os.utime(store.path, ns=(0, 0))
    append(store, (Done(ONE),))
    store.commit(state_of(ONE))
    assert store.path.stat().st_mtime_ns == 0
    assert not store.journal.exists()


def test_an_empty_state_makes_no_file_but_empties_one(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    store.commit(State(WHO))
    assert not store.path.exists()
    store.commit(state_of(ONE))
    store.commit(State(WHO))
    assert store.load().state == State(WHO)
    assert store.path.exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_the_state_keeps_its_mode_and_the_rest_is_private(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    umask = os.umask(0o027)
    try:
        store.commit(state_of(ONE))
        assert store.path.stat().st_mode & 0o777 == 0o640
        store.path.chmod(0o664)
        append(store, (Done(TWO), intent_of(THREE)))
        assert store.journal.stat().st_mode & 0o777 == 0o600
        store.commit(state_of(ONE, TWO))
        assert store.path.stat().st_mode & 0o777 == 0o664
        assert store.journal.stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(umask)


def test_what_a_killed_commit_left_is_overwritten(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    store.path.parent.mkdir()
    temp = store.path.with_name(".dev.jsonl.tmp")
    temp.write_bytes(b"half a st" * 1000)
    store.commit(state_of(ONE))
    assert store.load().state == state_of(ONE)
    assert not temp.exists()


def test_a_torn_tail_is_cut_and_written_over(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    append(store, (intent_of(ONE), Done(ONE)))
    whole = store.journal.read_bytes()
    for length in range(len(whole)):
        store.journal.write_bytes(whole[:length])
        assert store.load().state in (State(WHO), state_of(ONE))
        append(store, (Done(TWO),))
        assert store.load().state.records[TWO.address] == TWO
        assert b"\n\n" not in store.journal.read_bytes()


def test_an_unused_journal_begins_again_on_the_state_of_now(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    append(store)
    store.path.write_bytes(dump(state_of(ONE)))
    append(store)
    assert store.journal.read_bytes() == Encoder().header(JournalHeader(WHO, digest(dump(state_of(ONE)))))


def test_a_damaged_journal_is_set_aside_each_time_under_a_name_of_its_own(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    for number in (1, 2):
        append(store, (intent_of(ONE), Done(ONE)))
        damaged = store.journal.read_bytes().replace(b"loyalty/one", b"loyalty/two", 1)
        store.journal.write_bytes(damaged)
        with pytest.raises(StateCorrupt) as caught:
            store.load()
        aside = store.journal.with_name(f"dev.journal.damaged-{number}")
        assert str(aside) in caught.value.summary
        assert "line 2" in (caught.value.detail or "")
        assert "external id" in (caught.value.hint or "")
        assert aside.read_bytes() == damaged
        assert store.load().state == State(WHO)


def test_a_journal_of_another_environment_is_refused_and_left_alone(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    append(Store(store.path, replace(WHO, sandbox="prod")), (Done(ONE),))
    for use in (store.load, lambda: append(store)):
        with pytest.raises(StateMismatch, match="another sandbox"):
            use()
    assert store.journal.exists()


def test_a_journal_that_contradicts_the_state_says_that_it_is_of_another_one(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    append(store, (Done(ONE),))
    store.path.write_bytes(dump(state_of(replace(ONE, id="other"))))
    with pytest.raises(StateCorrupt) as caught:
        store.load()
    assert "`other`" in (caught.value.detail or "")
    assert f"`{ONE.id}`" in (caught.value.detail or "")
    assert "begun on another version of the state" in (caught.value.detail or "")


def test_a_journal_of_another_state_is_replayed_all_the_same(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    append(store, (Done(ONE),))
    store.path.write_bytes(dump(state_of(TWO)))
    assert store.load().state == state_of(TWO, ONE)


def load_and_commit(store: Store) -> None:
    store.load()
    store.commit(state_of(ONE))


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
def test_a_symbolic_link_in_place_of_the_new_state_is_taken_away(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    store.path.parent.mkdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"precious")
    store.path.with_name(".dev.jsonl.tmp").symlink_to(elsewhere)
    store.commit(state_of(ONE))
    assert store.load().state == state_of(ONE)
    assert elsewhere.read_bytes() == b"precious"


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
@pytest.mark.parametrize("name", ["dev.jsonl", "dev.journal"])
def test_a_symbolic_link_is_never_followed(tmp_path: Path, name: str) -> None:
    store = store_at(tmp_path)
    store.path.parent.mkdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"precious")
    store.path.with_name(name).symlink_to(elsewhere)
    with pytest.raises(StoreFailed, match="failed") as caught:
        load_and_commit(store)
    assert "symbolic link" in (caught.value.hint or "")
    assert elsewhere.read_bytes() == b"precious"


def test_the_journal_is_open_once_and_closed_before_a_commit(tmp_path: Path) -> None:
    store = store_at(tmp_path)

    async def run() -> None:
        async with store.open_journal() as journal:
            with pytest.raises(RuntimeError):
                store.commit(state_of(ONE))
            with pytest.raises(RuntimeError):
                async with store.open_journal():
                    pass
        with pytest.raises(StoreFailed):
            await journal.append(Done(ONE))

    asyncio.run(run())
    store.commit(state_of(ONE))


def test_a_commit_writes_over_what_cannot_be_read_only_if_it_is_told_so(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    store.commit(state_of(TWO))
    store.path.write_bytes(b"")
    store.commit(state_of(ONE), is_readable=False)
    assert store.load().state == state_of(ONE)


@pytest.mark.parametrize("suffix", [".journal", ".lock", ".tmp", ".emulator"])
def test_a_state_file_is_not_named_like_what_lies_beside_it(suffix: str) -> None:
    with pytest.raises(SettingsInvalid):
        Store(Path(f"state/dev{suffix}"), WHO)


def test_a_state_of_another_environment_is_not_committed(tmp_path: Path) -> None:
    with pytest.raises(StateMismatch):
        store_at(tmp_path).commit(State(replace(WHO, sandbox="prod")))


def test_what_could_not_be_read_back_is_not_written(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    store.commit(state_of(ONE))
    append(store, (Done(TWO),))
    for wrong in (replace(TWO, id=""), replace(TWO, generation=0), recorded("No Address")):
        with pytest.raises(StateMismatch, match="could not be read back"):
            store.commit(state_of(ONE, wrong))
    with pytest.raises(StateMismatch, match="contradicts itself"):
        store.commit(state_of(ONE, replace(TWO, id=ONE.id)))
    assert store.load().state == state_of(ONE, TWO)


# -- group commit


def test_entries_that_are_ready_together_share_one_fsync() -> None:
    disk = FragileDisk()
    store = Store(PATH, WHO, disk)
    records = [recorded(f"loyalty/key-{number}", f"id-{number}") for number in range(200)]

    async def run() -> None:
        async with store.open_journal() as journal:
            await asyncio.gather(*(journal.append(Done(record)) for record in records))

    asyncio.run(run())
    assert len(store.load().state.records) == 200
    assert disk.log.count("fsync dev.journal") <= 3


def test_cancelling_those_who_wait_takes_nothing_back() -> None:
    disk = FragileDisk()
    store = Store(PATH, WHO, disk)

    async def run() -> None:
        async with store.open_journal() as journal:
            waiting = [asyncio.create_task(journal.append(Done(record))) for record in (ONE, TWO)]
            await asyncio.sleep(0)
            waiting[0].cancel()
            await asyncio.sleep(0)
            waiting[1].cancel()
            await journal.append(Done(THREE))

    asyncio.run(run())
    assert store.load().state == state_of(ONE, TWO, THREE)


def test_leaving_the_block_writes_what_still_waits() -> None:
    disk = FragileDisk()
    store = Store(PATH, WHO, disk)

    async def run() -> None:
        async with store.open_journal() as journal:
            waiting = asyncio.create_task(journal.append(Done(ONE)))
            await asyncio.sleep(0)
        await waiting

    asyncio.run(run())
    assert store.load().state == state_of(ONE)


@pytest.mark.parametrize("effect", ["write dev.journal", "fsync dev.journal"])
def test_after_a_failure_the_journal_takes_nothing_more(effect: str) -> None:
    disk = FragileDisk(breaks=lambda: OSError(errno.EIO, "Input/output error"), stays_broken=False)
    store = Store(PATH, WHO, disk)
    failures: list[StoreFailed] = []

    async def run() -> None:
        async with store.open_journal() as journal:
            await journal.append(Done(ONE))
            disk.break_at = disk.count + (effect == "fsync dev.journal")
            for outcome in await asyncio.gather(
                journal.append(Done(TWO)), journal.append(intent_of(THREE)), return_exceptions=True
            ):
                assert isinstance(outcome, StoreFailed)
            synced = len(disk.log)
            for _ in range(2):
                with pytest.raises(StoreFailed) as caught:
                    await journal.append(Done(THREE))
                failures.append(caught.value)
            assert len(disk.log) == synced

    asyncio.run(run())
    assert disk.log[disk.break_at or 0] == effect
    assert failures[0] is not failures[1]
    assert ONE.address in store.load().state.records


# -- failing disks


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "permission"),
        (errno.EPERM, "permission"),
        (errno.EIO, "the disk or its connection is failing"),
        (errno.EBUSY, "mount its folder instead"),
        (errno.EXDEV, "mount its folder instead"),
        (errno.ENODEV, "see to the cause"),
    ],
)
def test_what_is_said_when_the_disk_refuses(code: int, said: str) -> None:
    disk = FragileDisk(break_at=0, breaks=lambda: OSError(code, os.strerror(code)))
    store = Store(PATH, WHO, disk)
    uses: list[Callable[[], object]] = [lambda: store.commit(state_of(ONE)), lambda: append(store)]
    for use in uses:
        with pytest.raises(StoreFailed) as caught:
            use()
        assert os.strerror(code) == caught.value.detail
        assert said in (caught.value.hint or "")
        assert "state" in caught.value.summary


def test_a_journal_that_cannot_be_opened_is_known_before_anything_is_done() -> None:
    start = FragileDisk()
    append(Store(PATH, WHO, start), (Done(ONE),))
    start.names[PATH.with_suffix(".journal")].data += b"torn"
    for number in range(100):
        disk = start.after(Crash.PROCESS)
        disk.break_at, disk.breaks = number, lambda: OSError(errno.ENOSPC, "No space left on device")
        store = Store(PATH, WHO, disk)
        with suppress(StoreFailed):
            append(store)
        came_this_far, disk.break_at = disk.struck, None
        assert store.load().state == state_of(ONE)
        append(store, (Done(TWO),))
        assert store.load().state == state_of(ONE, TWO)
        if not came_this_far:
            assert number > 4
            return
    raise AssertionError("an opening has no end")


@pytest.mark.parametrize("stays_broken", [True, False])
def test_a_refused_commit_leaves_a_whole_state_and_the_journal_and_no_temp(stays_broken: bool) -> None:
    start = FragileDisk()
    Store(PATH, WHO, start).commit(state_of(TWO))
    append(Store(PATH, WHO, start), (intent_of(ONE), Done(ONE), intent_of(THREE)))
    for number in range(100):
        disk = start.after(Crash.PROCESS)
        disk.break_at, disk.stays_broken = number, stays_broken
        disk.breaks = lambda: OSError(errno.ENOSPC, "No space left on device")
        store = Store(PATH, WHO, disk)
        with suppress(StoreFailed):
            store.commit(state_of(ONE, TWO))
        came_this_far, disk.break_at = disk.struck, None
        assert stays_broken or not [path for path in disk.names if path.suffix == ".tmp"]
        loaded = store.load()
        assert (loaded.state, loaded.open_intents) == (state_of(ONE, TWO), (intent_of(THREE),))
        if not came_this_far:
            assert number > 10
            return
    raise AssertionError("a commit has no end")


# -- kills and power cuts


class Remote:
    """AEP in small: batches by external id. It fails the test if one is created twice."""

    def __init__(self) -> None:
        self.batches: dict[str, str] = {}

    def create(self, record: Record) -> str:
        assert record.external_id not in self.batches, "created twice"
        self.batches[record.external_id] = record.id
        return record.id


async def run_once(store: Store, remote: Remote, wanted: tuple[Record, ...], promised: dict[str, Record]) -> None:
    """An apply in small: settle, create what is missing, drop what is not wanted, commit."""
    loaded = store.load()
    for address, record in promised.items():
        assert loaded.state.records.get(address) == record, "a recorded batch was forgotten"
    records = dict(loaded.state.records)
    async with store.open_journal() as journal:
        for record in wanted:
            if record.address in records:
                continue
            if record.external_id not in remote.batches:
                await journal.append(intent_of(record))
                remote.create(record)
            await journal.append(Done(record))
            records[record.address] = promised[record.address] = record
        for address in [address for address in records if address not in {each.address for each in wanted}]:
            promised.pop(address, None)
            await journal.append(Dropped(address, records.pop(address).id))
    store.commit(State(WHO, records))


def crashed(disk: FragileDisk, at: int, remote: Remote, promised: dict[str, Record]) -> bool:
    """Run until a crash at an effect; whether the run came that far."""
    disk.break_at = at
    with suppress(Killed):
        asyncio.run(run_once(Store(PATH, WHO, disk), remote, (ONE, TWO), promised))
    return disk.struck


@pytest.mark.parametrize("crash", Crash)
def test_killed_at_any_effect_and_again_in_the_recovery_nothing_is_lost_or_made_twice(crash: Crash) -> None:
    old = recorded("loyalty/old", "01old")
    for first in range(100):
        came_first = False
        for second in range(100):
            start = FragileDisk()
            Store(PATH, WHO, start).commit(state_of(old))
            remote, promised = Remote(), dict[str, Record]()
            disk = start.after(crash)
            came_first = crashed(disk, first, remote, promised)
            disk = disk.after(crash)
            came_second = crashed(disk, second, remote, promised)
            disk = disk.after(crash)
            asyncio.run(run_once(Store(PATH, WHO, disk), remote, (ONE, TWO), promised))
            assert disk.names[PATH].data == dump(state_of(ONE, TWO))
            assert set(disk.names) == {PATH}
            if not came_second:
                break
        if not came_first:
            assert first > 15
            return
    raise AssertionError("a run has no end")


FULL_DISK = """
import asyncio, sys
from pathlib import Path
from reconciler.core.errors import StoreFailed
from reconciler.core.states.journal import Done
from reconciler.core.states.state import State
from reconciler.storage.store import Store
from tests.examples import WHO, recorded

folder = Path(sys.argv[1])
store = Store(folder / "dev.jsonl", WHO)
old = [recorded(f"loyalty/old-{n}", f"old-{n}") for n in range(1000)]
store.commit(State(WHO, {r.address: r for r in old}))
made = []

async def run():
    async with store.open_journal() as journal:
        for n in range(100000):
            record = recorded(f"loyalty/new-{n}", f"new-{n}")
            await journal.append(Done(record))
            made.append(record)

try:
    asyncio.run(run())
    raise SystemExit("the disk never filled")
except StoreFailed as error:
    assert error.detail == "No space left on device", error.detail
state = State(WHO, {r.address: r for r in (*old, *made)})
try:
    store.commit(state)
    raise SystemExit("the commit found room")
except StoreFailed as error:
    assert "space" in error.hint
assert not (folder / ".dev.jsonl.tmp").exists()
assert store.load().state == state and len(made) > 100
(folder / "ballast").unlink()
store.commit(store.load().state)
assert store.load().state == state and not store.journal.exists()
print("held", len(made))
"""


@pytest.mark.slow
def test_on_a_full_disk_the_journal_keeps_every_id(tmp_path: Path) -> None:
    mount = f"mount -t tmpfs -o size=3m full {tmp_path} && head -c 2200000 /dev/zero > {tmp_path}/ballast"
    script = f'{mount} && exec "$0" -c "$1" {tmp_path}'
    command = ["unshare", "-rm", "sh", "-c", script, sys.executable, FULL_DISK]
    try:
        mounted = subprocess.run(["unshare", "-rm", "sh", "-c", mount], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("no `unshare` here: a small disk cannot be mounted")
    if mounted.returncode != 0:
        pytest.skip("no user namespaces here: a small disk cannot be mounted")
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert ran.stdout.startswith("held "), ran.stderr


def test_every_effect_of_the_real_disk_names_what_failed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = Store(tmp_path / "file" / "dev.jsonl", WHO, RealDisk())
    for use in (store.load, lambda: store.commit(state_of(ONE)), lambda: append(store)):
        with pytest.raises(StateError) as caught:
            use()
        assert "file stands where a folder should be" in (caught.value.hint or "")


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_folder_that_cannot_be_synced_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(_descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refuse)
    RealDisk().sync_folder(tmp_path)


def test_a_folder_that_could_not_be_synced_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="Input/output"):
        RealDisk().sync_folder(tmp_path)


def test_a_state_file_that_is_a_mount_keeps_everything_in_the_journal(tmp_path: Path) -> None:
    class Mounted(RealDisk):
        """A disk on which nothing can take the state file's place, as with a container's volume of one file."""

        def replace(self, source: Path, target: Path) -> None:
            if target.suffix == ".jsonl":
                raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
            super().replace(source, target)

    path = tmp_path / "dev.jsonl"
    Store(path, WHO).commit(state_of(ONE))
    before = path.read_bytes()
    store = Store(path, WHO, Mounted())
    append(store, (Done(TWO),))
    with pytest.raises(StoreFailed) as caught:
        store.commit(state_of(ONE, TWO))
    assert "nothing is lost" in (caught.value.hint or "")
    assert path.read_bytes() == before
    assert not list(tmp_path.glob("*.tmp"))
    again = Store(path, WHO)
    assert again.load().state == state_of(ONE, TWO)
    again.commit(again.load().state)
    assert again.load().journal_entries == 0
