"""What a shell can do to a command line: closed and full streams, odd numbers, empty words, folders that are gone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.aep.server import DATASET
from tests.cli.project import Said, clean_environment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.aep.server import Aep
    from tests.cli.project import Project

ME = f"{sys.executable} -m reconciler"
posix = pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")


def shell(line: str, folder: Path, env: Mapping[str, str] | None = None) -> Said:
    """Run a line of `sh` with `$ME` for the command."""
    ended = subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=clean_environment({"ME": ME, **(env or {})}),
    )
    said = Said(ended.returncode, ended.stdout, ended.stderr)
    for word in ("Traceback", "Exception ignored", 'File "'):
        assert word not in said.out + said.err, said.text
    return said


@pytest.fixture
def local(project: Project) -> Project:
    """A project on the embedded emulator."""
    project.write("manifests/reconciler.yaml", "project: p\nenvironments: {local: {emulator: true}}\n")
    project.declare("{a: }")
    return project


# -- streams


@posix
@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("$ME apply <&-", 1),
        ("$ME apply <&- >&- 2>&-", 1),
        ("$ME apply </dev/null", 1),
        ("$ME apply --auto-approve >&-", 0),
        ("$ME apply --auto-approve <&- >&- 2>&-", 0),
        ("$ME plan >&-", 0),
        ("$ME plan --no-refresh >/dev/full", 1),
        ("$ME plan --no-refresh --detailed-exitcode >/dev/full", 1),
        ("$ME plan --no-refresh 2>&-", 0),
        ("$ME nonsense 2>&-", 64),
        ("$ME nonsense 2>/dev/full", 64),
        ("$ME state show no/thing 2>/dev/full", 1),
        ("env -u PYTHONUNBUFFERED $ME --help >/dev/full", 1),
        ("$ME plan --help >&-", 0),
        ("env -u PYTHONUNBUFFERED $ME --version >/dev/full", 1),
        ("$ME --version >&-", 0),
        ("$ME schema state >/dev/full", 1),
        ("$ME --help | true; exit ${PIPESTATUS[0]}", 0),
        ("$ME schema manifest | true; exit ${PIPESTATUS[0]}", 0),
        ("$ME plan --no-refresh --format json | head -1 >/dev/null; exit ${PIPESTATUS[0]}", 0),
    ],
)
def test_streams_that_are_closed_or_full(local: Project, line: str, code: int) -> None:
    said = shell(line, local.root)
    assert said.code == code, said.text
    if "/dev/full" in line and "2>" not in line:
        assert "error: the output could not be written: No space left on device" in said.err


@posix
def test_a_folder_that_was_removed(tmp_path: Path, local: Project) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    said = shell(f"cd {gone} && rmdir {gone} && $ME plan --no-refresh", tmp_path)
    assert said.code == 1, said.text
    assert "hint: go to a folder that exists" in said.err
    gone.mkdir()
    said = shell(f"cd {gone} && rmdir {gone} && $ME -C {local.root} plan --no-refresh", tmp_path)
    assert said.code == 0, said.text


@posix
@pytest.mark.parametrize("target", ["", "2>/dev/full", "2>&-"])
def test_a_defect_is_told_without_a_place_for_its_report(tmp_path: Path, target: str) -> None:
    script = tmp_path / "crash.py"
    script.write_text(
        "import sys, tempfile\n"
        "from reconciler import cli\n"
        "def refuse(*_, **__): raise OSError(30, 'Read-only file system')\n"
        "tempfile.NamedTemporaryFile = refuse\n"
        "def broken(_arguments): raise RuntimeError('password')\n"
        "cli.run = broken\n"
        "cli.main([])\n",
        encoding="utf-8",
    )
    said = shell(f"{sys.executable} crash.py {target}", tmp_path)
    assert said.code == 1, said.text
    if not target:
        assert "error: internal error (RuntimeError)" in said.err
        assert "crash.py:5 broken" in said.err
        assert "password" not in said.err


# -- colours


@pytest.mark.parametrize(
    ("env", "coloured"),
    [
        ({}, True),
        ({"NO_COLOR": ""}, True),
        ({"NO_COLOR": "1"}, False),
        ({"NO_COLOR": "0"}, False),
        ({"TERM": "dumb"}, False),
        ({"TERM": ""}, True),
    ],
)
def test_colours_follow_their_conventions(
    project: Project, monkeypatch: pytest.MonkeyPatch, env: dict[str, str], coloured: bool
) -> None:
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    from reconciler.cli.console import open_console

    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert open_console("auto", 0).color is coloured
    assert open_console("always", 0).color
    assert not open_console("never", 0).color
    assert ("\x1b" in project("--color", "always", "state", "show", "no/thing").err) is True
    assert "\x1b" not in project("--color", "never", "state", "show", "no/thing").err


# -- numbers and dates

NUMBERS = (
    "nan",
    "inf",
    "-inf",
    "1e999",
    "1e9",
    "-1",
    "1_000",
    "\u0661\u0662",
    "",
    " ",
    "0x10",
    "9" * 400,
    "1,5",
    "1.5.2",
)


@pytest.mark.parametrize(
    ("command", "option", "good"),
    [
        ("plan", "--lock-timeout", "0"),
        ("apply", "--lock-timeout", "1.5"),
        ("plan", "--settle-timeout", "0"),
        ("plan", "--parallelism", "256"),
        ("apply", "--rate", "1"),
        ("apply", "--part-size", "1"),
        ("state check", "--settle-timeout", "2."),
        ("state rebuild", "--settle-timeout", "0.25"),
        ("emulator", "--port", "70000"),
    ],
)
def test_numbers_are_plain_and_within_bounds(project: Project, command: str, option: str, good: str) -> None:
    for number in NUMBERS:
        said = project(*command.split(), option, number)
        assert said.code == 64, (number, said.text)
        assert option in said.err
    said = project(*command.split(), option, good)
    assert (said.code == 64) is (option == "--port"), said.text


@pytest.mark.parametrize(
    ("command", "option", "number"),
    [
        ("plan", "--parallelism", "0"),
        ("plan", "--parallelism", "1.5"),
        ("apply", "--rate", "0"),
        ("apply", "--rate", "9" * 9),
    ],
)
def test_numbers_out_of_bounds(project: Project, command: str, option: str, number: str) -> None:
    assert project(command, option, number).code == 64


def test_a_number_in_a_variable_is_read_alike(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.declare("{a: }")
    for number in ("nan", "inf", "1_000"):
        monkeypatch.setenv("RECONCILER_SETTLE_TIMEOUT", number)
        assert project("plan", "--no-refresh").code == 64
    monkeypatch.setenv("RECONCILER_SETTLE_TIMEOUT", "")
    assert project("plan", "--no-refresh").code == 0


@pytest.mark.parametrize(
    "date", ["", "today", "2026-1-5", "2026-02-30", "\uff12\uff10\uff12\uff16-01-01", "0000-01-01", "2026-01-01T00"]
)
def test_a_day_is_a_day(project: Project, date: str) -> None:
    assert project("plan", "--no-refresh", "--today", date).code == 64


@pytest.mark.parametrize("date", ["0001-01-01", "9999-12-31"])
@pytest.mark.parametrize("span", ["{from: today-30d, to: today}", "{from: today, to: today+30d}"])
def test_the_ends_of_the_calendar_are_no_defect(project: Project, date: str, span: str) -> None:
    project.declare(f"{{a: {{each: {{day: {span}}}}}}}")
    assert project("plan", "--no-refresh", "--today", date).code in {0, 1, 4}


# -- empty words

EMPTY = (
    ["--env", "", "plan"],
    ["--env", " ", "plan"],
    ["--state", "", "plan"],
    ["--manifests", "", "plan"],
    ["plan", "--out", ""],
    ["plan", "--markdown", ""],
    ["plan", "--target", ""],
    ["plan", "--replace", ""],
    ["apply", "--approved", ""],
    ["apply", ""],
    ["apply", "--markdown", ""],
    ["show", ""],
    ["output", ""],
    ["import", "", ""],
    ["import", "--discover", ""],
    ["import", "--discover", "x", "--as", ""],
    ["state", "list", ""],
    ["state", "show", ""],
    ["state", "mv", "", "a/b"],
    ["state", "mv", "a/b", ""],
    ["state", "rm", ""],
    ["state", "merge", "", "a", "b"],
    ["emulator", "--data", ""],
    ["emulator", "--faults", ""],
    ["emulator", "--dataset", ""],
)


@pytest.mark.parametrize("arguments", EMPTY, ids=" ".join)
def test_an_empty_word_is_a_usage_error_and_never_a_default(project: Project, aep: Aep, arguments: list[str]) -> None:
    project.declare("{a: }")
    before = project.files()
    said = project(*arguments)
    assert said.code == 64, said.text
    assert "is empty" in said.err
    assert project.files() == before
    assert not aep.changes


def test_an_empty_folder_is_a_usage_error(project: Project) -> None:
    from reconciler.cli import run

    assert run(["-C", "", "schema"]) == 64
    assert run(["-C", str(project.root / "none"), "schema"]) == 64


def test_an_empty_variable_counts_as_not_set(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.declare("{a: }")
    monkeypatch.setenv("RECONCILER_ENV", "")
    assert "acme-crm in dev" in project("plan", "--no-refresh").out
    monkeypatch.setenv("RECONCILER_ENV", "local")
    assert "acme-crm in local" in project("plan", "--no-refresh").out
    assert "acme-crm in dev" in project("--env", "dev", "plan", "--no-refresh").out


# -- one folder at a time


@pytest.fixture
def elsewhere(project: Project, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the commands are started: another folder, with traps of the same names."""
    folder = tmp_path_factory.mktemp("elsewhere")
    for name in ("my.jsonl", "plan.out", "plan.md", "data.db", "faults.json", "manifests", "declared"):
        (folder / name).mkdir()
    monkeypatch.chdir(folder)
    project.declare("{a: }")
    return folder


