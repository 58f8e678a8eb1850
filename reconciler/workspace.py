"""Where a run works, and what the manifests there declare for one environment. No network, no event loop."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reconciler.core.address import Globs
from reconciler.core.diagnostics import has_errors, in_order
from reconciler.core.errors import ManifestInvalid, StoreFailed
from reconciler.core.identity import Identity
from reconciler.core.manifests.expand import expand
from reconciler.core.manifests.parse import choose_environment, parse
from reconciler.core.plans.planner import moved_to
from reconciler.files.fingerprints import Fingerprints
from reconciler.files.inside import followed
from reconciler.files.manifests import read_sources
from reconciler.files.reading import DataFiles
from reconciler.files.survey import check_completion, fingerprinted, survey
from reconciler.storage.disk import RealDisk

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date
    from pathlib import Path

    from reconciler.core.batch import Desired
    from reconciler.core.diagnostics import Diagnostic
    from reconciler.core.manifests.declaration import Manifests
    from reconciler.core.manifests.project import Environment
    from reconciler.core.manifests.source import Source
    from reconciler.storage.disk import Disk

FINGERPRINTS = ".fingerprints"
"""Suffix of the cache beside a state file; Git ignores it."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """Where a run works: all paths below one root."""

    root: Path
    manifests: Path
    today: date
    environment: str | None = None
    state_file: Path | None = None
    disk: Disk = field(default_factory=RealDisk)
    """What the state is written with; tests put another one in its place."""


@dataclass(frozen=True, slots=True)
class Declared:
    """What the manifests say for one environment."""

    manifests: Manifests
    environment: Environment
    desired: Mapping[str, Desired]
    sources: Sequence[Source]
    diagnostics: tuple[Diagnostic, ...]
    """Warnings of the manifests, and all that was found in the files; what is wrong there fails its address only."""
    contents: DataFiles

    @property
    def identity(self) -> Identity:
        """Whose state and external ids these are."""
        env = self.environment
        return Identity(self.manifests.project.name, env.name, env.org, env.sandbox)

    @property
    def datasets(self) -> frozenset[str]:
        """The AEP ids of the datasets that hold a declared batch."""
        return frozenset(each.dataset for each in self.desired.values())


ALL = Globs()


def load_declared(workspace: Workspace, data: Globs | None = ALL, *, fingerprints: bool = True) -> Declared:
    """Read and expand the manifests, and check and fingerprint the files that they name for the addresses in `data`.

    What is wrong with the files is a mistake of their address alone. Raises `ManifestInvalid` with every mistake of the
    manifests, `SettingsInvalid` where no environment is clear, and `StoreFailed` where the state would be outside the
    repository.
    """
    sources, unreadable = read_sources(workspace.root, workspace.manifests)
    manifests, mistakes = parse(sources)
    found = (*unreadable, *mistakes)
    if manifests is None or has_errors(found):
        raise ManifestInvalid(in_order(found))
    environment = choose_environment(manifests.project, workspace.environment)
    desired, more = expand(manifests, sources, environment.name, workspace.today)
    found = (*found, *more)
    if has_errors(found):
        raise ManifestInvalid(in_order(found))
    known = Fingerprints(state_path(workspace, environment.name).with_suffix(FINGERPRINTS))
    looked_at = _looked_at(desired, manifests, data)
    if looked_at:
        known.load()
    completion = check_completion(desired, sources)
    surveyed = survey(workspace.root, looked_at, sources, known)
    found = in_order((*found, *completion, *surveyed.diagnostics))
    if has_errors(completion):
        raise ManifestInvalid(found)
    by_address = {each.address: each for each in desired}
    if fingerprints and looked_at:
        by_address |= fingerprinted(looked_at, surveyed, known)
        known.save(prune=data == ALL)
    return Declared(manifests, environment, by_address, sources, found, DataFiles(surveyed.files, known))


def _looked_at(desired: Sequence[Desired], manifests: Manifests, data: Globs | None) -> Sequence[Desired]:
    """The batches whose files are looked at: those in `data`, by their old names as well."""
    if data is None:
        return ()
    names: dict[str, list[str]] = {}
    for origin, target in moved_to(manifests.moves).items():
        names.setdefault(target, []).append(origin)
    wanted = [each for each in desired if each.globs]
    return [each for each in wanted if any(map(data.match, (each.address, *names.get(each.address, ()))))]


def validate(workspace: Workspace) -> tuple[Diagnostic, ...]:
    """Every diagnostic of the manifests and the files that they name. Raises `SettingsInvalid` and `StoreFailed`."""
    try:
        return load_declared(workspace, fingerprints=False).diagnostics
    except ManifestInvalid as invalid:
        return invalid.diagnostics


def identify(workspace: Workspace) -> Identity:
    """Whose state the workspace's is; mistakes outside the project file do not count.

    Raises `ManifestInvalid` and `SettingsInvalid`.
    """
    sources, unreadable = read_sources(workspace.root, workspace.manifests)
    project_file = [source for source in sources if source.is_project]
    manifests, mistakes = parse(project_file)
    if manifests is None:
        raise ManifestInvalid(in_order((*unreadable, *mistakes)))
    env = choose_environment(manifests.project, workspace.environment)
    return Identity(manifests.project.name, env.name, env.org, env.sandbox)


def state_path(workspace: Workspace, environment: str) -> Path:
    """The state file of an environment. Raises `StoreFailed` if its folder is reached by a link of the repository."""
    path = workspace.state_file or workspace.root / "state" / f"{environment}.jsonl"
    flaw = followed(path.parent, workspace.root)
    if flaw is not None:
        raise StoreFailed(flaw, hint="put the folder itself there, or pass `--state FILE` with a place that has none")
    return path
