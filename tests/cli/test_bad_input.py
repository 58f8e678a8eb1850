"""The whole list of bad input: exit 1, the place, a hint, no traceback; nothing changes on disk or in AEP."""

from __future__ import annotations

import json
import os
import socket
from typing import TYPE_CHECKING

import pytest

from tests.aep.exchange import HTML, Reply
from tests.aep.server import CLIENT_SECRET, DATASET, ORG
from tests.cli.project import PROJECT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.aep.exchange import Request
    from tests.aep.server import Aep
    from tests.cli.project import Project, Said

RUNS = (["plan"], ["plan", "--no-refresh"], ["plan", "--format", "json"], ["apply", "--auto-approve"])
"""What is tried on every project that must not get anywhere."""


def manifest(batches: str, more: str = "", id: str = DATASET) -> str:  # noqa: A002  (the field's name)
    """One dataset's manifest; its batches stand on line 3, `more` on line 4."""
    return f"dataset: loyalty\nid: {id}\nbatches: {batches}\n{more}"


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{last}'] * 9)}]\n" for last, name in zip("abcdefgh", "bcdefghi", strict=True)
)

MISTAKES: dict[str, tuple[Mapping[str, str | bytes], str, str | None]] = {
    "not YAML": ({"a.yaml": "dataset: loyalty\n  id: [\n"}, "not-yaml", "a.yaml:2:5"),
    "a list": ({"a.yaml": "- a\n"}, "wrong-type", "a.yaml:1:1"),
    "a word": ({"a.yaml": "hello\n"}, "wrong-type", "a.yaml:1:1"),
    "batches as a number": ({"a.yaml": manifest("5")}, "wrong-type", "a.yaml:3:10"),
    "a flag as a word": ({"a.yaml": manifest("{a: {multiline: maybe}}")}, "wrong-type", "a.yaml:3:26"),
    "tags as a list": ({"a.yaml": manifest("{a: {tags: [x]}}")}, "wrong-type", "a.yaml:3:21"),
    "unknown field": ({"a.yaml": manifest("{a: {formt: json}}")}, "unknown-field", "a.yaml:3:15"),
    "unknown field behind a BOM and CRLF": (
        {"a.yaml": ("\ufeff" + manifest("{a: {formt: json}}")).replace("\n", "\r\n")},
        "unknown-field",
        "a.yaml:3:15",
    ),
    "a host": ({"a.yaml": manifest("{a: }", "api_url: https://evil.example\n")}, "unknown-field", "a.yaml:4:1"),
    "duplicate key": ({"a.yaml": manifest("{a: , a: }")}, "duplicate-key", "a.yaml:3:16"),
    "duplicate dataset in two files": (
        {"a.yaml": manifest("{a: }"), "b/c.yml": manifest("{b: }")},
        "duplicate-dataset",
        "b/c.yml:1:10",
    ),
    "duplicate dataset in one file": (
        {"a.yaml": manifest("{a: }") + "---\n" + manifest("{b: }")},
        "duplicate-dataset",
        "a.yaml:5:10",
    ),
    "bad name": ({"a.yaml": manifest("{Bad Name: }")}, "bad-name", "a.yaml:3:11"),
    "terminal control in a name": ({"a.yaml": manifest('{"a\\u001b[31m": }')}, "bad-name", "a.yaml:3:11"),
    "bad key": ({"a.yaml": manifest("{a: {each: {k: ['x/y']}}}")}, "bad-key", "a.yaml:3:26"),
    "a key twice": ({"a.yaml": manifest("{a: {each: {k: [x, x]}}}")}, "repeated-key", "a.yaml:3:29"),
    "unknown environment in an id": (
        {"a.yaml": manifest("{a: }", id="{dev: x1, prd: x2}")},
        "unknown-environment",
        "a.yaml:2:15",
    ),
    "missing id": ({"a.yaml": manifest("{a: }", id="{local: x1}")}, "missing-id", "a.yaml:2:5"),
    "unknown default environment": (
        {"reconciler.yaml": PROJECT.replace("environment: dev", "environment: prod")},
        "unknown-environment",
        "reconciler.yaml:2:22",
    ),
    "range backwards": (
        {"a.yaml": manifest("{a: {each: {d: {from: 2026-02-01, to: 2026-01-01}}}}")},
        "empty-range",
        "a.yaml:3:25",
    ),
    "range of nothing": ({"a.yaml": manifest("{a: {each: {d: []}}}")}, "no-value", "a.yaml:3:25"),
    "range absurdly large": (
        {"a.yaml": manifest("{a: {each: {d: {from: 0001-01-01, to: 9999-12-31}}}}")},
        "too-many-batches",
        "a.yaml:3:11",
    ),
    "product absurdly large": (
        {
            "a.yaml": manifest(
                "{a: {each: {d: {from: 2000-01-01, to: 2003-12-31}, e: {from: 2000-01-01, to: 2003-12-31}}}}"
            )
        },
        "too-many-batches",
        "a.yaml:3:11",
    ),
    "YAML bomb": ({"a.yaml": BOMB}, "too-large", "a.yaml:5:8"),
    "deep nesting": ({"a.yaml": "[" * 500}, "too-deep", "a.yaml:1:65"),
    "a Python tag": ({"a.yaml": "!!python/object/apply:os.system [touch pwned]\n"}, "tag", "a.yaml:1:1"),
    "binary file": ({"a.yaml": bytes(range(256)) * 9}, "not-text", None),
    "not UTF-8": ({"a.yaml": "dataset: café".encode("latin-1")}, "not-utf-8", "a.yaml:1:13"),
    "moved to nowhere": (
        {"a.yaml": manifest("{a: }", "moved: [{from: loyalty/x, to: loyalty/no}]\n")},
        "undeclared-address",
        "a.yaml:4:31",
    ),
    "moved twice": (
        {"a.yaml": manifest("{a: , b: }", "moved: [{from: d/x, to: loyalty/a}, {from: d/x, to: loyalty/b}]\n")},
        "duplicate-move",
        "a.yaml:4:44",
    ),
    "moved in a circle": (
        {"a.yaml": manifest("{a: }", "moved: [{from: d/x, to: d/y}, {from: d/y, to: d/x}]\n")},
        "circular-move",
        "a.yaml:4:16",
    ),
    "imports to nowhere": (
        {"a.yaml": manifest("{a: }", "imports: [{to: loyalty/no, id: X}]\n")},
        "undeclared-address",
        "a.yaml:4:16",
    ),
    "imports twice": (
        {"a.yaml": manifest("{a: }", "imports: [{to: loyalty/a, id: X}, {to: loyalty/a, id: Y}]\n")},
        "duplicate-import",
        "a.yaml:4:40",
    ),
    "one batch imported to two": (
        {"a.yaml": manifest("{a: , b: }", "imports: [{to: loyalty/a, id: X}, {to: loyalty/b, id: X}]\n")},
        "duplicate-import",
        "a.yaml:4:55",
    ),
    "a path outside": ({"a.yaml": manifest("{a: {files: ['../../etc/passwd']}}")}, "bad-path", "a.yaml:3:23"),
    "no project file": ({"reconciler.yaml": b"", "a.yaml": manifest("{a: }")}, "", None),
    "unknown field of the project": (
        {"reconciler.yaml": PROJECT + "bacth: x\n"},
        "unknown-field",
        "reconciler.yaml:7:1",
    ),
}