def test_every_relative_path_is_relative_to_the_folder_of_the_project(
    project: Project, aep: Aep, elsewhere: Path
) -> None:
    (project.root / "manifests").rename(project.root / "declared")
    common = ["--state", "my.jsonl", "--manifests", "declared"]
    assert project(*common, "plan", "--out", "plan.out", "--markdown", "plan.md").code == 0
    assert project("show", "plan.out").code == 0
    said = project(*common, "apply", "plan.out", "--markdown", "account.md")
    assert said.code == 0, said.text
    assert len(aep.batches) == 1
    for name in ("my.jsonl", "plan.out", "plan.md", "account.md"):
        assert (project.root / name).is_file(), name
    assert not any(each.is_file() for each in elsewhere.rglob("*"))
    assert Path.cwd() == elsewhere
    (project.root / "base").write_bytes(b"")
    (project.root / "theirs").write_bytes((project.root / "my.jsonl").read_bytes())
    assert project("state", "merge", "base", "my.jsonl", "theirs").code == 0


def test_a_relative_folder_of_the_project(project: Project, aep: Aep, elsewhere: Path) -> None:
    from reconciler.cli import run

    where = os.path.relpath(project.root, elsewhere)
    assert run(["-C", where, "apply", "--auto-approve"]) == 0
    assert project.state.is_file()
    assert len(aep.batches) == 1


