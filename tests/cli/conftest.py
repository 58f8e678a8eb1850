"""A clean environment, a project folder, and an AEP on loopback."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.aep.server import Aep
from tests.cli.project import Project

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project without any credential; it waits for nothing."""
    for name in os.environ:
        if name.startswith(("AEP_", "RECONCILER_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("RECONCILER_SETTLE_TIMEOUT", "0")
    return Project(tmp_path, capsys)


@pytest.fixture
def aep(project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Aep]:
    """An AEP that the project's environment `dev` leads to."""
    assert project.environment == "dev"
    with Aep() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server