def stopped(said: Said, *words: str) -> None:
    """The command line ended in an error that says these words and what to do next, and gave no result."""
    assert said.code == 1, said.text
    assert said.out == "", said.text
    assert said.err.startswith("error"), said.text
    assert "hint: " in said.err, said.text
    for word in words:
        assert word in said.err, said.text


def stops_everywhere(project: Project, *words: str, runs: tuple[list[str], ...] = RUNS) -> None:
    """Every kind of run is stopped, and no file of the project changes."""
    before = project.files()
    for arguments in runs:
        stopped(project(*arguments), *words)
    assert project.files() == before


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_a_manifest(project: Project, aep: Aep, name: str) -> None:
    files, code, place = MISTAKES[name]
    for file, content in files.items():
        project.write(f"manifests/{file}", content)
    expected = [f"error[{code}]" if code else "error[", f"--> manifests/{place}\n" if place else "manifests"]
    stops_everywhere(project, *expected, runs=(["validate"], *RUNS))
    assert not aep.requests
    found = json.loads(project("validate", "--format", "json").out)
    assert any(
        place is None or f"{each['file']}:{each['line']}:{each['column']}" == f"manifests/{place}" for each in found
    )


def test_an_unknown_field_comes_with_a_guess(project: Project) -> None:
    project.declare("{a: {formt: json}}")
    stopped(project("validate"), "`formt` is not a field of `a`", "did you mean `format`?", "^^^^^")


