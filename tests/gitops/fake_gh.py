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

from tests.gitops.hub import tick

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
            kept = HUB / "artifacts" / run / name
            if not kept.exists():
                sys.stderr.write("no valid artifacts found to download\n")
                return 1
            shutil.copytree(kept, folder)
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
    method = options.get("--method", "GET")
    found = answer(path) if method == "GET" else change(method, path, body(options["--field"]))
    if "--jq" in options:
        done = subprocess.run(["jq", "-r", options["--jq"]], input=json.dumps(found), text=True, check=True, stdout=-1)
        sys.stdout.write(done.stdout)
    elif "--silent" not in options:
        sys.stdout.write(json.dumps(found))
    return 0


def answer(address: str) -> Any:
    """What the REST API answers to a GET."""
    url = urlsplit(address)
    query = {key: values[0] for key, values in parse_qs(url.query).items() if key != "per_page"}
    found: Any
    match url.path.removeprefix(f"repos/{REPOSITORY}/").split("/"):
        case ["issues", "comments", number]:
            found = next(each for each in load("comments") if str(each["id"]) == number)
        case ["issues", pull, "comments"]:
            found = [each for each in load("comments") if each["pull"] == pull]
        case ["pulls", pull, "reviews"]:
            found = [each for each in load("reviews") if each["pull"] == pull]
        case ["commits", commit, "pulls"]:
            found = [each for each in load("pulls") if commit in {each["merge_commit_sha"], each["head"]["sha"]}]
        case ["actions", "workflows", file, "runs"]:
            runs = [each for each in load("runs") if each["path"] == f".github/workflows/{file}"]
            found = {"workflow_runs": [each for each in runs[::-1] if query.items() <= each.items()]}
        case _:
            raise SystemExit(f"no such address: {address}")
    return found


def change(method: str, address: str, text: str) -> Any:
    """Write a comment, or another text into one."""
    comments = load("comments")
    match method, address.removeprefix(f"repos/{REPOSITORY}/").split("/"):
        case "POST", ["issues", pull, "comments"]:
            by = {"user": {"login": "github-actions[bot]"}, "updated_at": tick(HUB)}
            comments.append({"id": len(comments) + 1, "pull": pull, "body": text, **by})
        case "PATCH", ["issues", "comments", number]:
            (found,) = (each for each in comments if str(each["id"]) == number)
            found.update(body=text, updated_at=tick(HUB))
        case _:
            raise SystemExit(f"no such address: {method} {address}")
    return save("comments", comments)


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
