"""A runner for the shipped workflows: their own YAML, their own shell as written, run by the bash that GitHub calls.

Ours are only: checkout (real Git), setup-python (nothing), upload-artifact (a copy), and the clock of the queue.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Any

import yaml

from tests.gitops.expressions import as_text, fill, holds
from tests.gitops.hub import REPOSITORY, git

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.gitops.hub import Hub

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


class RunnerDiedError(Exception):
    """The machine under a job is gone: not even `always()` steps run."""


@dataclass
class Job:
    """What became of one job."""

    environment: str
    status: str = "success"
    code: int = 0
    """Exit code of the first step that failed."""
    steps: dict[str, str] = field(default_factory=dict)
    """Outcome of each step by its name or action."""
    output: str = ""
    """All that the steps wrote to the log."""
    summary: str = ""


@dataclass(frozen=True)
class Happenings:
    """What else goes on while a workflow runs."""

    before: Mapping[str, Callable[[], None]] = field(default_factory=dict)
    cancel_when: Callable[[], bool] | None = None
    signals: tuple[signal.Signals, ...] = (signal.SIGINT,)
    """What the runner then sends to the process of the step, one after another: here a second apart at most."""


@dataclass
class Runner:
    """Runs workflows of a hub's repository; each job gets a machine of its own."""

    hub: Hub
    place: Path
    settings: Mapping[str, str]
    """Environment variables of every machine, as a self-hosted runner has them."""
    secrets: Mapping[str, str]
    only: frozenset[str] = frozenset({"validate", "drift", "dev", "prod"})
    """The jobs, or their environments, that matter to a test: the others are left out, to save time."""
    keeps_folders: bool = False
    """A self-hosted runner works in one folder: it keeps the checkout, and empties what is temporary."""
    runs: count[int] = field(default_factory=lambda: count(1))
    jobs: count[int] = field(default_factory=lambda: count(1))

    def plan(self, pull: Mapping[str, Any]) -> dict[str, Job]:
        """Run reconciler-plan.yml for a pull request; the jobs by environment, `validate` among them."""
        commit = str(pull["merge_commit_sha"])
        event = {"pull_request": pull, "repository": {"default_branch": "main"}}
        trusted = pull["head"]["repo"]["full_name"] == REPOSITORY
        context = self._context("pull_request", event, commit, f"{pull['number']}/merge")
        return self._run("plan", {**context, "secrets": dict(self.secrets) if trusted else {}})

    def queue(self, pull: Mapping[str, Any]) -> dict[str, Job]:
        """Run reconciler-plan.yml for a pull request in the merge queue."""
        event = {"repository": {"default_branch": "main"}}
        commit = str(pull["merge_commit_sha"])
        return self._run("plan", self._context("merge_group", event, commit, "gh-readonly-queue/main/pr-1"))

    def apply(
        self,
        commit: str,
        *,
        inputs: Mapping[str, str] | None = None,
        before: Mapping[str, Callable[[], None]] | None = None,
        cancel_when: Callable[[], bool] | None = None,
        signals: tuple[signal.Signals, ...] = (signal.SIGINT,),
        ref: str = "refs/heads/main",
    ) -> dict[str, Job]:
        """Run reconciler-apply.yml for a commit on `main`; `before` a step of that name, something else may happen.

        With `cancel_when` a person cancels the run in its step `Apply`, as soon as that is true; the process gets the
        `signals`.
        """
        name = "push" if inputs is None else "workflow_dispatch"
        context = self._context(name, {"repository": {"default_branch": "main"}}, commit, "main")
        context["github"]["ref"] = ref
        return self._run(
            "apply", {**context, "inputs": dict(inputs or {})}, Happenings(before or {}, cancel_when, signals)
        )

    def drift(self) -> dict[str, Job]:
        """Run reconciler-drift.yml."""
        git(self.hub.desk, "fetch", "--quiet", "origin", "main")
        commit = git(self.hub.desk, "rev-parse", "FETCH_HEAD")
        return self._run("drift", self._context("schedule", {"repository": {"default_branch": "main"}}, commit, "main"))

    def _context(self, name: str, event: Mapping[str, Any], commit: str, ref: str) -> dict[str, Any]:
        github = {
            "repository": REPOSITORY,
            "event_name": name,
            "event": event,
            "sha": commit,
            "ref": f"refs/{'pull' if name == 'pull_request' else 'heads'}/{ref}",
            "ref_name": ref,
            "token": "a-token",
        }
        return {"github": github, "secrets": dict(self.secrets)}

    def _run(self, name: str, context: dict[str, Any], happenings: Happenings | None = None) -> dict[str, Job]:
        number = next(self.runs)
        text = git(self.hub.desk, "show", f"{context['github']['sha']}:.github/workflows/reconciler-{name}.yml")
        workflow = yaml.safe_load(text)
        if context["github"]["event_name"] == "pull_request":
            pull = context["github"]["event"]["pull_request"]
            fork = pull["head"]["repo"]["full_name"] != REPOSITORY
            self.hub.begin_run(number, pull["head"]["sha"], fork=fork)
        context["env"] = workflow.get("env", {})
        done: dict[str, Job] = {}
        for job_name, job in workflow["jobs"].items():
            if not holds(job.get("if"), context, "success"):
                continue
            strategy = fill(job.get("strategy", {}), context)
            for environment in strategy.get("matrix", {}).get("environment", [""]):
                if (environment or job_name) not in self.only:
                    continue
                if any(each.status != "success" for each in done.values()) and strategy.get("fail-fast", True):
                    break
                context["matrix"] = {"environment": environment}
                machine = Machine(self, number, context, happenings or Happenings())
                done[environment or job_name] = machine.run(job)
        return done


