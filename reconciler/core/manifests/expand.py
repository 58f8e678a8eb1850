"""Manifests for one environment and one day: every declared batch, one by one, sorted by address. Knows no clock.

100,000 addresses may come from three lines: they share their `Spec`, `Lifecycle` and `Place`. They are counted before
the first is made, and more than `MAX_ADDRESSES` are refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import prod
from operator import attrgetter
from typing import TYPE_CHECKING

from reconciler.core.address import join
from reconciler.core.batch import Desired
from reconciler.core.diagnostics import Diagnostic, Place, in_order
from reconciler.core.identity import is_derived, split_generation
from reconciler.core.manifests.dates import Range, backwards, longest_key
from reconciler.core.manifests.findings import Finding, resolve
from reconciler.core.manifests.references import check_references
from reconciler.core.manifests.templates import fill, longest
from reconciler.core.wording import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import date

    from reconciler.core.batch import Spec
    from reconciler.core.manifests.dates import Dimension
    from reconciler.core.manifests.declaration import BatchManifest, DatasetManifest, Manifests
    from reconciler.core.manifests.source import Source

MAX_ADDRESSES = 1_000_000
"""Batches that one project may declare."""

MAX_FILLED = 2**28
"""Characters that the placeholders of one entry of `batches` may be filled in to, for all its batches."""


def expand(
    manifests: Manifests, sources: Sequence[Source], environment: str, today: date
) -> tuple[tuple[Desired, ...], tuple[Diagnostic, ...]]:
    """Make every declared batch of an environment, sorted by address, and find the mistakes that show only then.

    The batches must not be used if a diagnostic is an error. `sources` are those that were parsed.
    """
    findings: list[Finding] = []
    families = list(_families(manifests, environment, today, findings))
    findings += _too_many(families)
    desired: list[Desired] = []
    if not findings:
        for family in families:
            desired += family.members()
        desired.sort(key=attrgetter("address"))
        findings += check_references(manifests.moves, manifests.imports, {each.address: each for each in desired})
        findings += _check_external_ids(desired, manifests.project.name)
        findings += _check_shared_sandbox(manifests)
    return tuple(desired), in_order(resolve(findings, sources))


@dataclass(frozen=True, slots=True)
class _Dates:
    """A range on a certain day: its first and its last date."""

    range: Range
    start: date
    end: date


@dataclass(frozen=True, slots=True)
class _Family:
    """One entry of `batches` on a certain day."""

    dataset: DatasetManifest
    dataset_id: str
    batch: BatchManifest
    dimensions: tuple[tuple[str, ...] | _Dates, ...]

    def count(self) -> int:
        """Count the addresses by arithmetic."""
        return prod(
            each.range.count(each.start, each.end) if isinstance(each, _Dates) else len(each)
            for each in self.dimensions
        )

    def filled(self) -> int:
        """Count the characters of texts with placeholders, at most: each batch has its own."""
        templates, tags = self.batch.templates, self.batch.spec.get("tags", {})
        widths = [longest_key(dimension) for _, dimension in self.batch.each]
        texts = (*self.batch.globs, *(text for values in tags.values() for text in values))
        return self.count() * sum(longest(templates[text], widths) for text in texts if text in templates)

    def members(self) -> Iterator[Desired]:
        """Make the batches one by one."""
        batch = self.batch
        prefix = join(self.dataset.name, batch.name)
        keys = [each.range.keys(each.start, each.end) if isinstance(each, _Dates) else each for each in self.dimensions]
        fill_in = _filler(batch) if batch.templates else None
        for combination in product(*keys):
            address = "/".join((prefix, *combination))
            spec, external_id, globs = batch.spec, batch.external_id, batch.globs
            if fill_in is not None:
                spec, external_id, globs = fill_in(combination)
            yield Desired(
                address, self.dataset_id, spec, batch.lifecycle, batch.place, external_id, globs, batch.complete
            )


def _families(manifests: Manifests, environment: str, today: date, findings: list[Finding]) -> Iterator[_Family]:
    for dataset in manifests.datasets:
        dataset_id = dataset.id_in(environment)
        if dataset_id is None and dataset.batches:
            message = f"dataset `{dataset.name}` has no id for environment `{environment}`"
            hint = f"add `{environment}: …` to `id`"
            findings.append(Finding("missing-id", message, dataset.place.below("id"), hint))
        for batch in dataset.batches:
            dimensions = tuple(_on_day(name, each, batch, today, findings) for name, each in batch.each)
            found = tuple(each for each in dimensions if each is not None)
            if len(found) == len(dimensions) and dataset_id is not None:
                yield _Family(dataset, dataset_id, batch, found)


def _on_day(
    name: str, dimension: Dimension, batch: BatchManifest, today: date, findings: list[Finding]
) -> tuple[str, ...] | _Dates | None:
    """Give a dimension the dates that it has today; None, with a finding, if it has none."""
    if not isinstance(dimension, Range):
        return dimension
    place = batch.place.below("each", name)
    start, end = dimension.start.on(today), dimension.end.on(today)
    if start is None or end is None:
        findings.append(Finding("bad-date", "the range leaves the calendar", place, "use years from 1 to 9999"))
        return None
    if end < start:
        findings.append(_empty_range(dimension, start, end, today, place))
        return None
    return _Dates(dimension, start, end)


def _empty_range(dimension: Range, start: date, end: date, today: date, place: Place) -> Finding:
    if dimension.end.fixed is None and start > today:
        message = f"the range is empty: it begins on {start}, which is after its end on {end} (today is {today})"
        return Finding(
            "empty-range", message, place, "begin it earlier, or declare the batch when its first day has come"
        )
    return backwards(start, end, place)


def _too_many(families: Sequence[_Family]) -> Iterator[Finding]:
    """Find that the project declares too many batches (the place is that of the largest family), or too much text."""
    counts = [family.count() for family in families]
    if sum(counts) > MAX_ADDRESSES:
        number, index = max((count, -index) for index, count in enumerate(counts))
        batch = families[-index].batch
        message = (
            f"the project declares {sum(counts):,} batches, {number:,} of them here; {MAX_ADDRESSES:,} is the most"
        )
        hint = "shorten a range, use a wider step, or split the project"
        yield Finding("too-many-batches", message, batch.place, hint, key=True)
        return
    for family in families:
        if (size := family.filled()) > MAX_FILLED:
            message = f"the texts of this entry's batches take {size:,} characters; {MAX_FILLED:,} is the most"
            yield Finding("too-large", message, family.batch.place, "shorten `files` and `tags`", key=True)


def _filler(batch: BatchManifest) -> Callable[[tuple[str, ...]], tuple[Spec, str | None, tuple[str, ...]]]:
    """Prepare what is filled in for each address, so that an address costs only the joining of texts."""
    templates, own_tags = batch.templates, batch.spec.get("tags", {})
    tags = {name: [templates.get(text, (text,)) for text in texts] for name, texts in own_tags.items()}
    is_tagged = any(text in templates for texts in own_tags.values() for text in texts)
    globs = [templates.get(text, (text,)) for text in batch.globs]
    external_id = None if batch.external_id is None else templates.get(batch.external_id, (batch.external_id,))

    def fill_in(keys: tuple[str, ...]) -> tuple[Spec, str | None, tuple[str, ...]]:
        spec = batch.spec
        if is_tagged:
            spec = {**spec, "tags": {name: [fill(text, keys) for text in texts] for name, texts in tags.items()}}
        own_id = None if external_id is None else fill(external_id, keys)
        return spec, own_id, tuple([fill(text, keys) for text in globs])

    return fill_in


def _check_external_ids(desired: Sequence[Desired], project: str) -> Iterator[Finding]:
    """Find external ids that two batches would share, now or in a later generation, or that look derived."""
    owners: dict[str, Desired] = {}
    reported: set[Place] = set()
    for each in desired:
        if each.external_id is None:
            continue
        first = owners.setdefault(each.external_id, each)
        finding = _external_id_mistake(each, each.external_id, first, project)
        if finding is not None and each.place not in reported:
            reported.add(each.place)
            yield finding
    for each in owners.values():
        earlier, generation = split_generation(each.external_id or "")
        if generation is not None and earlier in owners:
            message = f"{quoted(each.external_id or '')} is also the next generation of {quoted(earlier)}"
            hint = f"choose another for {quoted(each.address)}"
            yield Finding("duplicate-external-id", message, each.place.below("external_id"), hint)


def _check_shared_sandbox(manifests: Manifests) -> Iterator[Finding]:
    """Find external ids that two environments of one sandbox would share: each would take the other's batch for its."""
    at: dict[tuple[str, str], list[str]] = {}
    for each in manifests.project.environments.values():
        if not each.emulator:
            at.setdefault((each.org, each.sandbox), []).append(each.name)
    shared = [(sandbox, names) for (_, sandbox), names in at.items() if len(names) > 1]
    for dataset in manifests.datasets if shared else ():
        for sandbox, names in shared:
            sharing = [name for name in names if dataset.id_in(name) is not None][:2]
            for batch in dataset.batches if len(sharing) > 1 else ():
                if batch.external_id is not None:
                    message = (
                        f"environments {' and '.join(map(quoted, sharing))} share sandbox {quoted(sandbox)}, "
                        f"and would share the external id {quoted(batch.external_id)}"
                    )
                    hint = "take it out: a derived one differs by environment; or give each environment its own sandbox"
                    yield Finding("shared-external-id", message, batch.place.below("external_id"), hint)


def _external_id_mistake(each: Desired, external_id: str, first: Desired, project: str) -> Finding | None:
    place = each.place.below("external_id")
    if is_derived(external_id, project):
        message = f"{quoted(external_id)} has the form of the ids that are derived from addresses"
        return Finding("bad-external-id", message, place, "take it out, or choose another form")
    if first is not each:
        message = f"{quoted(each.address)} and {quoted(first.address)} have the external id {quoted(external_id)}"
        origin = None if first.place == each.place else first.place.below("external_id")
        return Finding("duplicate-external-id", message, place, "give each a different one", first=origin)
    return None