def test_init_writes_into_the_folder_of_the_project(tmp_path: Path, project: Project, elsewhere: Path) -> None:
    from reconciler.cli import run

    new = tmp_path / "new"
    new.mkdir()
    assert run(["-C", str(new), "init"]) == 0
    assert (new / "manifests" / "reconciler.yaml").is_file()
    assert not any(each.is_file() for each in elsewhere.rglob("*"))
    assert project.root.is_dir()


# -- annotations


@pytest.mark.parametrize(
    ("git", "runner", "shown"),
    [
        ("", "", "crm/eu/manifests/loyalty.yaml"),
        ("", None, "crm/eu/manifests/loyalty.yaml"),
        (None, "", "crm/eu/manifests/loyalty.yaml"),
        ("crm", "", "eu/manifests/loyalty.yaml"),
        ("..", "", "crm/eu/manifests/loyalty.yaml"),
        ("", "/nowhere", "crm/eu/manifests/loyalty.yaml"),
        (None, None, "manifests/loyalty.yaml"),
        ("crm/eu", "", "manifests/loyalty.yaml"),
    ],
)
@pytest.mark.parametrize("by", ["-C", "cwd"])
def test_annotations_name_files_from_the_top_of_the_repository(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    git: str | None,
    runner: str | None,
    shown: str,
    by: str,
) -> None:
    from reconciler.cli import run

    top = tmp_path / "work"
    root = top / "crm" / "eu"
    (root / "manifests").mkdir(parents=True)
    (root / "manifests" / "reconciler.yaml").write_text("project: p\nenvironments: {local: {emulator: true}}\n")
    (root / "manifests" / "loyalty.yaml").write_text(f"dataset: loyalty\nid: {DATASET}\nbatches: 5\n")
    if git is not None:
        (top / git / ".git").mkdir()
    monkeypatch.delenv("GITHUB_WORKSPACE", raising=False)
    if runner is not None:
        monkeypatch.setenv("GITHUB_WORKSPACE", str(top / runner))
    monkeypatch.chdir(tmp_path if by == "-C" else root)
    assert run([*(["-C", str(root)] if by == "-C" else []), "validate", "--format", "github"]) == 1
    assert f"::error file={shown},line=3," in capsys.readouterr().out