class Machine:
    """One job's machine, from checkout to the last step."""

    def __init__(self, runner: Runner, number: int, context: dict[str, Any], happenings: Happenings) -> None:
        self._runner = runner
        self._number = number
        self._happenings = happenings
        self._folder = runner.place / f"machine-{'kept' if runner.keeps_folders else f'{number}-{next(runner.jobs)}'}"
        self._work, self._temp = self._folder / "work", self._folder / "temp"
        self._work.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self._temp, ignore_errors=True)
        self._temp.mkdir()
        self._context = {**context, "runner": {"temp": str(self._temp)}, "steps": {}}
        self._job = Job(context["matrix"]["environment"])

    def run(self, job: Mapping[str, Any]) -> Job:
        """Run the steps; what fails leaves only those that ask for it."""
        self._context["env"] = {**self._context["env"], **fill(job.get("env", {}), self._context)}
        try:
            for step in job["steps"]:
                self._step(step)
        except RunnerDiedError:
            self._job.status = "died"
        return self._job

    def _step(self, step: Mapping[str, Any]) -> None:
        name = step.get("name", step.get("uses", ""))
        outcome: dict[str, Any] = {"outcome": "skipped", "outputs": {}}
        self._happenings.before.get(name, lambda: None)()
        if holds(step.get("if"), self._context, self._job.status):
            environment = {**self._context["env"], **fill(step.get("env", {}), self._context)}
            code = self._use(step) if "uses" in step else self._shell(step["run"], environment, outcome["outputs"])
            outcome["outcome"] = "success" if code == 0 else "failure"
            if code != 0 and self._job.status == "success":
                cancelled = name == "Apply" and self._happenings.cancel_when is not None
                self._job.status, self._job.code = "cancelled" if cancelled else "failure", code
        self._job.steps[name] = outcome["outcome"]
        self._context["steps"][step.get("id", "")] = outcome

    def _use(self, step: Mapping[str, Any]) -> int:
        options = fill(step.get("with", {}), self._context)
        match step["uses"].partition("@")[0]:
            case "actions/checkout":
                assert options["persist-credentials"] is False
                return self._check_out()
            case "actions/setup-python":
                return 0
            case "actions/upload-artifact":
                self._runner.hub.keep_artifact(self._number, options["name"], Path(options["path"]))
                return 0
            case local if local.startswith("./"):
                return self._use_local(self._work / local / "action.yml")
            case other:
                raise ValueError(other)

    def _check_out(self) -> int:
        """As actions/checkout does by default: one commit and no history."""
        github = self._context["github"]
        if not (self._work / ".git").exists():
            git(self._work, "init", "--quiet")
            git(self._work, "remote", "add", "origin", self._runner.hub.url)
        git(self._work, "fetch", "--quiet", "--no-tags", "--depth=1", "origin", github["sha"])
        branch = ["-B", "main"] if github["ref_name"] == "main" else ["--detach"]
        git(self._work, "checkout", "--quiet", *branch, "FETCH_HEAD")
        return 0

    def _use_local(self, file: Path) -> int:
        action = yaml.safe_load(file.read_text(encoding="utf-8"))
        for step in action["runs"]["steps"]:
            code = self._use(step) if "uses" in step else self._shell(step["run"], {}, {})
            if code != 0:
                return code
        return 0

    def _shell(self, script: str, environment: Mapping[str, Any], outputs: dict[str, str]) -> int:
        """Run a `run:` block exactly as `shell: bash` does."""
        file, output, summary = (self._temp / f"_{part}" for part in ("script.sh", "output", "summary"))
        file.write_text(script, encoding="utf-8")
        output.write_text("", encoding="utf-8")
        process = subprocess.Popen(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(file)],
            cwd=self._work,
            env=self._environment(environment) | {"GITHUB_OUTPUT": str(output), "GITHUB_STEP_SUMMARY": str(summary)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if self._happenings.cancel_when is not None and "APPROVED" in environment:
            while process.poll() is None and not self._happenings.cancel_when():
                sleep(0.01)
            for number in self._happenings.signals:  # to this process alone, as GitHub's runner does
                process.send_signal(number)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(1)
        self._job.output += process.communicate(timeout=120)[0]
        if summary.exists():
            self._job.summary = summary.read_text(encoding="utf-8")
        for line in output.read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition("=")
            outputs[key] = value
        return process.returncode

    def _environment(self, own: Mapping[str, Any]) -> dict[str, str]:
        runner = self._runner
        return {
            "PATH": f"{make_tools(runner.place / 'tools')}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self._folder),
            "GIT_CONFIG_NOSYSTEM": "1",
            "RUNNER_TEMP": str(self._temp),
            "GITHUB_REPOSITORY": REPOSITORY,
            "GITHUB_SHA": self._context["github"]["sha"],
            "FAKE_HUB": str(runner.hub.folder),
            "FAKE_ROOT": str(ROOT),
            **runner.settings,
            **{name: as_text(value) for name, value in own.items()},
        }


def make_tools(folder: Path) -> Path:
    """The programs of a runner's image: our `gh`, `reconciler` from this checkout, a `python` that installs nothing."""
    if folder.exists():
        return folder
    folder.mkdir(parents=True)
    shutil.copy(HERE / "fake_gh.py", folder / "gh")
    for name, text in {
        "reconciler": f'PYTHONPATH="{ROOT}" exec "{sys.executable}" -P -m reconciler "$@"',
        "python": f'if [[ "$1 $2 $3" == "-I -m pip" ]]; then echo "${{@:4}}" >> "$0.log"\n'
        f'if [[ "$*" == */dev/stdin ]]; then cat >> "$0.log"; fi; exit; fi\n'
        f'exec "{sys.executable}" "$@"',
    }.items():
        (folder / name).write_text(f"#!/usr/bin/env bash\n{text}\n", encoding="utf-8")
        (folder / name).chmod(0o755)
    return folder
