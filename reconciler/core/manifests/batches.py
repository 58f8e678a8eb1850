"""Entries of `batches` as values: the dataset's defaults are merged in, and what depends on several fields is checked.

Fields of a batch win over `defaults`; `tags`, `csv` and `lifecycle` merge by their keys. A default applies where it
can: `multiline` to json batches, `csv` to csv batches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from reconciler.core.address import MAX_LENGTH
from reconciler.core.batch import DEFAULT_FORMAT, DEFAULT_RECREATE, Lifecycle, OnRemove, Spec
from reconciler.core.manifests.dates import Range, check_range, key_form, longest_key
from reconciler.core.manifests.declaration import BatchManifest
from reconciler.core.manifests.findings import Finding
from reconciler.core.manifests.models import DateRange
from reconciler.core.manifests.templates import (
    check_external_id,
    check_inherited,
    check_names,
    has_braces,
    read_template,
    stray_brace,
)
from reconciler.core.wording import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from reconciler.core.diagnostics import Place, Route
    from reconciler.core.manifests.dates import Dimension
    from reconciler.core.manifests.declaration import Each
    from reconciler.core.manifests.models import BatchFields, LifecycleFields, SharedFields
    from reconciler.core.manifests.templates import Bound, Template

_SHARED_SPEC = [name for name in Spec.__annotations__ if name != "replaces"]
"""The fields of a spec that `defaults` may give as well."""

ONLY_WITH = {"multiline": "json", "csv": "csv"}
"""Fields that mean something for one format only (aep-api.md §3.1)."""


class BatchReader:
    """Reads the batches of one dataset; they share what their defaults give them."""

    def __init__(self, dataset: str, document: Place, defaults: SharedFields) -> None:
        self.findings: list[Finding] = []
        self._dataset = dataset
        self._document = document
        self._defaults = defaults
        self._lifecycle = _lifecycle(None, defaults.lifecycle)
        self._specs: dict[str, Spec] = {}
        self._inherited = self._read_templates(_texts_with_braces(defaults), document.below("defaults"))
        self._check_formats(defaults, defaults.format, document.below("defaults"))

    def read(self, name: str, fields: BatchFields) -> BatchManifest:
        """Read one batch; what is wrong with it is added to the findings."""
        place = self._document.below("batches", name)
        each = self._read_each(fields, place)
        self._check_length(name, each, place)
        return BatchManifest(
            name,
            self._spec(fields, place),
            self._lifecycle if fields.lifecycle is None else _lifecycle(fields.lifecycle, self._defaults.lifecycle),
            place,
            each,
            fields.external_id,
            tuple(fields.files if fields.files is not None else self._defaults.files or ()),
            bool(fields.complete if fields.complete is not None else self._defaults.complete),
            self._bound(name, fields, each, place),
        )

    def _read_each(self, fields: BatchFields, place: Place) -> Each:
        dimensions: list[tuple[str, Dimension]] = []
        for name, value in (fields.each or {}).items():
            if isinstance(value, DateRange):
                dates = Range(value.start, value.end, value.step, key_form(name, value.step))
                self.findings += check_range(name, dates, place.below("each", name))
                dimensions.append((name, dates))
            else:
                self.findings += _repeated(value, place.below("each", name))
                dimensions.append((name, tuple(value)))
        return tuple(dimensions)

    def _check_length(self, name: str, each: Each, place: Place) -> None:
        length = len(self._dataset) + 1 + len(name) + sum(1 + longest_key(dimension) for _, dimension in each)
        if length > MAX_LENGTH:
            message = f"addresses of {quoted(name)} are longer than {MAX_LENGTH} characters"
            self.findings.append(Finding("too-long", message, place, "choose shorter names and keys", key=True))

    def _check_formats(self, fields: SharedFields, form: str | None, place: Place) -> None:
        for field, needed in ONLY_WITH.items():
            if form is not None and form != needed and getattr(fields, field) is not None:
                self.findings.append(_misfit(field, needed, form, place.below(field)))

    def _spec(self, fields: BatchFields, place: Place) -> Spec:
        form = fields.format or self._defaults.format or DEFAULT_FORMAT
        self._check_formats(fields, form, place)
        base = self._specs.get(form)
        if base is None:
            base = self._specs[form] = _fitting(_spec(self._defaults), form)
        own = _spec(fields)
        if fields.replaces:
            own["replaces"] = list(fields.replaces)
        return _merged(base, own) if own else base

    def _read_templates(self, texts: Iterable[tuple[Route, str]], place: Place) -> dict[Route, Template]:
        """Read the texts with placeholders below a place; one with a stray brace is reported and left out."""
        templates: dict[Route, Template] = {}
        for route, text in texts:
            template = read_template(text)
            if template is None:
                self.findings.append(stray_brace(text, place.below(*route)))
            else:
                templates[route] = template
        return templates

    def _bound(self, name: str, fields: BatchFields, each: Each, place: Place) -> dict[str, Bound]:
        """Read, check and bind what is filled in for each address; nothing where there is a mistake."""
        own = self._read_templates(_texts_with_braces(fields), place)
        inherited = [text for route, text in self._inherited.items() if not _is_overridden(route, fields)]
        external_id = ("external_id",)
        if fields.external_id is not None:
            own |= self._read_templates([(external_id, fields.external_id)], place)
        if not own and not inherited:
            return {}
        dimensions = [dimension for dimension, _ in each]
        found: list[Finding] = []
        for route, template in own.items():
            found += check_names(template, dimensions, place.below(*route))
        for template in inherited:
            found += check_inherited(template, name, dimensions, place)
        if external_id in own:
            widths = [longest_key(dimension) for _, dimension in each]
            found += check_external_id(own[external_id], dimensions, widths, place.below(*external_id))
        self.findings += found
        if found:
            return {}
        texts = (*own.values(), *inherited)
        return {template.text: template.bind(dimensions) for template in texts if has_braces(template.text)}


def _texts_with_braces(fields: SharedFields) -> Iterator[tuple[Route, str]]:
    """List the texts of `tags` and `files` that must be read as templates, and where they stand below the fields."""
    for name, values in (fields.tags or {}).items():
        for index, value in enumerate(values):
            if has_braces(value):
                yield ("tags", name, index), value
    for index, value in enumerate(fields.files or ()):
        if has_braces(value):
            yield ("files", index), value


def _is_overridden(route: Route, fields: BatchFields) -> bool:
    """Whether a batch has its own text in place of one in `defaults`."""
    match route:
        case ("tags", str() as name, *_):
            return fields.tags is not None and name in fields.tags
        case _:
            return fields.files is not None


def _repeated(keys: Sequence[str], place: Place) -> Iterator[Finding]:
    seen: set[str] = set()
    for index, key in enumerate(keys):
        if key in seen:
            message = f"the key {quoted(key)} stands twice"
            yield Finding("repeated-key", message, place.below(index), "take one of the two out")
        seen.add(key)


def _misfit(field: str, needed: str, form: str, place: Place) -> Finding:
    message = f"`{field}` goes with format `{needed}` only, and the format is `{form}`"
    return Finding("wrong-format", message, place, f"write `format: {needed}`, or take `{field}` out", key=True)


def _spec(fields: SharedFields) -> Spec:
    """Reduce fields to what a batch is created with, leaving out what was not written."""
    given = {name: value for name in _SHARED_SPEC if (value := getattr(fields, name)) is not None}
    if fields.csv is not None:
        given["csv"] = fields.csv.model_dump(exclude_none=True)
    return cast("Spec", given)


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
