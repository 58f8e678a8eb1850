"""Globs to files: only in the repository, named from the first wildcard on, opened only when new."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from reconciler.core.batch import Desired, File, Spec
from reconciler.core.data_files import limit_flaws
from reconciler.core.errors import ContentChanged
from reconciler.files.fingerprints import COARSE_NS, TICK_NS, Fingerprints, Stamp
from reconciler.files.reading import DataFiles
from reconciler.files.survey import Survey, check_completion, fingerprinted, survey
from tests.examples import ADDRESS, desired

if TYPE_CHECKING:
    from pathlib import Path

JSON = Spec(format="json")
LINE = b'{"a": 1}\n'


def wanted(*globs: str, spec: Spec | None = None, complete: bool = False) -> Desired:
    return replace(desired(spec=spec or JSON), globs=globs, complete=complete)


def put(root: Path, *names: str, data: bytes = LINE) -> None:
    """Files whose mtimes are old; their ctimes are of this moment."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, ns=(time.time_ns() - 10**10, time.time_ns() - 10**10 + 1))


def settle() -> None:
    """Wait until the ctimes of all files are old enough to be trusted."""
    time.sleep(2 * TICK_NS / 10**9)


def surveyed(root: Path, each: Desired, known: Fingerprints | None = None) -> Survey:
    return survey(root, [each], [], known or Fingerprints(root / "cache"))


def names(root: Path, *globs: str) -> list[str]:
    found = surveyed(root, wanted(*globs))
    assert not found.diagnostics, found.diagnostics
    return [local.name for local in found.files[ADDRESS]]


def codes(root: Path, *globs: str, spec: Spec | None = None) -> list[str]:
    return sorted(each.code for each in surveyed(root, wanted(*globs, spec=spec)).diagnostics)


def test_names_begin_at_the_first_wildcard_and_keep_their_folders(tmp_path: Path) -> None:
    put(tmp_path, "data/day=1/a.json", "data/day=2/b/c.json", "data/z.json", "data/.hidden.json", "data/x.csv")
    assert names(tmp_path, "data/*/*.json") == ["day=1/a.json"]
    assert names(tmp_path, "data/**/*.json") == ["day=1/a.json", "day=2/b/c.json", "z.json"]
    assert names(tmp_path, "data/day=1/a.json") == ["a.json"]
    assert names(tmp_path, "data/z.json", "data/z.*", "./data//z.json") == ["z.json"]
    assert names(tmp_path, "data/[yz].json", "data/day=?/a.json") == ["day=1/a.json", "z.json"]


def test_a_glob_that_matches_nothing_is_an_error(tmp_path: Path) -> None:
    put(tmp_path, "data/a.json")
    assert codes(tmp_path, "data/*.jsonl") == ["no-files"]
    assert codes(tmp_path, "nowhere/*.json") == ["no-files"]
    assert codes(tmp_path, "data/a.json/*") == ["no-files"]
    assert codes(tmp_path, "data") == ["no-files"]


def test_nothing_outside_the_repository_is_read(tmp_path: Path) -> None:
    root, outside = tmp_path / "repo", tmp_path / "outside"
    put(outside, "secret.json")
    put(root, "data/a.json")
    (root / "data" / "link.json").symlink_to(outside / "secret.json")
    (root / "folder").symlink_to(outside)
    (root / "dangling.json").symlink_to(outside / "nothing.json")
    for glob in ("data/*.json", "data/link.json", "folder/*.json", "folder/secret.json", "f*/*.json", "dangling.json"):
        assert "outside" in codes(root, glob), glob
    assert codes(root, "data/a.json") == []


def test_links_within_the_repository_are_followed_to_files(tmp_path: Path) -> None:
    put(tmp_path, "store/a.json")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "b.json").symlink_to("../store/a.json")
    (tmp_path / "data" / "loop").symlink_to("..")
    assert names(tmp_path, "data/*.json") == ["b.json"]
    assert names(tmp_path, "data/**/*.json") == ["b.json"]


