"""Manifests as values: every mistake that can be known without an environment and a day, in all files at once.

What depends on the environment (a dataset's id) or on the day (`today`) is checked by `expand`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ValidationError

from reconciler.core.diagnostics import Diagnostic, Place, has_errors, in_order
from reconciler.core.errors import SettingsInvalid
from reconciler.core.manifests.batches import BatchReader
from reconciler.core.manifests.declaration import DatasetManifest, Manifests
from reconciler.core.manifests.document import load
from reconciler.core.manifests.findings import Finding, resolve
from reconciler.core.manifests.mistakes import describe, findings_of
from reconciler.core.manifests.models import DatasetFields, EnvironmentFields, ProjectFields
from reconciler.core.manifests.project import EMULATOR_ORG, Environment, Import, Limits, Move, Project
from reconciler.core.manifests.references import check_entries
from reconciler.core.manifests.source import PROJECT_FILE, Plain
from reconciler.core.wording import closest, guess, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from reconciler.core.manifests.source import Document, Source

Fields = TypeVar("Fields", bound=BaseModel)


def parse(sources: Sequence[Source]) -> tuple[Manifests | None, tuple[Diagnostic, ...]]:
    """Read the project file and all manifests, in the order of the files; the project file alone is enough.

    The manifests are None where a diagnostic is an error. Raises nothing.
    """
    reader = _Reader()
    for source in sorted(sources, key=lambda source: (not source.is_project, source.file)):
        reader.read(source)
    reader.check()
    diagnostics = in_order([*reader.diagnostics, *resolve(reader.findings, sources)])
    if reader.project is None or has_errors(diagnostics):
        return None, diagnostics
    manifests = Manifests(reader.project, tuple(reader.datasets.values()), tuple(reader.moves), tuple(reader.imports))
    return manifests, diagnostics


def choose_environment(project: Project, name: str | None) -> Environment:
    """Return the environment with a name; without one the project's default, or the only one there is.

    Raises `SettingsInvalid` if there is no such environment, or if none is named and there are several.
    """
    chosen = name or project.default_environment
    if chosen is None and len(project.environments) == 1:
        return next(iter(project.environments.values()))
    if chosen is None:
        names = ", ".join(sorted(project.environments))
        hint = f"use `--env`, or write `default_environment` into the project file; environments: {names}"
        raise SettingsInvalid("no environment is chosen", hint=hint)
    if chosen not in project.environments:
        message = f"{quoted(chosen)} is not an environment of project `{project.name}`"
        raise SettingsInvalid(message, hint=guess(chosen, project.environments, "Environments"))
    return project.environments[chosen]


class _Reader:
    """Collects what all files declare, and what is wrong with them. The project file comes first."""

    def __init__(self) -> None:
        self.diagnostics: list[Diagnostic] = []
        self.findings: list[Finding] = []
        self.project: Project | None = None
        self.has_project_file = False
        self.datasets: dict[str, DatasetManifest] = {}
        self.moves: list[Move] = []
        self.imports: list[Import] = []

    def read(self, source: Source) -> None:
        """Read one file."""
        documents, mistakes = load(source.text, source.file)
        self.diagnostics += mistakes
        if source.is_project:
            self.has_project_file = True
            self.read_project(source.file, documents, is_readable=not mistakes)
            return
        for document in documents:
            self.read_dataset(Place(source.file, document.number, ()), document)

    def read_project(self, file: str, documents: Sequence[Document], *, is_readable: bool) -> None:
        """Read the project file."""
        written = [each for each in documents if not _is_nothing(each)]
        for extra in written[1:]:
            hint = "move the batches to a file of their own beside it"
            self.report("extra-document", "the project file has one document only", Place(file, extra.number, ()), hint)
        if not written:
            if is_readable:
                hint = "write at least `project: NAME` and `environments`"
                self.report("missing-field", f"the project file `{file}` is empty", Place(file, 0, ()), hint)
            return
        place = Place(file, written[0].number, ())
        fields = self.validated(ProjectFields, written[0], place)
        if fields is None:
            return
        self.project = _project(fields)
        self.add_entries(fields, place)
        default = fields.default_environment
        if default is not None and default not in fields.environments:
            self.unknown_environment(default, place.below("default_environment"))

    def read_dataset(self, place: Place, document: Document) -> None:
        """Read one document of a manifest."""
        if _is_nothing(document):
            return
        self.findings += _missing(document, place)
        fields = self.validated(DatasetFields, document, place)
        if fields is None:
            return
        self.add_entries(fields, place)
        if fields.dataset is None or fields.id is None:
            return
        self.add_dataset(fields.dataset, fields.id, fields, place)

    def add_dataset(self, name: str, id_: str | Mapping[str, str], fields: DatasetFields, place: Place) -> None:
        """Add one dataset with its batches, unless there is one of its name."""
        reader = BatchReader(name, place, fields.defaults)
        batches = tuple(reader.read(*item) for item in fields.batches.items())
        self.findings += reader.findings
        dataset = DatasetManifest(name, id_, batches, place)
        first = self.datasets.setdefault(name, dataset)
        if first is not dataset:
            message, hint = f"dataset {quoted(name)} is declared twice", "join the two: a dataset is one document"
            at, origin = place.below("dataset"), first.place.below("dataset")
            self.findings.append(Finding("duplicate-dataset", message, at, hint, first=origin))
        if self.project is not None and not isinstance(id_, str):
            for environment in id_:
                if environment not in self.project.environments:
                    self.unknown_environment(environment, place.below("id", environment), key=True)

    def add_entries(self, fields: DatasetFields | ProjectFields, place: Place) -> None:
        """Add the entries of `moved` and `imports`."""
        for index, move in enumerate(fields.moved):
            self.moves.append(Move(move.origin, move.target, place.below("moved", index)))
        for index, entry in enumerate(fields.imports):
            self.imports.append(Import(entry.target, entry.id, place.below("imports", index)))

    def check(self) -> None:
        """Check what only all files together can show."""
        self.findings += check_entries(self.moves, self.imports)
        if not self.has_project_file:
            message = f"there is no project file `{PROJECT_FILE}` in the folder of the manifests"
            self.diagnostics.append(Diagnostic("no-project-file", message, hint="`reconciler init` writes one"))

    def validated(self, model: type[Fields], document: Document, place: Place) -> Fields | None:
        """Check the form of a document; None if it is wrong."""
        if not isinstance(document.data, dict):
            message = f"a document is a mapping of fields, found {describe(document.data)}"
            self.report("wrong-type", message, place, "see `reconciler init` for an example")
            return None
        try:
            return model.model_validate(document.data)
        except ValidationError as error:
            self.findings += findings_of(error, place, model)
            return None

    def report(self, code: str, message: str, place: Place, hint: str) -> None:
        """Add a finding."""
        self.findings.append(Finding(code, message, place, hint))

    def unknown_environment(self, name: str, place: Place, *, key: bool = False) -> None:
        """Add the finding that a named environment does not exist."""
        known = self.project.environments if self.project else ()
        message, hint = f"{quoted(name)} is not an environment", guess(name, known, "Environments")
        self.findings.append(Finding("unknown-environment", message, place, hint, key=key))


def _is_nothing(document: Document) -> bool:
    return isinstance(document.data, Plain) and document.data.is_null


def _missing(document: Document, place: Place) -> list[Finding]:
    """Find that `dataset` or `id` is missing, and not only misspelt; `moved` and `imports` alone need neither."""
    data = document.data
    if not isinstance(data, dict):
        return []
    meant = {closest(key, DatasetFields.model_fields) for key in data.keys() - DatasetFields.model_fields.keys()}
    if "dataset" not in data.keys() | meant and not data.keys().isdisjoint({"id", "defaults", "batches"}):
        hint = "add a line `dataset: NAME`: the first part of each address"
        return [Finding("missing-field", "there is no `dataset`", place, hint)]
    if "dataset" in data and "id" not in data.keys() | meant:
        hint = "add a line `id: …` with the dataset's id in AEP, or `id: {environment: …}`"
        return [Finding("missing-field", "there is no `id`", place, hint)]
    return []


def _project(fields: ProjectFields) -> Project:
    environments = {name: _environment(name, each) for name, each in fields.environments.items()}
    limits = Limits(fields.limits.create, fields.limits.replace, fields.limits.delete)
    return Project(fields.project, environments, fields.default_environment, limits)


def _environment(name: str, fields: EnvironmentFields) -> Environment:
    if fields.emulator or fields.org is None or fields.sandbox is None:
        return Environment(name, EMULATOR_ORG, name, emulator=True)
    return Environment(name, fields.org, fields.sandbox)
