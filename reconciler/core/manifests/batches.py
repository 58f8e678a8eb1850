"""Entries of `batches` as values: the dataset's defaults merged in, and checked as only the whole can be checked.

Fields of a batch win over `defaults`; `tags`, `csv` and `lifecycle` merge by their keys. A default applies where it
can: `multiline` to json batches, `csv` to csv batches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.core.address import MAX_LENGTH
from reconciler.core.batch import DEFAULT_FORMAT, DEFAULT_RECREATE, Csv, Lifecycle, OnRemove, Spec
from reconciler.core.diagnostics import Place
from reconciler.core.manifests.declaration import BatchManifest
from reconciler.core.manifests.dimensions import longest_key, read_each
from reconciler.core.manifests.findings import Finding
from reconciler.core.manifests.placeholders import (
    check_braces,
    check_external_id,
    check_inherited,
    check_names,
    texts_of,
)
from reconciler.core.manifests.templates import has_braces
from reconciler.core.wording import quoted

if TYPE_CHECKING:
    from reconciler.core.manifests.models import BatchFields, CsvFields, LifecycleFields, SharedFields
    from reconciler.core.manifests.positions import Step

ONLY_WITH = {"multiline": "json", "csv": "csv"}
"""Fields that mean something for one format only (aep-api.md §3.1)."""


class BatchReader:
    """Reads the batches of one dataset; what is shared between them is made once."""

    def __init__(self, dataset: str, document: Place, defaults: SharedFields) -> None:
        self.findings: list[Finding] = []
        self._dataset = dataset
        self._document = document
        self._defaults = defaults
        self._lifecycle = _lifecycle(None, defaults.lifecycle)
        self._specs: dict[str, Spec] = {}
        self._texts = tuple(texts_of(defaults))
        self._check_defaults()

    def read(self, name: str, fields: BatchFields) -> BatchManifest:
        """Read one batch; what is wrong with it is added to the findings."""
        place = self._place("batches", name)
        each, mistakes = read_each(fields.each or {}, self._place("batches", name, "each"))
        self.findings += mistakes
        batch = BatchManifest(
            name,
            self._spec(name, fields),
            self._lifecycle if fields.lifecycle is None else _lifecycle(fields.lifecycle, self._defaults.lifecycle),
            place,
            each,
            fields.external_id,
            tuple(fields.files if fields.files is not None else self._defaults.files or ()),
            bool(fields.complete if fields.complete is not None else self._defaults.complete),
            self._has_placeholders(fields),
        )
        self._check_length(batch)
        if batch.has_placeholders or (batch.external_id is not None):
            self._check_placeholders(batch, fields)
        return batch

    def _place(self, *route: Step) -> Place:
        return Place(self._document.file, self._document.document, route)

    def _check_defaults(self) -> None:
        stated = self._defaults.format
        for field, needed in ONLY_WITH.items():
            if stated is not None and stated != needed and getattr(self._defaults, field) is not None:
                self.findings.append(_misfit(field, needed, stated, self._place("defaults", field)))
        for text in self._texts:
            self.findings += check_braces(text.text, self._place("defaults", *text.route))

    def _spec(self, name: str, fields: BatchFields) -> Spec:
        form = fields.format or self._defaults.format or DEFAULT_FORMAT
        for field, needed in ONLY_WITH.items():
            if form != needed and getattr(fields, field) is not None:
                self.findings.append(_misfit(field, needed, form, self._place("batches", name, field)))
        base = self._specs.get(form)
        if base is None:
            base = self._specs[form] = _fitting(_spec(self._defaults), form)
        own = _spec(fields)
        if fields.replaces:
            own["replaces"] = list(fields.replaces)
        return _merged(base, own) if own else base

    def _has_placeholders(self, fields: BatchFields) -> bool:
        if self._texts or (fields.external_id is not None and has_braces(fields.external_id)):
            return True
        return next(texts_of(fields), None) is not None

    def _check_length(self, batch: BatchManifest) -> None:
        length = len(self._dataset) + 1 + len(batch.name)
        length += sum(1 + longest_key(dimension) for _, dimension in batch.each)
        if length > MAX_LENGTH:
            message = f"addresses of {quoted(batch.name)} are longer than {MAX_LENGTH} characters"
            self.findings.append(Finding("too-long", message, batch.place, "choose shorter names and keys", key=True))

    def _check_placeholders(self, batch: BatchManifest, fields: BatchFields) -> None:
        for text in texts_of(fields):
            place = self._place("batches", batch.name, *text.route)
            self.findings += check_braces(text.text, place)
            self.findings += check_names(text.text, batch.dimensions, place)
        for text in self._texts:
            if not _is_overridden(text.route, fields):
                self.findings += check_inherited(text.text, batch.name, batch.dimensions, batch.place)
        if batch.external_id is not None:
            self._check_external_id(batch, batch.external_id)

    def _check_external_id(self, batch: BatchManifest, external_id: str) -> None:
        place = self._place("batches", batch.name, "external_id")
        self.findings += check_braces(external_id, place)
        self.findings += check_names(external_id, batch.dimensions, place)
        widths = [longest_key(dimension) for _, dimension in batch.each]
        self.findings += check_external_id(external_id, batch.dimensions, widths, place)


def _is_overridden(route: tuple[Step, ...], fields: BatchFields) -> bool:
    match route:
        case ("tags", str() as name, *_):
            return fields.tags is not None and name in fields.tags
        case _:
            return fields.files is not None


def _misfit(field: str, needed: str, form: str, place: Place) -> Finding:
    message = f"`{field}` goes with format `{needed}` only, and the format is `{form}`"
    return Finding("wrong-format", message, place, f"write `format: {needed}`, or take `{field}` out", key=True)


def _spec(fields: SharedFields) -> Spec:
    """Reduce fields to what a batch is created with, leaving out what was not written."""
    spec: Spec = {}
    if fields.format is not None:
        spec["format"] = fields.format
    if fields.multiline is not None:
        spec["multiline"] = fields.multiline
    if fields.csv is not None:
        spec["csv"] = _csv(fields.csv)
    if fields.tags is not None:
        spec["tags"] = fields.tags
    if fields.error_diagnostics is not None:
        spec["error_diagnostics"] = fields.error_diagnostics
    if fields.partial_ingestion_percent is not None:
        spec["partial_ingestion_percent"] = fields.partial_ingestion_percent
    return spec


def _csv(fields: CsvFields) -> Csv:
    csv: Csv = {}
    if fields.delimiter is not None:
        csv["delimiter"] = fields.delimiter
    if fields.quote is not None:
        csv["quote"] = fields.quote
    if fields.escape is not None:
        csv["escape"] = fields.escape
    if fields.null_marker is not None:
        csv["null_marker"] = fields.null_marker
    if fields.header is not None:
        csv["header"] = fields.header
    if fields.charset is not None:
        csv["charset"] = fields.charset
    return csv


def _fitting(spec: Spec, form: str) -> Spec:
    """Leave out what does not go with a format."""
    fitting = spec.copy()
    if form != ONLY_WITH["multiline"]:
        fitting.pop("multiline", None)
    if form != ONLY_WITH["csv"]:
        fitting.pop("csv", None)
    return fitting


def _merged(base: Spec, own: Spec) -> Spec:
    spec: Spec = {**base, **own}
    if "tags" in base and "tags" in own:
        spec["tags"] = {**base["tags"], **own["tags"]}
    if "csv" in base and "csv" in own:
        spec["csv"] = {**base["csv"], **own["csv"]}
    return spec


def _lifecycle(own: LifecycleFields | None, base: LifecycleFields | None) -> Lifecycle:
    """Merge the rules of a batch with those of `defaults`; what neither says has the default value."""
    on_remove, recreate_when, prevent_replace, ignore = None, None, None, None
    for fields in filter(None, (own, base)):
        on_remove = on_remove or fields.on_remove
        recreate_when = fields.recreate_when if recreate_when is None else recreate_when
        prevent_replace = fields.prevent_replace if prevent_replace is None else prevent_replace
        ignore = fields.ignore if ignore is None else ignore
    return Lifecycle(
        OnRemove(on_remove) if on_remove else OnRemove.FORGET,
        DEFAULT_RECREATE if recreate_when is None else tuple(recreate_when),
        bool(prevent_replace),
        bool(ignore),
    )
