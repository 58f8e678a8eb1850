"""An empty state file is a damaged one for every command: nothing that it once held is dropped silently."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.aep.server import Aep
    from tests.cli.project import Project

USES = (
    ["plan"],
    ["plan", "--no-refresh"],
    ["apply", "--auto-approve"],
    ["apply", "--auto-approve", "--destroy", "--ignore-limits"],
    ["output"],
    ["import", "loyalty/a", "01J0000000000000000000000A"],
    ["state", "list"],
    ["state", "show", "loyalty/a"],
    ["state", "mv", "loyalty/a", "loyalty/b"],
    ["state", "rm", "loyalty/a"],
    ["state", "check"],
)


@pytest.mark.parametrize("content", [b"", b"\n", b" \r\n\t\n"], ids=["no byte", "a line break", "blanks"])
def test_no_command_takes_an_empty_file_for_an_empty_state(project: Project, aep: Aep, content: bytes) -> None:
    project.declare("{a: }")
    project.write("state/dev.jsonl", content)
    for arguments in USES:
        said = project(*arguments)
        assert said.code == 1, (arguments, said.text)
        assert "is empty" in said.err, (arguments, said.text)
        assert "hint: restore the file from Git" in said.err
    assert project.state.read_bytes() == content
    assert not aep.changes


def test_an_empty_file_is_made_anew_from_catalog_only_when_asked_to(project: Project, aep: Aep) -> None:
    project.declare("{a: }")
    project.apply()
    before = project.state.read_bytes()
    project.state.write_bytes(b"")
    assert project("state", "rebuild").code == 0
    assert project.state.read_bytes() == before
    assert len(aep.batches) == 1


@pytest.fixture
def sides(project: Project, aep: Aep) -> dict[str, Path]:
    """A base with one record, our side with one more, their side with one less."""
    made: dict[str, Path] = {}
    for name, batches in (("base", "{a: }"), ("ours", "{a: , b: }")):
        project.declare(batches)
        project.apply()
        made[name] = project.write(f"{name}.jsonl", project.state.read_bytes())
    made["theirs"] = project.write("theirs.jsonl", made["base"].read_bytes())
    assert len(aep.batches) == 2
    return made


@pytest.mark.parametrize("content", [b"", b"\n"])
@pytest.mark.parametrize("side", ["ours", "theirs"])
def test_a_side_of_a_merge_that_is_empty_is_damaged(
    project: Project, sides: dict[str, Path], side: str, content: bytes
) -> None:
    sides[side].write_bytes(content)
    ours = sides["ours"].read_bytes()
    said = project("state", "merge", *(str(sides[name]) for name in ("base", "ours", "theirs")))
    assert said.code == 1, said.text
    assert f"`{side}.jsonl` is empty" in said.err
    assert sides["ours"].read_bytes() == ours


def test_a_base_of_blanks_is_damaged(project: Project, sides: dict[str, Path]) -> None:
    sides["base"].write_bytes(b"\n")
    said = project("state", "merge", *(str(sides[name]) for name in ("base", "ours", "theirs")))
    assert said.code == 1, said.text
    assert "`base.jsonl` is empty" in said.err


@pytest.mark.parametrize("is_there", [True, False])
def test_without_a_common_ancestor_each_side_keeps_what_it_has(
    project: Project, sides: dict[str, Path], is_there: bool
) -> None:
    both = sides["ours"].read_bytes()
    sides["base"].write_bytes(b"") if is_there else sides["base"].unlink()
    for ours, theirs in (("ours", "theirs"), ("theirs", "ours")):
        said = project("state", "merge", str(sides["base"]), str(sides[ours]), str(sides[theirs]))
        assert said.code == 0, said.text
        assert sides[ours].read_bytes() == both


def test_a_merge_leaves_no_half_file_and_follows_no_link(project: Project, sides: dict[str, Path]) -> None:
    link = project.root / "link.jsonl"
    link.symlink_to(sides["ours"])
    said = project("state", "merge", str(sides["base"]), str(link), str(sides["theirs"]))
    assert said.code == 1, said.text
    assert "links are not followed" in said.err
    said = project("state", "merge", str(sides["base"]), str(sides["ours"]), str(project.root / "no" / "file"))
    assert said.code == 64, said.text
    assert not list(project.root.glob(".*.tmp"))