def test_two_files_with_one_name_are_an_error(tmp_path: Path) -> None:
    put(tmp_path, "a/x.json", "b/x.json")
    assert codes(tmp_path, "a/*.json", "b/*.json") == ["duplicate-file"]
    assert names(tmp_path, "*/x.json") == ["a/x.json", "b/x.json"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows refuses such names itself")
@pytest.mark.parametrize("name", ["a\nb.json", "a\x1b[31m.json", "a\x00b.json"[:1] + "\x7f.json"])
def test_names_that_cannot_be_shown_are_refused(tmp_path: Path, name: str) -> None:
    put(tmp_path, f"data/{name}")
    assert codes(tmp_path, "data/*.json") == ["control-character"]


@pytest.mark.parametrize(
    "name", ["a\u3000b.json", "a\u00a0b.json", "\u2003.json", "a\\b.json", "e\u0301.json", "a%2fb.json"]
)
def test_odd_names_are_names(tmp_path: Path, name: str) -> None:
    put(tmp_path, f"data/{name}")
    assert names(tmp_path, "data/*.json") == [name]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names themselves")
def test_a_name_that_is_no_text_is_said_to_be_none(tmp_path: Path) -> None:
    put(tmp_path, os.fsdecode(b"data/a\xff.json"))
    (found,) = surveyed(tmp_path, wanted("data/*.json")).diagnostics
    assert (found.code, found.message) == ("not-utf-8", "the name `a\\udcff.json` is not UTF-8")


def test_a_name_that_no_url_can_hold_is_said_before_anything_is_created(tmp_path: Path) -> None:
    folders = "/".join(["\u65e5" * 80] * 3)
    put(tmp_path, f"data/{folders}/a.json", f"data/{'x' * 200}/a.json")
    (found,) = surveyed(tmp_path, wanted("data/**/*.json")).diagnostics
    assert found.code == "too-long"


def test_a_glob_spelled_in_another_way_than_the_file_gets_a_hint(tmp_path: Path) -> None:
    put(tmp_path, "data/e\u0301.json")
    (found,) = surveyed(tmp_path, wanted("data/\u00e9.json")).diagnostics
    assert found.code == "no-files"
    assert "NFD" in (found.hint or "")


def test_stars_in_a_row_are_one(tmp_path: Path) -> None:
    put(tmp_path, "a/b/x.json", "a/y.json")
    assert names(tmp_path, "a/" + "**/" * 5_000 + "*.json") == ["b/x.json", "y.json"]
    assert names(tmp_path, "a/**/**") == names(tmp_path, "a/**") == ["b/x.json", "y.json"]


def test_no_glob_takes_longer_than_the_folders_are_many(tmp_path: Path) -> None:
    """Each of these has more ways through forty folders than there are atoms."""
    deep = "/".join("a" * 40)
    put(tmp_path, f"data/{deep}/{'a' * 200}.json")
    assert names(tmp_path, "data/" + "**/*/" * 30 + "*.json") == [f"{deep}/{'a' * 200}.json"]
    assert names(tmp_path, "data/" + "**/a/" * 30 + "*.json") == [f"{deep}/{'a' * 200}.json"]
    assert codes(tmp_path, "data/" + "**/*/" * 30 + "b.json") == ["no-files"]
    assert codes(tmp_path, f"data/**/{'*a' * 100}b.json") == ["no-files"]
    assert codes(tmp_path, f"data/**/{'a*' * 100}b.json") == ["no-files"]
    assert codes(tmp_path, f"data/**/{'[a-a]*?' * 60}b") == ["no-files"]


def test_links_that_lead_in_circles_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.files.glob.MOST_LINKED", 100)
    put(tmp_path, "data/x.json")
    for name in "abc":
        (tmp_path / "data" / name).symlink_to(".")
    assert len(names(tmp_path, "data/*/*.json")) == 3
    (found,) = surveyed(tmp_path, wanted("data/" + "*/" * 40 + "*.json")).diagnostics
    assert found.code == "unreadable"
    assert "links to more than 100 folders" in found.message


@pytest.mark.parametrize("glob", ["data/[", "data/[]", "data/[!]*", "data/[z-a].json", "data/[[:alpha:]]*", "data/{*"])
def test_brackets_that_mean_nothing_are_letters(tmp_path: Path, glob: str) -> None:
    put(tmp_path, "data/a.json")
    assert codes(tmp_path, glob) == ["no-files"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no locale without UTF-8")
def test_a_locale_that_knows_ascii_only_finds_the_same_files(tmp_path: Path) -> None:
    put(tmp_path, "da\u0301ten/\u65e5\u672c/\u00e4-1.json", "da\u0301ten/\u00fc.json")
    globs = [
        "da\u0301ten/**/*.json",
        "da\u0301ten/[\u00fb-\u00fd].json",
        "da\u0301ten/?.json",
        "da\u0301ten/\u65e5\u672c/\u00e4-1.json",
    ]
    there = [names(tmp_path, glob) for glob in globs]
    script = """
import json, os, sys
from pathlib import Path
assert sys.getfilesystemencoding() == "ascii"
from tests.shell.test_survey import names
print(json.dumps([names(Path(sys.argv[1]), glob) for glob in json.loads(sys.argv[2])]))
"""
    env = {
        **os.environ,
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    found = subprocess.run(
        [sys.executable, "-c", script, tmp_path, json.dumps(globs)], env=env, stdout=subprocess.PIPE, check=True
    )
    assert json.loads(found.stdout) == there
    assert there == [["\u00fc.json", "\u65e5\u672c/\u00e4-1.json"], ["\u00fc.json"], ["\u00fc.json"], ["\u00e4-1.json"]]


def test_a_pipe_is_no_file_and_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.json")
    assert codes(tmp_path, "a.json") == ["unreadable"]


CSV = Spec(format="csv")
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"
PARQUET = b"PAR1" + b"\0" * 20 + b"PAR1"


@pytest.mark.parametrize(
    ("spec", "name", "data", "expected"),
    [
        (JSON, "a.json", LINE * 5000, []),
        (JSON, "a.json", b"\n" + LINE + b"\n", []),
        (JSON, "a.json", b'{"a": "' + b"x" * 100_000 + b'"}', []),
        (JSON, "a.json", b"[\n" + LINE + b"]", ["not-json-lines"]),
        (JSON, "a.json", b'{"a":\n1}\n', ["not-json-lines"]),
        (JSON, "a.json", b"\xff\xfe", ["not-json-lines"]),
        (JSON, "a.json", b"", ["empty-file"]),
        (JSON, "a.parquet", PARQUET, ["wrong-extension"]),
        (Spec(format="json", multiline=True), "a.json", b"[\n" + LINE + b"]", []),
        (Spec(format="json", multiline=True), "a.json", b"a,b", ["not-json"]),
        (Spec(format="parquet"), "a.parquet", PARQUET, []),
        (Spec(format="parquet"), "a.parquet", b"PAR1" + b"\0" * 20_000 + b"PAR1", []),
        (Spec(format="parquet"), "a.parquet", PARQUET[:-1], ["not-parquet"]),
        (Spec(format="parquet"), "a.parquet", b"PAR1PAR1", ["not-parquet"]),
        (Spec(format="csv"), "a.csv", b"id,name\r\n1,x\r\n", []),
        (Spec(format="csv"), "a.csv", b"\xef\xbb\xbfid,name\n", []),
        (Spec(format="csv"), "a.csv", b"id,first name\n", ["bad-csv-header"]),
        (Spec(format="csv"), "a.csv", b"id,,x\n", ["bad-csv-header"]),
        (CSV, "a.csv", b"id,name\r1,x\r", []),
        (CSV, "a.csv", b"id,first name\r1,x\r", ["bad-csv-header"]),
        (CSV, "a.csv", b"id,name", []),
        (CSV, "a.csv", b"id,a\xc3\xa4\n", []),
        (CSV, "a.csv", ",".join(f"column_{n}" for n in range(10_000)).encode() + b"\n1\n", []),
        (CSV, "a.csv", ",".join(f"column_{n % 9999}" for n in range(10_000)).encode() + b"\n1\n", ["bad-csv-header"]),
        (CSV, "a.csv", b'"' + b"x" * 8191 + b'\n",b\n', ["bad-csv-header"]),
        (CSV, "a.csv", b"x" * 8191 + b"\n1\n", []),
        (CSV, "a.csv", b"x" * 8190 + b"\xc3\xa4,b\n1\n", []),
        (CSV, "a.csv", b"abc," * 2**20 + b"\n", ["bad-csv-header"]),
        (CSV, "a.csv", b"\nid,name\n1,x\n", ["bad-csv-header"]),
        (CSV, "a.csv", b"\r\nid,name\n", ["bad-csv-header"]),
        (CSV, "a.csv", b"\xef\xbb\xbf\nid,name\n", ["bad-csv-header"]),
        (CSV, "a.csv", b"  \nid,name\n", ["bad-csv-header"]),
        (CSV, "a.csv", b",,\n1,2,3\n", ["bad-csv-header"]),
        (CSV, "a.csv", b'"id\nof",name\n1,x\n', ["bad-csv-header"]),
        (CSV, "a.csv", b"i\0d,name\n", ["bad-csv-header"]),
        (CSV, "a.csv", "id,name\n".encode("utf-16"), ["bad-csv-header"]),
        (CSV, "a.csv", b"id,a\xe4\n", ["bad-csv-header"]),
        (Spec(format="csv", csv={"charset": "ISO-8859-1"}), "a.csv", b"id,a\xe4\n", []),
        (Spec(format="csv", csv={"charset": "ISO-8859-1"}), "a.csv", b"\xef\xbb\xbfid\n", ["bad-csv-header"]),
        (Spec(format="csv", csv={"charset": "US-ASCII"}), "a.csv", b"id,a\xe4\n", ["bad-csv-header"]),
        (Spec(format="csv", csv={"escape": "\\"}), "a.csv", b"id,a\\,b\n", []),
        (CSV, "a.csv", POINTER, ["lfs-pointer"]),
        (JSON, "a.json", POINTER, ["lfs-pointer"]),
        (Spec(format="json", multiline=True), "a.json", POINTER, ["lfs-pointer"]),
        (Spec(format="parquet"), "a.parquet", POINTER, ["lfs-pointer"]),
        (JSON, "a.json", b'{"a": "\\ud800"}\n', []),
        (Spec(format="csv"), "a.csv", b"id,id\n", ["bad-csv-header"]),
        (Spec(format="csv", csv={"delimiter": ";"}), "a.csv", b"id;name\n", []),
    ],
)
def test_what_aep_would_refuse_hours_later_is_said_now(
    tmp_path: Path, spec: Spec, name: str, data: bytes, expected: list[str]
) -> None:
    put(tmp_path, name, data=data)
    assert codes(tmp_path, name, spec=spec) == expected


def severities(root: Path, *globs: str) -> list[tuple[str, str]]:
    return sorted((each.code, each.severity.value) for each in surveyed(root, wanted(*globs)).diagnostics)


def test_a_batch_of_nothing_is_an_error_and_an_empty_file_beside_others_a_warning(tmp_path: Path) -> None:
    put(tmp_path, "a.json", "b.json", data=b"")
    put(tmp_path, "c.json")
    assert severities(tmp_path, "a.json") == [("empty-file", "error")]
    assert severities(tmp_path, "a.json", "b.json") == [("empty-file", "error"), ("empty-file", "error")]
    assert severities(tmp_path, "a.json", "c.json") == [("empty-file", "warning")]


@pytest.mark.parametrize(("size", "severity"), [(2**40 + 1, "error"), (2**40, "warning"), (10**11, None)])
def test_a_batch_takes_a_tebibyte(size: int, severity: str | None) -> None:
    found = list(limit_flaws(1, size))
    assert [each.severity.value for each in found] == ([severity] if severity else [])
    assert all("AEP takes 1,099,511,627,776 and" in each.message for each in found)


def test_a_batch_without_files_cannot_be_completed() -> None:
    assert [each.code for each in check_completion([wanted(complete=True)], [])] == ["complete-without-files"]
    assert not check_completion([wanted("*.json", complete=True), wanted()], [])


def opened(action: object) -> list[str]:
    """The data files that were opened meanwhile, as an audit hook sees them."""
    assert callable(action)
    WATCHED.clear()
    WATCHING.append(True)
    try:
        action()
    finally:
        WATCHING.clear()
    return [path for path in WATCHED if path.endswith(".json")]


WATCHED: list[str] = []
WATCHING: list[bool] = []


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if WATCHING and event == "open":
        WATCHED.append(str(arguments[0]))


sys.addaudithook(_watch)


def test_unchanged_files_are_not_opened_again(tmp_path: Path) -> None:
    put(tmp_path, *(f"data/{number}.json" for number in range(50)))
    settle()
    each = wanted("data/*.json")

    def once() -> dict[str, Desired]:
        known = Fingerprints(tmp_path / "state" / "dev.fingerprints")
        known.load()
        found = survey(tmp_path, [each], [], known)
        result = fingerprinted([each], found, known)
        known.save()
        return result

    first = once()
    assert opened(once) == []
    put(tmp_path, "data/7.json", data=LINE * 2)
    settle()
    assert {os.path.basename(path) for path in opened(once)} == {"7.json"}  # noqa: PTH119
    assert once()[ADDRESS].content != first[ADDRESS].content
    (tmp_path / "state" / "dev.fingerprints").write_text('{"version": 2, "files": [3]}', encoding="utf-8")
    assert len(opened(once)) == 100
    assert len(opened(lambda: Fingerprints(tmp_path / "nothing").load())) == 0


def content_of(root: Path, each: Desired) -> tuple[File, ...]:
    """The fingerprints as one run after the other sees them."""
    known = Fingerprints(root / "cache")
    known.load()
    result = fingerprinted([each], survey(root, [each], [], known), known)[ADDRESS].content
    known.save()
    return result or ()


@pytest.mark.parametrize("how", ["in place", "renamed", "swapped"])
def test_a_change_that_keeps_size_and_mtime_is_seen(tmp_path: Path, how: str) -> None:
    put(tmp_path, "a.json", data=b'{"a": 1}\n')
    put(tmp_path, "b.json.new", data=b'{"b": 2}\n')
    settle()
    path, other, each = tmp_path / "a.json", tmp_path / "b.json.new", wanted("a.json")
    before, status = content_of(tmp_path, each), path.stat()
    assert content_of(tmp_path, each) == before
    if how == "in place":
        path.write_bytes(other.read_bytes())
    elif how == "renamed":
        other.replace(path)
    else:
        path.rename(tmp_path / "c")
        other.rename(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size
    assert content_of(tmp_path, each) == (File("a.json", 9, sha256(b'{"b": 2}\n').hexdigest()),)


def test_what_is_read_in_the_tick_of_its_last_change_is_not_remembered() -> None:
    second = 10**9
    fine, coarse = Stamp(9, second + 5, second + 5, 1), Stamp(9, second, second, 1)
    assert [fine.is_settled(second + 5 + TICK_NS + more) for more in (0, 1)] == [False, True]
    assert [coarse.is_settled(second + COARSE_NS + more) for more in (0, 1)] == [False, True]
    assert not Stamp(9, 5, second + 5, 1).is_settled(second + 6)  # set back by `touch` a moment ago
    assert not Stamp(9, 10 * second, second, 1).is_settled(9 * second)  # in the future


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "null",
        "3",
        "{" * 100_000,
        "[" * 100_000,
        '{"version": 2}',
        '{"version": 2, "files": 3}',
        '{"version": 2, "files": {"PATH": 3}}',
        '{"version": 2, "files": {"PATH": [STAMP, "abc", ""]}}',
        '{"version": 2, "files": {"PATH": [STAMP, 3, ""]}}',
        '{"version": 2, "files": {"PATH": [STAMP, "", null]}}',
        '{"version": 2, "files": {"PATH": ["a", "b", "c", "d", "SHA", ""]}}',
        '{"version": 2, "files": {"\\ud800": [STAMP, "SHA", ""], "PATH": [STAMP, "SHA"]}}',
        '{"version": 1, "files": {"PATH": [STAMP, "SHA", ""]}}',
        '{"version": 2, "files": {"PATH": [' + "9" * 5000 + ', 1, 1, 1, "SHA", ""]}}',
    ],
)
def test_a_cache_that_we_did_not_write_is_empty_and_no_failure(tmp_path: Path, text: str) -> None:
    put(tmp_path, "a.json")
    stamp = Stamp.of((tmp_path / "a.json").stat())
    numbers = f"{stamp.size}, {stamp.mtime_ns}, {stamp.ctime_ns}, {stamp.inode}"
    text = text.replace("PATH", str(tmp_path / "a.json")).replace("STAMP", numbers).replace("SHA", "0" * 64)
    (tmp_path / "cache").write_text(text, encoding="utf-8")
    assert content_of(tmp_path, wanted("a.json")) == (File("a.json", len(LINE), sha256(LINE).hexdigest()),)


@pytest.mark.parametrize("part", [9, 4, 1])
def test_a_wrong_entry_of_the_cache_fails_one_run_and_no_more(tmp_path: Path, part: int) -> None:
    put(tmp_path, "a.json")
    settle()
    each = wanted("a.json")
    right = content_of(tmp_path, each)
    cache = tmp_path / "cache"
    cache.write_text(cache.read_text(encoding="utf-8").replace(right[0].sha256, "0" * 64), encoding="utf-8")
    known = Fingerprints(cache)
    known.load()
    found = survey(tmp_path, [each], [], known)
    (file,) = fingerprinted([each], found, known)[ADDRESS].content or ()
    assert file.sha256 == "0" * 64
    content = DataFiles(found.files, known).open(ADDRESS, file)

    async def main() -> None:
        for first in range(0, file.size, part):
            async for _ in content.chunks(first, min(first + part, file.size)):
                pass

    with pytest.raises(ContentChanged):
        asyncio.run(main())
    assert content_of(tmp_path, each) == right


def test_what_was_not_looked_at_stays_remembered(tmp_path: Path) -> None:
    """A run for one target must not cost the next one the fingerprints of all others."""
    put(tmp_path, "a.json", "b.json")
    settle()
    for name in ("a.json", "b.json"):
        content_of(tmp_path, wanted(name))
    assert opened(lambda: content_of(tmp_path, wanted("*.json"))) == []


def test_a_file_that_was_written_a_moment_ago_is_not_remembered(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(LINE)
    os.utime(tmp_path / "a.json", ns=(time.time_ns() + 10**9,) * 2)
    each, known = wanted("a.json"), Fingerprints(tmp_path / "cache")
    fingerprinted([each], survey(tmp_path, [each], [], known), known)
    known.save()
    assert not (tmp_path / "cache").exists()


def read(root: Path, each: Desired, disturb: object = None, stretch: tuple[int, int] | None = None) -> bytes:
    known = Fingerprints(root / "cache")
    found = survey(root, [each], [], known)
    (file,) = fingerprinted([each], found, known)[ADDRESS].content or ()
    content = DataFiles(found.files, known).open(ADDRESS, file)
    first, stop = stretch or (0, content.size)

    async def main() -> bytes:
        chunks = []
        async for chunk in content.chunks(first, stop):
            chunks.append(chunk)
            if callable(disturb):
                disturb()
        return b"".join(chunks)

    return asyncio.run(main())


BIG = LINE * 300_000


def test_a_file_is_read_in_chunks_and_in_stretches(tmp_path: Path) -> None:
    put(tmp_path, "a.json", data=BIG)
    assert read(tmp_path, wanted("a.json")) == BIG
    assert read(tmp_path, wanted("a.json"), stretch=(5, 2_000_000)) == BIG[5:2_000_000]


@pytest.mark.parametrize("change", ["append", "rewrite", "replace", "remove"])
def test_a_file_that_changes_while_it_is_read_is_noticed_before_its_end(tmp_path: Path, change: str) -> None:
    put(tmp_path, "a.json", data=BIG)
    path = tmp_path / "a.json"

    def disturb() -> None:
        match change:
            case "append":
                with path.open("ab") as file:
                    file.write(LINE)
            case "rewrite":
                with path.open("r+b") as file:
                    file.seek(len(BIG) - 4)
                    file.write(b"2")
            case "replace":
                path.unlink()
                path.write_bytes(BIG.replace(b"1", b"2"))
            case _:
                path.write_bytes(b"")

    if change == "replace":
        assert read(tmp_path, wanted("a.json"), disturb) == BIG  # the file that was opened is still the same
    else:
        with pytest.raises(ContentChanged):
            read(tmp_path, wanted("a.json"), disturb)


def test_a_file_that_was_changed_before_it_is_opened_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "a.json")
    each, known = wanted("a.json"), Fingerprints(tmp_path / "cache")
    found = survey(tmp_path, [each], [], known)
    put(tmp_path, "a.json", data=LINE * 2)
    unready = fingerprinted([each], found, known)[ADDRESS].unready
    assert unready is not None
    assert "changed while it was read" in unready.message
    with pytest.raises(ContentChanged):
        DataFiles(found.files, known).open(ADDRESS, File("gone.json", 1, "0" * 64))


def test_a_same_sized_change_with_an_old_mtime_is_found_by_its_hash(tmp_path: Path) -> None:
    put(tmp_path, "a.json")
    stamp = (tmp_path / "a.json").stat()

    each, known = wanted("a.json"), Fingerprints(tmp_path / "cache")
    found = survey(tmp_path, [each], [], known)
    (file,) = fingerprinted([each], found, known)[ADDRESS].content or ()
    with (tmp_path / "a.json").open("r+b") as opened_file:
        opened_file.write(b'{"b')
    os.utime(tmp_path / "a.json", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))

    async def main() -> None:
        async for _ in DataFiles(found.files, known).open(ADDRESS, file).chunks(0, file.size):
            raise AssertionError("the last chunk left")

    with pytest.raises(ContentChanged):
        asyncio.run(main())