def test_every_mistake_of_every_file_is_told_in_one_go_in_order(project: Project) -> None:
    project.write("manifests/b.yaml", "dataset: b\nid: x\nbatches: {B: , ok: {formt: json}}\n")
    project.write("manifests/a.yaml", "dataset: a\nid: x\nbatch: {}\n")
    said = project("validate")
    stopped(said)
    places = [line for line in said.err.splitlines() if line.startswith("  --> ")]
    assert places == ["  --> manifests/a.yaml:3:1", "  --> manifests/b.yaml:3:11", "  --> manifests/b.yaml:3:21"]


def test_text_that_stays_text_in_yaml_1_2(project: Project) -> None:
    project.declare("{a: {each: {country: [no, on, 012, 2026-01-01, 1e3, null, ~x]}}}".replace(", ~x", ""))
    said = project("plan", "--no-refresh", "--format", "json")
    assert said.code == 0, said.text
    names = {each["address"] for each in json.loads(said.out)["resource_changes"]}
    assert names == {f"loyalty/a/{key}" for key in ("no", "on", "012", "2026-01-01", "1e3", "null")}


def test_a_bomb_costs_no_time(project: Project) -> None:
    project.write("manifests/a.yaml", BOMB.replace("[x,", "[" + "y" * 1000 + ","))
    project.write("manifests/b.yaml", "[" * 1_000_000)
    project.write("manifests/c.yaml", "{a: " * 100_000)
    said = project.process("validate")  # libyaml would end the process itself, by a signal
    stopped(said, "manifests/a.yaml", "manifests/b.yaml", "manifests/c.yaml")


def test_a_link_out_of_the_tree_a_dead_link_a_pipe_and_a_link_to_itself(
    project: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "x.yaml"
    outside.write_text(manifest("{a: }"), encoding="utf-8")
    folder = project.root / "manifests"
    makers: dict[str, Callable[[], object]] = {
        "file": lambda: (folder / "x.yaml").symlink_to(outside),
        "folder": lambda: (folder / "sub").symlink_to(outside.parent),
        "dead": lambda: (folder / "x.yaml").symlink_to("nowhere.yaml"),
        "itself": lambda: (folder / "x.yaml").symlink_to("x.yaml"),
        "pipe": lambda: os.mkfifo(folder / "x.yaml"),
    }
    for name, make in makers.items():
        make()
        stops_everywhere(project, "error[outside]" if name in {"file", "folder"} else "error[unreadable]")
        (folder / ("sub" if name == "folder" else "x.yaml")).unlink()
    assert project("validate").code == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(project: Project) -> None:
    project.write("manifests/x.yaml", manifest("{a: }")).chmod(0)
    stops_everywhere(project, "error[unreadable]", "Permission denied")


def test_an_unknown_environment(project: Project, aep: Aep, monkeypatch: pytest.MonkeyPatch) -> None:
    project.declare("{a: }")
    for environment in ("prd", "../dev", ""):
        said = project("--env", environment, "plan")
        if environment:
            stopped(said, f"`{environment}` is not an environment", "Environments: dev, local")
    monkeypatch.setenv("RECONCILER_ENV", "dve")
    stopped(project("plan"), "`dve` is not an environment", "did you mean `dev`?")
    assert not [each for each in aep.requests if each.method != "GET" and "token" not in each.path]


def test_a_folder_without_manifests(project: Project) -> None:
    stopped(project("--manifests", "nowhere", "plan"), "there is no folder `nowhere`", "reconciler init")


# -- the state


def headed(**changed: object) -> bytes:
    """A state file with nothing but its frame."""
    head = {"format": 1, "project": "acme-crm", "environment": "dev", "org": ORG, "sandbox": "dev", **changed}
    return (json.dumps(head) + '\n{"end": true}\n').encode()


STATES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "blank": (b"\n\n", ""),
    "not JSON": (b"hello\n", "does not begin like a state file"),
    "JSON of another kind": (b"[]\n", "does not begin like a state file"),
    "Terraform's": (b'{"version": 4, "terraform_version": "1.9.0", "resources": []}\n', ""),
    "binary": (bytes(range(256)), ""),
    "UTF-16": (headed().decode().encode("utf-16"), ""),
    "without its last line": (headed().splitlines(keepends=True)[0], "end"),
    "cut in a line": (headed()[:60], ""),
    "conflict markers": (headed().replace(b'{"end"', b'<<<<<<< HEAD\n=======\n>>>>>>> b\n{"end"'), "conflict"),
    "newer": (headed(format=3), "format 3"),
    "another project": (headed(project="other"), "`other`"),
    "another environment": (headed(environment="prod"), "`prod`"),
    "another organisation": (headed(org="F" * 24 + "@AdobeOrg"), "F" * 24),
    "another sandbox": (headed(sandbox="prod"), "`prod`"),
    "more behind its end": (headed() + headed(), ""),
}


