"""Tags that AEP keeps otherwise than they were written: no apply does the same twice, and nothing is hidden."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reconciler.emulator import Behaviour, Emulator, World
from tests.emulator.serving import served

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reconciler.emulator.behaviour import TagForm
    from tests.cli.project import Project

FIRST = "{a: {tags: {Team: [' EMEA ', crm, a:b, crm], old: [x]}}}"
NEXT = "{a: {tags: {Team: [crm, ' APAC ', a:b, ' APAC ']}}}"


@pytest.fixture
def emulated(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Behaviour], Emulator]]:
    """Sets the switches of an emulator on a socket, to which the project's commands speak."""
    with Emulator(world=World(any_dataset=True)) as emulator, served(emulator) as url:
        for name in ("AEP_API_URL", "AEP_IMS_URL"):
            monkeypatch.setenv(name, url)
        monkeypatch.setenv("AEP_ACCESS_TOKEN", "a-ready-token")
        monkeypatch.setenv("AEP_API_KEY", "a-ready-key")

        def behave(behaviour: Behaviour) -> Emulator:
            emulator.behaviour = behaviour
            return emulator

        yield behave


@pytest.mark.parametrize("form", ["as-sent", "sorted", "unique", "trimmed", "lower"])
def test_tags_that_aep_spells_otherwise_are_written_once(
    form: TagForm, project: Project, emulated: Callable[[Behaviour], Emulator]
) -> None:
    emulator = emulated(Behaviour(tag_form=form))
    for batches in (FIRST, NEXT):
        project.declare(batches)
        project.apply()
        assert project("plan", "--detailed-exitcode").code == 0
    patches = [request for request in emulator.requests if request.method == "PATCH"]
    assert len(patches) == 1
    before = project.state.read_bytes()
    project.apply("--refresh-only")
    assert project.state.read_bytes() == before
    (batch,) = emulator.batches()
    emulator.set_tags(batch, {"Team": ["hacked"]})
    said = project("plan", "--detailed-exitcode")
    assert said.code == 2
    assert "tags were changed in Catalog" in said.text


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        (Behaviour(tag_form="rewritten"), '"a_b"'),
        (Behaviour(patch_tags="merge"), "`old` is still there"),
        (Behaviour(patch_tags="ignore"), "where"),
    ],
)
def test_tags_that_do_not_stick_are_told_once(
    behaviour: Behaviour, said: str, project: Project, emulated: Callable[[Behaviour], Emulator]
) -> None:
    emulated(Behaviour())
    project.declare(FIRST)
    project.apply()
    emulated(behaviour)
    project.declare(NEXT)
    first = project("apply", "--auto-approve")
    assert first.code == 3
    assert said in first.text
    assert "`lifecycle: {ignore: [tags]}`" in first.text
    assert project("plan", "--detailed-exitcode").code == 0
    project.apply()
