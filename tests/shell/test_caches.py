"""Files that may as well be missing: what a pull request puts in their place is neither followed nor waited for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from reconciler.core.plans.bookmark import LONGEST_LIFE_MS, Bookmark
from reconciler.files.caches import read_cache, write_cache
from reconciler.storage import bookmarks

if TYPE_CHECKING:
    from pathlib import Path

NOW = 1_800_000_000_000
MARK = Bookmark(began=5, newest=4, count=1_000, recheck=frozenset({"B1"}), uncounted=frozenset(), full_at=NOW)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "state" / "dev.bookmark"
    write_cache(path, b"data")
    assert read_cache(path, 4) == b"data"
    assert read_cache(path, 3) == b""
    assert [each.name for each in path.parent.iterdir()] == ["dev.bookmark"]
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("target", ["/dev/zero", "/etc/passwd", "nowhere"])
def test_a_link_is_not_followed(tmp_path: Path, target: str) -> None:
    path = tmp_path / "dev.bookmark"
    path.symlink_to(target)
    assert read_cache(path, 10_000) == b""
    write_cache(path, b"data")  # takes the link's place
    assert not path.is_symlink()


def test_a_link_in_place_of_the_new_file_is_not_written_through(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious", encoding="utf-8")
    (tmp_path / ".dev.bookmark.tmp").symlink_to(victim)
    write_cache(tmp_path / "dev.bookmark", b"data")
    assert victim.read_text(encoding="utf-8") == "precious"


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert read_cache(tmp_path / "pipe", 10) == b""


def test_a_bookmark_is_for_one_state(tmp_path: Path) -> None:
    bookmarks.save(tmp_path / "dev.jsonl", "digest", MARK)
    assert bookmarks.load(tmp_path / "dev.jsonl", "digest") is not None
    assert bookmarks.load(tmp_path / "dev.jsonl", "another") is None


def test_a_bookmark_is_for_some_hours_by_catalogs_clock() -> None:
    assert MARK.is_young(NOW + 1)
    assert not MARK.is_young(NOW - 1)  # made in the future
    assert not MARK.is_young(NOW + LONGEST_LIFE_MS)
    assert not MARK.is_young(None)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "null", '{"version": 2}', "[" * 100_000, '{"version": 3, "began": "x"}']
)
def test_what_is_no_bookmark_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "dev.bookmark").write_text(text, encoding="utf-8")
    assert bookmarks.load(tmp_path / "dev.jsonl", "digest") is None


def test_a_bookmark_that_no_longer_fits_is_removed(tmp_path: Path) -> None:
    state = tmp_path / "dev.jsonl"
    bookmarks.save(state, "digest", MARK)
    assert (tmp_path / "dev.bookmark").exists()
    bookmarks.save(state, "digest", None)
    bookmarks.save(state, "digest", None)
    assert not (tmp_path / "dev.bookmark").exists()