@pytest.mark.parametrize("name", STATES)
def test_a_state_that_is_damaged_foreign_or_newer(project: Project, aep: Aep, name: str) -> None:
    content, word = STATES[name]
    project.declare("{a: }")
    project.write("state/dev.jsonl", content)
    stops_everywhere(
        project, word, "dev.jsonl", runs=(*RUNS, ["output"], ["state", "list"], ["state", "rm", "loyalty/a"])
    )
    assert not aep.changes


@pytest.mark.parametrize("field", ["address", "id"])
def test_a_state_that_holds_an_address_or_an_id_twice(project: Project, aep: Aep, field: str) -> None:
    project.declare("{a: , b: }")
    project.apply()
    first, one, two, last = project.state.read_text(encoding="utf-8").splitlines()
    value = json.loads(one)[field]
    other = {key: each for key, each in json.loads(two).items() if key != "sum"} | {field: value}
    project.state.write_text("\n".join([first, one, json.dumps(other), last, ""]), encoding="utf-8")
    aep.requests.clear()
    stops_everywhere(project, str(value))
    assert not aep.changes


def test_a_state_file_that_is_a_folder(project: Project, aep: Aep) -> None:
    project.declare("{a: }")
    (project.root / "state" / "dev.jsonl").mkdir(parents=True)
    for arguments in RUNS:
        stopped(project(*arguments), "dev.jsonl")
    assert not aep.changes


# -- who asks


CREDENTIALS: dict[str, tuple[Mapping[str, str | None], str]] = {
    "none": ({"AEP_CLIENT_ID": None, "AEP_CLIENT_SECRET": None}, "`AEP_CLIENT_ID` and `AEP_CLIENT_SECRET` are not set"),
    "half": ({"AEP_CLIENT_SECRET": None}, "`AEP_CLIENT_SECRET` is not set"),
    "an empty half": ({"AEP_CLIENT_SECRET": ""}, "`AEP_CLIENT_SECRET` is not set"),
    "a misspelt name": ({"AEP_CLIENT_SECRET": None, "AEP_CLIENT_SECERT": "x"}, "did you mean `AEP_CLIENT_SECRET`"),
    "two of them": ({"AEP_ACCESS_TOKEN": "abcd"}, "both `AEP_ACCESS_TOKEN` and `AEP_CLIENT_SECRET` are set"),
    "a token without its key": (
        {"AEP_CLIENT_ID": None, "AEP_CLIENT_SECRET": None, "AEP_ACCESS_TOKEN": "abcd"},
        "`AEP_API_KEY` is not set",
    ),
    "a secret with a line break": ({"AEP_CLIENT_SECRET": "half\nhalf"}, "`AEP_CLIENT_SECRET` holds a blank"),
    "a wrong secret": ({"AEP_CLIENT_SECRET": "wrong-secret"}, "IMS refuses the credential (401)"),
    "plain http": ({"AEP_API_URL": "http://platform.example"}, "`AEP_API_URL` is plain http"),
    "plain http for tokens": ({"AEP_IMS_URL": "http://ims.example"}, "`AEP_IMS_URL` is plain http"),
    "a host that only looks like loopback": ({"AEP_API_URL": "http://127.0.0.1.evil.example"}, "is plain http"),
    "a user in the URL": ({"AEP_API_URL": "https://user:pw@platform.example"}, "has a user"),
    "no URL": ({"AEP_API_URL": "platform.adobe.io"}, "is not a web address"),
    "another scheme": ({"AEP_API_URL": "ftp://platform.adobe.io"}, "is not a web address"),
}