# -- the emulator's own files


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"garbage" * 100, "holds no data of an emulator"),
        (None, "cannot use `"),
        ("folder", "is a directory"),
        ("pipe", "it is not a file"),
        ("link", "links are not followed"),
    ],
)
def test_data_that_the_emulator_cannot_use(project: Project, content: bytes | str | None, said: str) -> None:
    path = project.root / "data" / "x.db"
    if content is not None:
        path.parent.mkdir()
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "link":
        path.symlink_to(project.root / "elsewhere")
    elif content is not None:
        path.mkdir() if content == "folder" else os.mkfifo(path)
    found = project("emulator", "--port", "0", "--data", "data/x.db")
    assert not (project.root / "elsewhere").exists()
    assert found.code in {1, 64}, found.text
    assert said in found.err
    assert "port" not in found.err


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"{", b"[]", b"[" * 100_000, b'{"rules": 5}', b" " * 2_000_000, "pipe"]
)
def test_faults_that_are_none(project: Project, content: bytes | str) -> None:
    path = project.root / "faults.json"
    os.mkfifo(path) if isinstance(content, str) else path.write_bytes(content)
    found = project("emulator", "--port", "0", "--faults", "faults.json")
    assert found.code == 1, found.text
    assert "faults.json" in found.err
    assert "hint: " in found.err


def test_the_stream_of_an_apply_counts_drift(project: Project, aep: Aep) -> None:
    project.declare("{a: , b: }")
    project.apply()
    aep.become(next(iter(aep.batches)), status="failed", metrics={"failureReason": "guardrails hit: too many files"})
    said = project("apply", "--auto-approve", "--format", "json")
    events = [json.loads(line) for line in said.out.splitlines()]
    (drift,) = [each for each in events if each["type"] == "resource_drift"]
    assert drift["errors"] == ["guardrails hit: too many files"]
    (planned,) = [e for e in events if e["type"] == "change_summary" and e["changes"]["operation"] == "plan"]
    assert planned["changes"]["drift"] == 1
    assert planned["@message"] == "No changes. To look at: 1 failed."
    for arguments in (["plan"], ["plan", "--format", "markdown"], ["state", "check"]):
        assert "guardrails hit: too many files" in project(*arguments).out
    failed = next(address for address, batch in project.ids().items() if batch == next(iter(aep.batches)))
    assert "error: guardrails hit: too many files" in project("state", "show", failed).out
    account = project.root / "account.md"
    assert project("apply", "--auto-approve", "--markdown", "account.md").code == 0
    assert account.read_text(encoding="utf-8") == "No changes. To look at: 1 failed.\n"
