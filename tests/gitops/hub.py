"""A GitHub made of folders: a bare repository, pull requests, comments and artifacts; real Git does all the merging."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

REPOSITORY = "acme/batches"


def git(folder: Path, *arguments: str, tools: Path | None = None) -> str:
    """What Git prints, with the programs of `tools` in reach. Raises `CalledProcessError` when it says no."""
    environment = {
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}" if tools else os.environ["PATH"],
        "HOME": str(folder),
        "GIT_CONFIG_NOSYSTEM": "1",
        **{f"GIT_{who}_{what}": "someone@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }
    done = subprocess.run(["git", *arguments], cwd=folder, env=environment, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def tick(folder: Path) -> str:
    """The next second of this GitHub's clock."""
    clock = folder / "clock"
    second = int(clock.read_text(encoding="utf-8")) + 1 if clock.exists() else 0
    clock.write_text(str(second), encoding="utf-8")
    return f"2026-01-01T00:{second // 60:02}:{second % 60:02}Z"


@dataclass
class Hub:
    """The place where people and runners meet. `folder` is what the fake `gh` reads and writes."""

    folder: Path
    desk: Path
    """A person's clone."""
    url: str
    pulls: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def open(cls, place: Path) -> Hub:
        """A repository with one empty commit on `main`."""
        bare, folder, desk = place / "origin.git", place / "hub", place / "desk"
        folder.mkdir(parents=True)
        git(place, "init", "--quiet", "--bare", "--initial-branch=main", str(bare))
        git(bare, "config", "uploadpack.allowAnySHA1InWant", "true")
        git(place, "clone", "--quiet", str(bare), str(desk))
        git(desk, "commit", "--quiet", "--allow-empty", "--message", "begin")
        git(desk, "push", "--quiet", "origin", "HEAD:refs/heads/main")
        return cls(folder, desk, bare.as_uri())

    def commit(self, files: dict[str, str | None], message: str) -> str:
        """Commit the files (None: removed) on what is checked out at the desk."""
        for name, text in files.items():
            path = self.desk / name
            if text is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
        git(self.desk, "add", "--all")
        git(self.desk, "commit", "--quiet", "--message", message)
        return git(self.desk, "rev-parse", "HEAD")

    def push_main(self, files: dict[str, str | None]) -> str:
        """Commit to `main`, past any review."""
        self._at_main()
        commit = self.commit(files, "straight to main")
        git(self.desk, "push", "--quiet", "origin", "HEAD:refs/heads/main")
        return commit

    def open_pull(self, files: dict[str, str | None], *, fork: bool = False) -> dict[str, Any]:
        """A pull request from `main` with the files."""
        number = len(self.pulls) + 1
        self._at_main()
        git(self.desk, "checkout", "--quiet", "-B", f"change-{number}")
        head = self.commit(files, f"change {number}")
        return self._add_pull(number, head, fork=fork)

    def amend_pull(self, pull: dict[str, Any], files: dict[str, str | None]) -> None:
        """Push one more commit to a pull request."""
        git(self.desk, "checkout", "--quiet", pull["head"]["sha"])
        pull["head"]["sha"] = self.commit(files, "one more")
        self.refresh(pull)

    def open_revert(self, merged: dict[str, Any]) -> dict[str, Any]:
        """A pull request that takes another one back."""
        number = len(self.pulls) + 1
        self._at_main()
        git(self.desk, "checkout", "--quiet", "-B", f"change-{number}")
        git(self.desk, "revert", "--no-edit", "--mainline", "1", merged["merge_commit_sha"])
        return self._add_pull(number, git(self.desk, "rev-parse", "HEAD"), fork=False)

    def _add_pull(self, number: int, head: str, *, fork: bool) -> dict[str, Any]:
        pull = {
            "number": number,
            "head": {"sha": head, "repo": {"full_name": "else/batches" if fork else REPOSITORY}},
            "base": {"ref": "main", "repo": {"full_name": REPOSITORY}},
            "user": {"login": "someone"},
            "merged_at": None,
            "merge_commit_sha": None,
        }
        self.pulls.append(pull)
        self.refresh(pull)
        return pull

    def refresh(self, pull: dict[str, Any]) -> None:
        """Make `refs/pull/N/merge` anew, as GitHub does when either side moves."""
        self._at_main()
        git(self.desk, "merge", "--quiet", "--no-ff", "--no-edit", pull["head"]["sha"])
        pull["merge_commit_sha"] = git(self.desk, "rev-parse", "HEAD")
        git(self.desk, "push", "--quiet", "--force", "origin", f"HEAD:refs/pull/{pull['number']}/merge")
        self._save()

    def merge(self, pull: dict[str, Any]) -> str:
        """The merge button: the commit that `main` is at then."""
        self.refresh(pull)
        git(self.desk, "push", "--quiet", "origin", f"{pull['merge_commit_sha']}:refs/heads/main")
        pull["merged_at"] = tick(self.folder)
        self._save()
        return str(pull["merge_commit_sha"])

    def _at_main(self) -> None:
        git(self.desk, "fetch", "--quiet", "--no-tags", "origin", "refs/heads/main")
        git(self.desk, "checkout", "--quiet", "--detach", "FETCH_HEAD")

    def _save(self) -> None:
        (self.folder / "pulls.json").write_text(json.dumps(self.pulls), encoding="utf-8")

    def comments(self, pull: dict[str, Any]) -> list[str]:
        """The texts of a pull request's comments."""
        file = self.folder / "comments.json"
        found = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
        return [each["body"] for each in found if each["pull"] == str(pull["number"])]

    def approve(self, pull: dict[str, Any]) -> None:
        """A reviewer agrees to what a pull request shows now."""
        review = {"state": "APPROVED", "commit_id": pull["head"]["sha"], "submitted_at": tick(self.folder)}
        self._add("reviews", {"pull": str(pull["number"]), **review})

    def begin_run(
        self, run: int, head_sha: str, *, fork: bool, event: str = "pull_request", file: str = "plan"
    ) -> None:
        """A run of one of the workflows, or of another file."""
        ours = {"id": 1, "full_name": REPOSITORY}
        head = {"id": 2 if fork else 1}
        what = {"event": event, "path": f".github/workflows/reconciler-{file}.yml", "head_sha": head_sha}
        self._add("runs", {"id": run, **what, "repository": ours, "head_repository": head})

    def _add(self, name: str, entry: dict[str, Any]) -> None:
        file = self.folder / f"{name}.json"
        known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
        file.write_text(json.dumps([*known, entry]), encoding="utf-8")

    def keep_artifact(self, run: int, name: str, file: Path) -> None:
        """What actions/upload-artifact does."""
        target = self.folder / "artifacts" / str(run) / name
        target.mkdir(parents=True, exist_ok=True)
        (target / file.name).write_bytes(file.read_bytes())

    def on_main(self, name: str) -> str:
        """A file as it is on `main` now."""
        git(self.desk, "fetch", "--quiet", "--no-tags", "origin", "refs/heads/main")
        return git(self.desk, "show", f"FETCH_HEAD:{name}")

    def log(self) -> list[str]:
        """The subjects of `main`, newest first."""
        git(self.desk, "fetch", "--quiet", "--no-tags", "origin", "refs/heads/main")
        return git(self.desk, "log", "--format=%s", "FETCH_HEAD").splitlines()
