"""Which files are manifests; those that cannot be read are reported, and nothing outside is read."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from reconciler.core.manifests.source import Source
from reconciler.files.manifests import MAX_FILE, read_sources

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.core.diagnostics import Diagnostic

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX links, pipes and permissions")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "manifests").mkdir(parents=True)
    return folder


def write(root: Path, name: str, content: str | bytes = "a: 1\n") -> Path:
    path = root / "manifests" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def files(root: Path) -> list[str]:
    sources, found = read_sources(root, root / "manifests")
    assert found == ()
    return [source.file for source in sources]


def refused(root: Path) -> Diagnostic:
    _, found = read_sources(root, root / "manifests")
    assert len(found) == 1
    assert found[0].hint
    return found[0]


def test_every_yaml_file_below_the_folder_sorted(root: Path) -> None:
    for name in (
        "b.yml",
        "a/z.yaml",
        "reconciler.yaml",
        "A.YAML",
        "notes.txt",
        ".hidden.yaml",
        ".git/x.yaml",
        "a.yaml.bak",
    ):
        write(root, name)
    names = ["A.YAML", "a/z.yaml", "b.yml", "reconciler.yaml"]
    assert files(root) == [f"manifests/{name}" for name in names]


def test_a_byte_order_mark_is_left_to_the_parser_that_knows_where_one_may_stand(root: Path) -> None:
    write(root, "a.yaml", b"\xef\xbb\xbfa: \xc3\xa9\r\n")
    sources, _ = read_sources(root, root / "manifests")
    assert sources == (Source("manifests/a.yaml", "\ufeffa: é\r\n"),)


def test_an_empty_folder_has_no_manifests(root: Path) -> None:
    assert files(root) == []


def test_a_folder_may_be_named_like_a_file(root: Path) -> None:
    write(root, "x.yaml/a.yaml")
    assert files(root) == ["manifests/x.yaml/a.yaml"]


def test_a_missing_folder(tmp_path: Path) -> None:
    assert refused(tmp_path).code == "no-manifests"


def test_the_project_file_stands_directly_in_the_folder(root: Path) -> None:
    write(root, "sub/reconciler.yaml")
    found = refused(root)
    assert found.code == "nested-project-file"
    assert found.message == "`manifests/sub/reconciler.yaml` has the name of the project file"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"a\0b", "not-text"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "lfs-pointer"),
        (b"\xff\xfea\0", "not-utf-8"),
        (b"a: \xe9\n", "not-utf-8"),
        (b"#" * (MAX_FILE + 1), "too-large"),
    ],
)
def test_what_is_no_text(root: Path, content: bytes, code: str) -> None:
    write(root, "bad.yaml", content)
    write(root, "good.yaml")
    sources, found = read_sources(root, root / "manifests")
    assert [each.code for each in found] == [code]
    assert "`manifests/bad.yaml`" in found[0].message
    assert [source.file for source in sources] == ["manifests/good.yaml"]


@pytest.mark.parametrize(
    ("content", "line", "column"),
    [
        (b"\xff", 1, 1),
        (b"a: 1\nb: \xe9t\xe9\nc: 2\n", 2, 4),
        ("é: ".encode() + b"\xe9", 1, 4),
        (b"\xef\xbb\xbfa\r\n\xff", 2, 1),
    ],
)
def test_the_first_byte_that_is_not_utf_8_has_a_place(root: Path, content: bytes, line: int, column: int) -> None:
    write(root, "bad.yaml", content)
    span = refused(root).span
    assert span is not None
    assert (span.line, span.column, span.end_column) == (line, column, column + 1)
    assert span.text[column - 1] == "\N{REPLACEMENT CHARACTER}"


@posix
def test_links_within_the_project_are_followed(root: Path) -> None:
    shared = root / "shared"
    shared.mkdir()
    (shared / "s.yaml").write_text("a: 1\n")
    (root / "manifests" / "linked").symlink_to(shared)
    (root / "manifests" / "file.yaml").symlink_to(shared / "s.yaml")
    assert files(root) == ["manifests/file.yaml", "manifests/linked/s.yaml"]


@posix
def test_links_into_the_folder_itself_are_not_read_twice(root: Path) -> None:
    write(root, "a/x.yaml")
    (root / "manifests" / "a" / "loop").symlink_to(root / "manifests")
    (root / "manifests" / "again").symlink_to(root / "manifests" / "a")
    assert files(root) == ["manifests/a/x.yaml"]


@posix
def test_a_loop_beside_the_folder_ends(root: Path) -> None:
    (root / "one").mkdir()
    (root / "two").mkdir()
    (root / "one" / "x.yaml").write_text("a: 1\n")
    (root / "one" / "next").symlink_to(root / "two")
    (root / "two" / "next").symlink_to(root / "one")
    (root / "manifests" / "start").symlink_to(root / "one")
    assert files(root) == ["manifests/start/x.yaml"]


@posix
@pytest.mark.parametrize("target", ["outside", "outside/secret.yaml"])
def test_links_out_of_the_project_are_refused(root: Path, target: str) -> None:
    outside = root.parent / "outside"
    outside.mkdir()
    (outside / "secret.yaml").write_text("a: 1\n")
    (root / "manifests" / "x.yaml").symlink_to(root.parent / target)
    found = refused(root)
    assert found.code == "outside"
    assert "`manifests/x.yaml`" in found.message


@posix
def test_the_folder_itself_must_be_in_the_project(root: Path) -> None:
    (root / "linked").symlink_to(root.parent)
    _, found = read_sources(root, root / "linked")
    assert [each.code for each in found] == ["outside"]


@posix
@pytest.mark.parametrize("target", ["nowhere.yaml", "self.yaml"])
def test_links_to_nowhere_are_reported(root: Path, target: str) -> None:
    (root / "manifests" / "self.yaml").symlink_to(root / "manifests" / target)
    assert refused(root).code == "unreadable"


@posix
def test_a_pipe_does_not_make_it_wait(root: Path) -> None:
    os.mkfifo(root / "manifests" / "pipe.yaml")
    found = refused(root)
    assert (found.code, "not a file" in found.message) == ("unreadable", True)


@posix
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_reported(root: Path) -> None:
    write(root, "closed.yaml").chmod(0)
    assert refused(root).code == "unreadable"


@posix
def test_names_are_shown_printable(root: Path) -> None:
    write(root, "a\x1b[31m\n.yaml")
    (root / "manifests" / os.fsdecode(b"b\xff.yaml")).write_text("a: 1\n")
    assert files(root) == ["manifests/a\\x1b[31m\\n.yaml", "manifests/b\N{REPLACEMENT CHARACTER}.yaml"]


@posix
def test_a_relative_folder_is_shown_like_an_absolute_one(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(root, "a.yaml")
    monkeypatch.chdir(root)
    relative = type(root)("manifests")
    assert [source.file for source in read_sources(type(root)(), relative)[0]] == ["manifests/a.yaml"]
