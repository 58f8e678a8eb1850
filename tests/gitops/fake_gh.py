#!/usr/bin/env python3
"""A GitHub CLI whose GitHub is a folder: the few calls that the shipped workflows make, and no other."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

sys.path.insert(0, os.environ["FAKE_ROOT"])

from tests.gitops.hub import tick  # noqa: E402

HUB = Path(os.environ["FAKE_HUB"])
REPOSITORY = os.environ["GITHUB_REPOSITORY"]


def main(arguments: list[str]) -> int:
    """Answer one call as `gh` does; 1 for what GitHub would refuse."""
    with (HUB / "calls.log").open("a", encoding="utf-8") as log:
        log.write(json.dumps(arguments) + "\n")
    match arguments:
        case ["auth", "git-credential", *_]:
            return 0
        case ["run", "download", run, "--repo", repository, "--name", name, "--dir", folder]:
            assert repository == REPOSITORY
            shutil.copytree(HUB / "artifacts" / run / name, folder)
            return 0
        case ["api", *rest]:
            return api(rest)
        case _:
            sys.stderr.write(f"the workflows are not known to call gh {arguments}\n")
            return 1


def api(arguments: list[str]) -> int:
    """Answer `gh api`; a token is asked for, as by the real one."""
    assert os.environ["GH_TOKEN"]
    options: dict[str, str] = {}
    path = ""
    while arguments:
        word = arguments.pop(0)
        if word in {"--method", "--jq", "--field"}:
            options[word] = arguments.pop(0)
        elif word in {"--paginate", "--silent"}:
            options[word] = ""
        else:
            path = word
    found = answer(options.get("--method", "GET"), path, options.get("--field", ""))
    if "--jq" in options:
        done = subprocess.run(["jq", "-r", options["--jq"]], input=json.dumps(found), text=True, check=True, stdout=-1)
        sys.stdout.write(done.stdout)
    elif "--silent" not in options:
        sys.stdout.write(json.dumps(found))
    return 0


def answer(method: str, address: str, field: str) -> Any:
    """What the REST API answers; the folder is changed by POST and PATCH."""
    url = urlsplit(address)
    parts = url.path.removeprefix(f"repos/{REPOSITORY}/").split("/")
    match method, parts:
        case "GET", ["issues", pull, "comments"]:
            return [each for each in load("comments") if each["pull"] == pull]
        case "POST", ["issues", pull, "comments"]:
            comments = load("comments")
            new = {"id": len(comments) + 1, "pull": pull, "user": {"login": "github-actions[bot]"}, "body": body(field)}
            new["updated_at"] = tick(HUB)
            return save("comments", [*comments, new])
        case "PATCH", ["issues", "comments", number]:
            comments = load("comments")
            for each in comments:
                if str(each["id"]) == number:
                    each.update(body=body(field), updated_at=tick(HUB))
            return save("comments", comments)
        case "GET", ["issues", "comments", number]:
            return next(each for each in load("comments") if str(each["id"]) == number)
        case "GET", ["pulls", pull, "reviews"]:
            return [each for each in load("reviews") if each["pull"] == pull]
        case "GET", ["actions", "workflows", file, "runs"]:
            wanted = {key: values[0] for key, values in parse_qs(url.query).items() if key != "per_page"}
            runs = [each for each in load("runs") if each["path"] == f".github/workflows/{file}"]
            return {"workflow_runs": [each for each in runs if wanted.items() <= each.items()]}
        case "GET", ["commits", commit, "pulls"]:
            return [each for each in load("pulls") if commit in {each["merge_commit_sha"], each["head"]["sha"]}]
        case "GET", ["actions", "artifacts"]:
            name = parse_qs(url.query)["name"][0]
            return {"artifacts": [each for each in load("artifacts")[::-1] if each["name"] == name]}
        case _:
            raise SystemExit(f"no such address: {method} {address}")


def body(field: str) -> str:
    """The text of `--field body=@FILE`; GitHub takes at most 65,536 characters."""
    name, _, file = field.partition("=@")
    assert name == "body"
    text = Path(file).read_text(encoding="utf-8")
    assert 0 < len(text) <= 65_536
    return text


def load(name: str) -> Any:
    """What the folder knows of one kind."""
    file = HUB / f"{name}.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else []


def save(name: str, value: Any) -> Any:
    """Keep it, and answer with it."""
    (HUB / f"{name}.json").write_text(json.dumps(value), encoding="utf-8")
    return value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
