"""Placeholders in the texts of a batch, checked: each names one of its dimensions, and no brace stands alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.core.identity import CHARACTERS, LONGEST_OWN
from reconciler.core.manifests.findings import Finding
from reconciler.core.manifests.templates import has_braces, longest, read_template, sample
from reconciler.core.wording import guess, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.core.diagnostics import Place
    from reconciler.core.manifests.models import SharedFields
    from reconciler.core.manifests.positions import Step


@dataclass(frozen=True, slots=True)
class Text:
    """A text that may have placeholders, and where it stands below the mapping of fields."""

    text: str
    route: tuple[Step, ...]


def texts_of(fields: SharedFields) -> Iterator[Text]:
    """List the texts of `tags` and `files` that have braces."""
    for name, values in (fields.tags or {}).items():
        for index, value in enumerate(values):
            if has_braces(value):
                yield Text(value, ("tags", name, index))
    for index, value in enumerate(fields.files or ()):
        if has_braces(value):
            yield Text(value, ("files", index))


def check_braces(text: str, place: Place) -> Iterator[Finding]:
    """Find a brace that belongs to no placeholder."""
    if read_template(text) is None:
        hint = "write `{{` and `}}` for braces that are meant as such"
        yield Finding("bad-placeholder", f"a brace stands alone in {quoted(text)}", place, hint)


def check_names(text: str, dimensions: tuple[str, ...], place: Place) -> Iterator[Finding]:
    """Find placeholders that are no dimension of the batch."""
    template = read_template(text)
    for name in template.names if template else ():
        if name not in dimensions:
            message = f"{quoted('{' + name + '}')} is not a dimension of this batch"
            hint = guess(name, dimensions, "Dimensions") if dimensions else "the batch has no `each` to take it from"
            yield Finding("unknown-placeholder", message, place, hint)


def check_inherited(text: str, batch: str, dimensions: tuple[str, ...], place: Place) -> Iterator[Finding]:
    """Find placeholders in `defaults` that a batch cannot fill; `place` is that of the batch."""
    template = read_template(text)
    for name in template.names if template else ():
        if name not in dimensions:
            message = f"{quoted('{' + name + '}')} in `defaults` is not a dimension of {quoted(batch)}"
            hint = "give the batch a text of its own, or take the placeholder out of `defaults`"
            yield Finding("unknown-placeholder", message, place, hint)


def check_external_id(text: str, dimensions: tuple[str, ...], widths: Sequence[int], place: Place) -> Iterator[Finding]:
    """Find characters that an external id cannot have, too many of them, and addresses that would share one.

    `widths` are the lengths of the longest key of each dimension.
    """
    template = read_template(text)
    if template is None or not set(template.names) <= set(dimensions):
        return
    if not re.fullmatch(f"{CHARACTERS}+", sample(template)):
        hint = "external ids are made of `A-Z`, `a-z`, `0-9`, `_`, `.` and `-`"
        yield Finding("bad-external-id", f"{quoted(text)} is not an external id", place, hint)
    if longest(template.bind(dimensions), widths) > LONGEST_OWN:
        message = f"the external id {quoted(text)} may be longer than {LONGEST_OWN} characters"
        yield Finding("bad-external-id", message, place, "choose a shorter one")
    missing = [f"{{{name}}}" for name in dimensions if name not in template.names]
    if missing:
        message = f"{quoted(text)} would be the external id of several batches"
        yield Finding("shared-external-id", message, place, f"add {', '.join(map(quoted, missing))}")