@pytest.mark.parametrize("name", CREDENTIALS)
def test_missing_or_wrong_credentials(project: Project, aep: Aep, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    variables, word = CREDENTIALS[name]
    for variable, value in variables.items():
        if value is None:
            monkeypatch.delenv(variable)
        else:
            monkeypatch.setenv(variable, value)
    project.declare("{a: }")
    stops_everywhere(project, word, runs=(["plan"], ["apply", "--auto-approve"]))
    assert not [each for each in aep.requests if each.path != "/ims/token/v3"]
    for said in (project("plan"), project("-vv", "plan")):
        assert not [each for each in (CLIENT_SECRET, "wrong-secret", "half\nhalf", "pw@") if each in said.err], (
            said.text
        )
    assert project("plan", "--no-refresh").code == 0
    assert project("validate").code == 0


def gateway(status: int, code: str, message: str) -> Reply:
    """An error of the gateway, aep-api.md §2.2."""
    return Reply.of(status, {"error_code": code, "message": message})


ANSWERS: dict[str, tuple[Reply, tuple[str, ...]]] = {
    "an expired token": (gateway(401, "401013", "Oauth token is not valid"), ("401", "Oauth token is not valid")),
    "a wrong key": (gateway(403, "403003", "Api Key is invalid"), ("403", "Api Key is invalid")),
    "an organisation without a profile": (gateway(403, "403027", "User region is missing"), ("403", "403027")),
    "a sandbox that is refused": (
        Reply.of(403, {"title": "Forbidden", "detail": "no access to sandbox dev"}),
        ("403", "sandbox", "`dev`"),
    ),
    "a refusal without a word": (Reply(403), ("403",)),
    "a page in HTML": (HTML, ("HTML",)),
    "an error in HTML": (Reply(404, HTML.body, HTML.headers), ("404",)),
    "JSON of another kind": (Reply.of(200, ["a", "list"]), ()),
    "nothing": (Reply(200), ()),
    "half of an answer": (Reply(200, b'{"01ABC": {"status": "load', {"Content-Type": "application/json"}), ()),
    "a redirect elsewhere": (Reply(302, b"", {"Location": "http://evil.example/"}), ("302",)),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_aep_refuses_or_answers_what_cannot_be_read(project: Project, aep: Aep, name: str) -> None:
    reply, words = ANSWERS[name]
    project.declare("{a: }")
    aep.answer_first = lambda request: None if request.path.startswith("/ims/") else reply
    runs = [["plan"]] if reply.status == 200 else [["plan"], ["apply", "--auto-approve"]]  # 200: tried for seconds
    stops_everywhere(project, *words, runs=tuple(runs))
    assert not aep.changes
    assert not project.state.exists()


@pytest.mark.parametrize("name", ["a page in HTML", "nothing", "JSON of another kind", "a redirect elsewhere"])
def test_ims_answers_what_is_no_token(project: Project, aep: Aep, name: str) -> None:
    project.declare("{a: }")
    aep.answer_first = lambda request: ANSWERS[name][0] if request.path.startswith("/ims/") else None
    stops_everywhere(project, "token", runs=(["plan"],))
    assert not [each for each in aep.requests if not each.path.startswith("/ims/")]


def test_aep_cannot_be_reached(project: Project, aep: Aep, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        nowhere = f"http://127.0.0.1:{taken.getsockname()[1]}"
        project.declare("{a: }")
        monkeypatch.setenv("AEP_API_URL", nowhere)
        stops_everywhere(project, "`AEP_API_URL`", runs=(["plan"],))
        monkeypatch.setenv("AEP_IMS_URL", nowhere)
        stops_everywhere(project, "`AEP_IMS_URL`", runs=(["plan"], ["apply", "--auto-approve"]))
    assert not aep.changes


def test_a_create_that_is_refused_is_told_with_its_request_id_and_leaves_nothing(project: Project, aep: Aep) -> None:
    project.declare("{a: , b: }")

    def refuse(request: Request) -> Reply | None:
        refused = request.method == "POST" and "batches" in request.path
        return Reply.of(400, {"title": "no such schema"}, **{"x-request-id": "REQ-7"}) if refused else None

    aep.answer_first = refuse
    said = project("apply", "--auto-approve")
    assert said.code == 3, said.text
    assert "REQ-7" in said.out + said.err
    assert "no such schema" in said.out + said.err
    assert project.ids() == {}


def test_an_unknown_dataset_is_named_at_the_line_of_its_id(project: Project, aep: Aep) -> None:
    project.declare("{a: , b: }", dataset="{local: x, dev: 000000000000000000000000}")
    stops_everywhere(
        project,
        "error[unknown-dataset]: dataset `000000000000000000000000` does not exist in sandbox `dev`",
        "--> manifests/loyalty.yaml:2:",
        runs=(["plan"], ["apply", "--auto-approve"]),
    )
    assert not aep.changes


# -- the command line


@pytest.mark.parametrize(
    "arguments",
    [
        ["plan", "--today", "yesterday"],
        ["plan", "--today", "2026-02-30"],
        ["plan", "--parallelism", "0"],
        ["plan", "--lock-timeout", "-1"],
        ["plan", "--format", "xml"],
        ["apply", "no-such-file.json"],
        ["--color", "sometimes", "plan"],
        ["-C", "/no/such/folder", "plan"],
        ["state"],
        ["state", "nope"],
        ["schema", "nope"],
        ["show"],
        ["import", "loyalty/a"],
        ["emulator", "--port", "many"],
    ],
)
def test_what_is_no_command_line_is_exit_64_with_the_way_to_help(project: Project, arguments: list[str]) -> None:
    before = project.files()
    said = project(*arguments)
    assert said.code == 64, said.text
    assert said.out == ""
    assert "--help" in said.err
    assert project.files() == before


def test_a_global_flag_behind_the_command_is_told_where_it_goes(project: Project) -> None:
    said = project("plan", "--env", "dev")
    assert said.code == 64
    assert "`reconciler --env … COMMAND`" in said.err


def test_a_flag_that_names_nothing_is_not_taken_silently(project: Project, aep: Aep) -> None:
    project.declare("{a: }")
    stopped(project("plan", "--replace", "loyalty/nope"), "`--replace loyalty/nope` names no batch", "loyalty/a")
    stopped(project("plan", "--target", "loyalti/*"), "`--target loyalti/*`", "loyalty/a")
    for flags in (["--replace", "loyalty/nope"], ["--target", "loyalty", "--target", "nope"]):
        stopped(project("apply", "--auto-approve", *flags), "nope")
    assert project("plan", "--target", "loyalty").code == 0
    assert not aep.changes


@pytest.mark.parametrize("content", [b"", b"hello", b"[]", b"{}", b'{"format_version": "9.0"}', b"\xff\xfe\x00"])
def test_what_is_no_plan_file_is_not_applied(project: Project, aep: Aep, content: bytes) -> None:
    project.declare("{a: }")
    saved = project.write("saved.json", content)
    for arguments in (["apply", str(saved)], ["show", str(saved)]):
        said = project(*arguments)
        assert said.code in {1, 4}, said.text
        assert "hint: " in said.err
    assert not aep.changes
