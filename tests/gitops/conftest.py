"""One team's world: AEP, a repository that began with `init --ci github`, and its runners."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from reconciler import scaffold
from tests.gitops.aep import Aep, emulator, settings_for
from tests.gitops.hub import Hub, git
from tests.gitops.runner import Runner
from tests.gitops.team import PIPELINES, SECRETS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def aep(tmp_path: Path) -> Iterator[Aep]:
    with emulator(tmp_path) as found:
        yield found


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    """A repository that began with `init --ci github`."""
    opened = Hub.open(tmp_path)
    scaffold.write(opened.desk, PIPELINES["github"])
    (opened.desk / scaffold.EXAMPLE).unlink()
    opened.commit({}, "init")
    git(opened.desk, "push", "--quiet", "origin", "HEAD:main")
    return opened


@pytest.fixture
def promoter(hub: Hub, aep: Aep, tmp_path: Path) -> Runner:
    """Runs every environment of the workflows: dev, then prod."""
    return Runner(hub, tmp_path, settings_for(aep), SECRETS)


@pytest.fixture
def runner(promoter: Runner) -> Runner:
    """Runs the jobs of dev alone, which saves half of the time."""
    return replace(promoter, only=frozenset({"dev"}))
