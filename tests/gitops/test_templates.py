"""The shipped pipelines, held against the rules that keep them safe, and against linters where those are installed."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from reconciler import scaffold
from tests.gitops.expressions import evaluate
from tests.gitops.runner import ROOT
from tests.gitops.team import PIPELINES

if TYPE_CHECKING:
    from collections.abc import Iterator

WORKFLOWS = ["apply", "drift", "plan"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    scaffold.write(root, PIPELINES["github"])
    scaffold.write(root, PIPELINES["gitlab"])
    return root


def _workflow(project: Path, name: str) -> dict[str, Any]:
    text = (project / ".github" / "workflows" / f"reconciler-{name}.yml").read_text(encoding="utf-8")
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


def _steps(project: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for name in WORKFLOWS:
        for job in _workflow(project, name)["jobs"].values():
            for step in job["steps"]:
                yield name, step
    action = yaml.safe_load((project / ".github/actions/reconciler/action.yml").read_text(encoding="utf-8"))
    for step in action["runs"]["steps"]:
        yield "action", step


def _scripts(project: Path) -> Iterator[str]:
    yield from (step["run"] for _, step in _steps(project) if "run" in step)
    pipeline = yaml.safe_load((project / ".gitlab-ci.yml").read_text(encoding="utf-8"))
    yield "\n".join(pipeline["default"]["before_script"])
    yield from ("\n".join(job["script"]) for job in pipeline.values() if isinstance(job, dict) and "script" in job)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_permissions_are_nothing_at_the_top_and_named_in_each_job(project: Path, name: str) -> None:
    workflow = _workflow(project, name)

    assert workflow["permissions"] == {}
    assert all("permissions" in job for job in workflow["jobs"].values())


def test_only_two_jobs_may_write_and_only_what_they_write(project: Path) -> None:
    writes = {
        (name, job_name, what)
        for name in WORKFLOWS
        for job_name, job in _workflow(project, name)["jobs"].items()
        for what, level in job["permissions"].items()
        if level == "write"
    }

    assert writes == {("plan", "plan", "pull-requests"), ("apply", "apply", "contents")}


@pytest.mark.parametrize("name", WORKFLOWS)
def test_each_job_ends_by_itself(project: Path, name: str) -> None:
    assert all(job["timeout-minutes"] <= 90 for job in _workflow(project, name)["jobs"].values())


def test_actions_are_pinned_by_hash_and_say_their_version(project: Path) -> None:
    for path in (project / ".github").rglob("*.yml"):
        for line in path.read_text(encoding="utf-8").splitlines():
            if "uses:" in line and "./.github/" not in line:
                assert re.search(r"uses: actions/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line


def test_no_expression_is_spliced_into_shell(project: Path) -> None:
    assert [step["run"] for _, step in _steps(project) if "${{" in step.get("run", "")] == []


def test_no_checkout_leaves_a_token_behind(project: Path) -> None:
    checkouts = [step for _, step in _steps(project) if "actions/checkout" in step.get("uses", "")]

    assert len(checkouts) == 4
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_secrets_are_given_to_steps_and_to_no_job_or_action(project: Path) -> None:
    for name in WORKFLOWS:
        for job in _workflow(project, name)["jobs"].values():
            assert "secrets." not in str(job.get("env", {}))
    assert all("secrets." not in str(step.get("with", {})) for _, step in _steps(project))


def test_pull_requests_are_planned_without_the_rights_of_the_base(project: Path) -> None:
    on = _workflow(project, "plan")[True]  # type: ignore[index]  # YAML 1.1 reads the key `on` as true

    assert list(on) == ["pull_request", "merge_group"]


def test_the_default_branch_is_applied_whatever_its_name_and_no_other(project: Path) -> None:
    workflow = _workflow(project, "apply")
    assert workflow[True]["push"] == {"branches": ["**"]}  # type: ignore[index]

    for ref, runs in {"heads/release/1.x": True, "heads/main": False, "tags/release/1.x": False}.items():
        github = {"ref": f"refs/{ref}", "event": {"repository": {"default_branch": "release/1.x"}}}
        assert evaluate(workflow["jobs"]["apply"]["if"], {"github": github}) is runs


def test_applies_to_one_environment_wait_for_each_other(project: Path) -> None:
    concurrency = _workflow(project, "apply")["jobs"]["apply"]["concurrency"]

    assert concurrency["cancel-in-progress"] is False
    assert concurrency["queue"] == "max"
    assert "matrix.environment" in concurrency["group"]


def test_no_registry_or_host_is_named(project: Path) -> None:
    for name in [*(project / ".github").rglob("*.yml"), project / ".gitlab-ci.yml"]:
        assert not re.search(r"https?://|\.(io|org|com)/", name.read_text(encoding="utf-8"))


def test_every_shell_block_is_shell(project: Path) -> None:
    for script in _scripts(project):
        done = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr


def test_both_pipelines_register_the_driver_that_init_registers(project: Path) -> None:
    scripts = list(_scripts(project))

    for needed in ('merge.reconciler-state.driver "reconciler state merge %O %A %B"', "merge.reconciler-state.name"):
        assert sum(needed in script for script in scripts) == 2


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("a.b == 'x' && format('--approved={0}', a.b) || 'none'", "--approved=x"),
        ("a.missing && 'yes' || 'no'", "no"),
        ("!a.missing", True),
        ("a.b != 'x' || a.c", 0),
        ("fromJSON(a.missing && format('[{0}]', toJSON(a.b)) || '[\"dev\"]')", ["dev"]),
        ("fromJSON(a.b && format('[{0}]', toJSON(a.b)) || '[\"dev\"]')", ["x"]),
        ("(a.b == 'x') && 'it''s'", "it's"),
    ],
)
def test_expressions_are_evaluated_as_documented(expression: str, value: object) -> None:
    assert evaluate(expression, {"a": {"b": "x", "c": 0}}) == value


def _tool(name: str) -> list[str]:
    """The command of a linter, of this environment or of the machine. Skips the test when it is not installed."""
    program = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if program is None:
        pytest.skip(f"`{name}` is not installed")
    return [program]


def _lint(command: list[str], project: Path) -> None:
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_zizmor_finds_nothing(project: Path) -> None:
    _lint([*_tool("zizmor"), "--offline", "--no-progress", "."], project)


def test_shellcheck_finds_nothing(project: Path, tmp_path: Path) -> None:
    tool = _tool("shellcheck")
    for number, script in enumerate(_scripts(project)):
        file = tmp_path / f"{number}.sh"
        file.write_text(f"#!/usr/bin/env bash\nset -eo pipefail\n{script}", encoding="utf-8")
        _lint([*tool, "--severity=warning", str(file)], project)


def test_actionlint_finds_nothing(project: Path) -> None:
    git = shutil.which("git") or "git"
    subprocess.run([git, "init", "--quiet"], cwd=project, check=True)
    # actionlint 1.7.12 is older than `queue` (its issue 657): the one finding that is known to be wrong.
    _lint([*_tool("actionlint"), "-ignore", 'unexpected key "queue" for "concurrency" section'], project)


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("vendor.github-workflows", [f".github/workflows/reconciler-{name}.yml" for name in WORKFLOWS]),
        ("vendor.github-actions", [".github/actions/reconciler/action.yml"]),
        ("vendor.gitlab-ci", [".gitlab-ci.yml"]),
    ],
)
def test_the_files_are_what_their_schemas_say(project: Path, schema: str, files: list[str]) -> None:
    transform = ["--data-transform", "gitlab-ci"] if schema.endswith("gitlab-ci") else []
    _lint([*_tool("check-jsonschema"), "--builtin-schema", schema, *transform, *files], project)


@pytest.mark.parametrize(("schema", "file"), [("manifest", "example.yaml"), ("project", "reconciler.yaml")])
def test_editors_find_nothing_wrong_with_the_example(project: Path, schema: str, file: str) -> None:
    _lint(
        [*_tool("check-jsonschema"), "--schemafile", f".reconciler/{schema}.schema.json", f"manifests/{file}"], project
    )


def test_the_hook_for_pre_commit_runs_validate_on_manifests() -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]

    assert hook["id"] == "reconciler-validate"
    assert hook["entry"].split() == ["reconciler", "validate"]
    assert "reconciler" in scripts
    assert hook["pass_filenames"] is False
    assert [bool(re.search(hook["files"], name)) for name in ("manifests/a/b.yml", "README.md")] == [True, False]
