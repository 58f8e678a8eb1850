"""The GitLab pipeline's own shell, as written: plan, apply of that plan, the state pushed back."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from signal import SIGKILL, SIGTERM
from time import sleep
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from reconciler import scaffold
from tests.gitops.aep import hanging_at_the_fifth, settings_for
from tests.gitops.hub import Hub, git
from tests.gitops.runner import make_tools
from tests.gitops.team import LOYALTY, PIPELINES, SECRETS, loyalty, orders, recorded
from tests.gitops.test_hostile import TRAPS, plant_tags

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from signal import Signals

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


def _run(
    hub: Hub,
    folder: Path,
    job: str,
    settings: Mapping[str, str],
    cancel_when: Callable[[], bool] | None = None,
    signals: tuple[Signals, ...] = (),
) -> subprocess.CompletedProcess[str]:
    """Run a job in a folder as GitLab does: its script in one shell that stops at the first failure, then the rest.

    With `cancel_when` a person cancels it as soon as that is true, and all its processes get the `signals`.
    """
    pipeline: dict[str, Any] = yaml.safe_load((folder / ".gitlab-ci.yml").read_text(encoding="utf-8"))
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
    process = _start(folder, [*pipeline["default"]["before_script"], *pipeline[job]["script"]], environment)
    if cancel_when is not None:
        while process.poll() is None and not cancel_when():
            sleep(0.01)
        for number in signals:
            os.killpg(process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(1)
    said = process.communicate(timeout=120)[0]
    if "after_script" in pipeline[job]:
        status = "canceled" if cancel_when else "failed" if process.returncode else "success"
        after = _start(folder, pipeline[job]["after_script"], {**environment, "CI_JOB_STATUS": status})
        said += f"\n-- after_script\n{after.communicate(timeout=120)[0]}"
        assert after.returncode in {0, process.returncode}, said
    return subprocess.CompletedProcess(job, process.returncode, said)


def _start(folder: Path, lines: list[str], environment: Mapping[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["bash", "-c", "\n".join(["set -eo pipefail", *lines])],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
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
    assert planned.returncode == 0, planned.stdout
    report = json.loads((folder / "report-dev.json").read_text(encoding="utf-8"))
    assert report == {"create": 2, "update": 0, "delete": 0}

    hub.push_main({"README.md": "Somebody was quicker.\n"})
    applied = _run(hub, folder, "apply", _settings(aep))

    assert applied.returncode == 0, applied.stdout
    assert {address: [batch] for address, batch in recorded(hub, "dev").items()} == aep.batches("dev")
    assert hub.log()[0] == "Record the batches of dev [skip ci]"
    assert "may-push" not in applied.stdout


def test_without_credentials_a_merge_request_is_planned_offline(hub: Hub, tmp_path: Path) -> None:
    folder = _check_out(hub, tmp_path, hub.push_main(loyalty("first")))

    planned = _run(hub, folder, "plan", {})

    assert planned.returncode == 0, planned.stdout
    assert "1 to add" in (folder / "plan-dev.md").read_text(encoding="utf-8")


def test_an_apply_that_fails_still_fails_the_job_after_the_push(hub: Hub, aep: Aep, tmp_path: Path) -> None:
    folder = _check_out(hub, tmp_path, hub.push_main(loyalty("first")))
    assert _run(hub, folder, "plan", _settings(aep)).returncode == 0
    (folder / "manifests" / "loyalty.yaml").write_text(
        str(loyalty("another")["manifests/loyalty.yaml"]), encoding="utf-8"
    )

    refused = _run(hub, folder, "apply", _settings(aep))

    assert refused.returncode == 4, refused.stdout
    assert aep.batches("dev") == {}


def test_drift_fails_the_scheduled_job(hub: Hub, aep: Aep, tmp_path: Path) -> None:
    folder = _check_out(hub, tmp_path, hub.push_main(loyalty("first")))
    for job in ("plan", "apply"):
        done = _run(hub, folder, job, _settings(aep))
        assert done.returncode == 0, done.stdout
    watcher = _check_out(hub, tmp_path, "origin/main")
    assert _run(hub, watcher, "drift", _settings(aep)).returncode == 0

    aep.abort("dev", recorded(hub, "dev")["loyalty/first"])
    watched = _run(hub, watcher, "drift", _settings(aep))

    assert watched.returncode == 2, watched.stdout
    assert "loyalty/first" in watched.stdout


@pytest.mark.parametrize("signals", [(SIGTERM, SIGTERM), (SIGKILL,)], ids=["cancelled", "killed"])
def test_what_is_known_is_pushed_although_a_request_hangs(
    hub: Hub, tmp_path: Path, signals: tuple[Signals, ...]
) -> None:
    days = "  daily:\n    each: {day: {from: 2026-01-01, to: 2026-01-31}}\n"
    folder = _check_out(hub, tmp_path, hub.push_main({"manifests/loyalty.yaml": LOYALTY + days}))

    with hanging_at_the_fifth(tmp_path) as aep:
        assert _run(hub, folder, "plan", _settings(aep)).returncode == 0
        all_but_one = lambda: len(aep.batches("dev")) == 30  # noqa: E731
        cancelled = _run(hub, folder, "apply", _settings(aep), all_but_one, signals)
        landed = aep.batches("dev")

    assert cancelled.returncode != 0, cancelled.stdout
    assert len(landed) == 30
    assert {address: [batch] for address, batch in recorded(hub, "dev").items()} == landed, cancelled.stdout
    assert hub.log().count("Record the batches of dev [skip ci]") == 1


def test_a_tag_named_like_the_branch_is_never_taken_for_it(hub: Hub, aep: Aep, tmp_path: Path) -> None:
    folder = _check_out(hub, tmp_path, hub.push_main(loyalty("first")))
    assert _run(hub, folder, "plan", _settings(aep)).returncode == 0
    plant_tags(hub)
    git(folder, "fetch", "--quiet", "--tags", "origin")

    applied = _run(hub, folder, "apply", _settings(aep))

    assert applied.returncode == 0, applied.stdout
    assert list(recorded(hub, "dev")) == list(aep.batches("dev")) == ["loyalty/first"]
    assert "unreviewed" not in hub.log()


def test_no_file_of_the_checkout_runs(hub: Hub, aep: Aep, tmp_path: Path) -> None:
    folder = _check_out(hub, tmp_path, hub.push_main({**loyalty("first"), **TRAPS}))

    for job in ("validate", "plan", "apply", "drift"):
        done = _run(hub, folder, job, _settings(aep))
        assert done.returncode == 0, done.stdout
        assert "code of the checkout ran" not in done.stdout
    assert list(aep.batches("dev")) == ["loyalty/first"]


@pytest.mark.parametrize("name", ["plan-dev.json", "plan-dev.md", "report-dev.json", "account-dev.md"])
def test_nothing_is_written_through_a_link_of_the_checkout(hub: Hub, aep: Aep, tmp_path: Path, name: str) -> None:
    (tmp_path / "victim").write_text("mine", encoding="utf-8")
    (hub.desk / name).symlink_to(tmp_path / "victim")
    folder = _check_out(hub, tmp_path, hub.push_main(loyalty("first")))
    assert (folder / name).is_symlink()

    for job in ("plan", "apply"):
        _run(hub, folder, job, _settings(aep))

    assert (tmp_path / "victim").read_text(encoding="utf-8") == "mine"


def test_a_plan_file_in_the_repository_is_not_taken_for_the_pipelines_own(hub: Hub, aep: Aep, tmp_path: Path) -> None:
    folder = _check_out(hub, tmp_path, hub.push_main(loyalty("first")))
    assert _run(hub, folder, "plan", _settings(aep)).returncode == 0
    planned = (folder / "plan-dev.json").read_text(encoding="utf-8")
    later = _check_out(hub, tmp_path, hub.push_main({"plan-dev.json": planned}))

    refused = _run(hub, later, "apply", _settings(aep))

    assert refused.returncode == 4, refused.stdout
    assert aep.batches("dev") == {}


def test_a_plan_retried_after_a_person_looked_is_refused_with_their_digest(hub: Hub, aep: Aep, tmp_path: Path) -> None:
    folder = _check_out(hub, tmp_path, hub.push_main({**loyalty("first"), **orders("second")}))
    assert _run(hub, folder, "plan", _settings(aep)).returncode == 0
    seen = json.loads((folder / "plan-dev.json").read_text(encoding="utf-8"))["digest"]

    refused = _run(hub, folder, "apply", {**_settings(aep), "DIGEST": "0" * 64})
    assert refused.returncode == 4, refused.stdout
    assert aep.batches("dev") == {}

    applied = _run(hub, folder, "apply", {**_settings(aep), "DIGEST": seen})
    assert applied.returncode == 0, applied.stdout
    assert len(aep.batches("dev")) == 2
