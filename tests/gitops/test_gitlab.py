"""The GitLab pipeline's own shell, as written: plan, apply of that plan, the state pushed back."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from reconciler import scaffold
from tests.gitops.aep import settings_for
from tests.gitops.hub import Hub, git
from tests.gitops.runner import make_tools
from tests.gitops.team import PIPELINES, SECRETS, loyalty, recorded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.gitops.aep import Aep

pytestmark = pytest.mark.slow


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    """A repository that began with `init --ci gitlab`."""
    opened = Hub.open(tmp_path)
    scaffold.write(opened.desk, PIPELINES["gitlab"])
    (opened.desk / scaffold.EXAMPLE).unlink()
    opened.commit({}, "init")
    git(opened.desk, "push", "--quiet", "origin", "HEAD:main")
    return opened


def _run(hub: Hub, folder: Path, job: str, settings: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a job's script in a folder as GitLab does: all of it in one shell that stops at the first failure."""
    pipeline: dict[str, Any] = yaml.safe_load((folder / ".gitlab-ci.yml").read_text(encoding="utf-8"))
    script = "\n".join(["set -eo pipefail", *pipeline["default"]["before_script"], *pipeline[job]["script"]])
    tools = make_tools(folder.parent / "tools")
    environment = {
        **pipeline["variables"],
        **settings,
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder.parent),
        "GIT_CONFIG_NOSYSTEM": "1",
        "ENVIRONMENT": "dev",
        "CI_PROJECT_DIR": str(folder),
        "CI_PROJECT_URL": hub.url.removesuffix(".git"),
        "CI_DEFAULT_BRANCH": "main",
        "RECONCILER_PUSH_TOKEN": "may-push",
    }
    return subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def _check_out(hub: Hub, place: Path, commit: str) -> Path:
    """A runner's folder: some history and no branch."""
    folder = Path(tempfile.mkdtemp(dir=place)) / "builds"
    git(place, "clone", "--quiet", "--depth", "20", hub.url, str(folder))
    git(folder, "checkout", "--quiet", "--detach", commit)
    return folder


def _settings(aep: Aep) -> dict[str, str]:
    return {**SECRETS, **settings_for(aep)}


def test_a_plan_that_a_person_starts_is_applied_and_recorded(hub: Hub, aep: Aep, tmp_path: Path) -> None:
    folder = _check_out(hub, tmp_path, hub.push_main(loyalty("first", "second")))
    assert _run(hub, folder, "validate", {}).returncode == 0

    planned = _run(hub, folder, "plan", _settings(aep))
    assert planned.returncode == 0, planned.stdout + planned.stderr
    report = json.loads((folder / "report-dev.json").read_text(encoding="utf-8"))
    assert report == {"create": 2, "update": 0, "delete": 0}

    hub.push_main({"README.md": "Somebody was quicker.\n"})
    applied = _run(hub, folder, "apply", _settings(aep))

    assert applied.returncode == 0, applied.stdout + applied.stderr
    assert {address: [batch] for address, batch in recorded(hub, "dev").items()} == aep.batches("dev")
    assert hub.log()[0] == "Record the batches of dev [skip ci]"
    assert "may-push" not in applied.stdout + applied.stderr


def test_without_credentials_a_merge_request_is_planned_offline(hub: Hub, tmp_path: Path) -> None:
    folder = _check_out(hub, tmp_path, hub.push_main(loyalty("first")))

    planned = _run(hub, folder, "plan", {})

    assert planned.returncode == 0, planned.stdout + planned.stderr
    assert "1 to add" in (folder / "plan-dev.md").read_text(encoding="utf-8")


def test_an_apply_that_fails_still_fails_the_job_after_the_push(hub: Hub, aep: Aep, tmp_path: Path) -> None:
    folder = _check_out(hub, tmp_path, hub.push_main(loyalty("first")))
    assert _run(hub, folder, "plan", _settings(aep)).returncode == 0
    (folder / "manifests" / "loyalty.yaml").write_text(
        str(loyalty("another")["manifests/loyalty.yaml"]), encoding="utf-8"
    )

    refused = _run(hub, folder, "apply", _settings(aep))

    assert refused.returncode == 4, refused.stdout + refused.stderr
    assert aep.batches("dev") == {}


def test_drift_fails_the_scheduled_job(hub: Hub, aep: Aep, tmp_path: Path) -> None:
    folder = _check_out(hub, tmp_path, hub.push_main(loyalty("first")))
    for job in ("plan", "apply"):
        done = _run(hub, folder, job, _settings(aep))
        assert done.returncode == 0, done.stdout + done.stderr
    watcher = _check_out(hub, tmp_path, "origin/main")
    assert _run(hub, watcher, "drift", _settings(aep)).returncode == 0

    aep.abort("dev", recorded(hub, "dev")["loyalty/first"])
    watched = _run(hub, watcher, "drift", _settings(aep))

    assert watched.returncode == 2, watched.stdout + watched.stderr
    assert "loyalty/first" in watched.stdout
