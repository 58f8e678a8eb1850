"""Our values to AEP's JSON, exactly, and AEP's JSON to our values, leniently. No I/O; raises `Unreadable` only.

One thing is strict: a body in which nothing can be read is an error, never "no batches", since batches are created
where none are found.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.core.batch import DEFAULT_FORMAT, STATUS_CLASSES, SUCCESSOR_TAG, Observed, StatusClass
from reconciler.platform.answer import Unreadable
from reconciler.platform.urls import is_id

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from reconciler.core.batch import Csv, Json
    from reconciler.ports import CreateRequest

PARTIAL_INGESTION_FIELD = "partialIngestionPercent"
"""So Adobe's newer pages write it; older ones write `partialIngestionPercentage`. Which of them AEP reads is unverified
(aep-api.md §13)."""

REPLAY_REASON = "replace"

PROPERTIES = (
    "created",
    "errors",
    "externalId",
    "failedRecordCount",
    "inputFormat",
    "metrics",
    "recordCount",
    "relatedObjects",
    "replay",
    "status",
    "tags",
    "updated",
)
"""The properties that `Observed` is made of: what Catalog is asked for (aep-api.md §8.3)."""

MOST_ERRORS = 20
"""Errors that are kept of one batch; a bad file can cause thousands."""
LARGEST_COUNT = 10**18
"""A larger number is no count and no time, and no clock can hold it."""
UNKNOWN_STATUS = "unknown"

_REFERENCE = re.compile(r"@/batches/([A-Za-z0-9_-]{1,128})")
_ERROR_FIELDS = frozenset(
    {"error", "error_code", "errorMessage", "message", "status", "title", "detail", "error-chain", "errors", "report"}
)
"""A body with one of these is an error, whatever its status was (aep-api.md §2.3): no object of AEP has such an id."""


# -- requests


def create_body(request: CreateRequest) -> dict[str, Json]:
    """Return the body of `POST /batches` (aep-api.md §3.1)."""
    spec = request.spec
    tags: dict[str, Json] = {name: list(values) for name, values in spec.get("tags", {}).items()}
    tags |= {name: list(values) for name, values in request.marker.items()}
    body: dict[str, Json] = {
        "datasetId": request.dataset,
        "inputFormat": _input_format(request),
        "externalId": request.external_id,
        "tags": tags,
    }
    if request.predecessors:
        # AEP wants a dollar sign before ids that a client sends (aep-api.md §3.1).
        predecessors: list[Json] = [f"${batch}" for batch in request.predecessors]
        body["replay"] = {"predecessors": predecessors, "reason": REPLAY_REASON}
    if "error_diagnostics" in spec:
        body["enableErrorDiagnostics"] = spec["error_diagnostics"]
    if "partial_ingestion_percent" in spec:
        body[PARTIAL_INGESTION_FIELD] = spec["partial_ingestion_percent"]
    return body


def _input_format(request: CreateRequest) -> dict[str, Json]:
    spec = request.spec
    shape: dict[str, Json] = {"format": spec.get("format", DEFAULT_FORMAT).lower()}
    if "multiline" in spec:
        shape["isMultiLineJson"] = spec["multiline"]
    return shape | _csv(spec.get("csv", {}))


def _csv(csv: Csv) -> dict[str, Json]:
    fields: dict[str, Json] = {name: value for name, value in csv.items() if isinstance(value, str | bool)}
    if "null_marker" in fields:
        fields["nullMarker"] = fields.pop("null_marker")
    return fields


def merge_tags(
    current: Mapping[str, Json], assign: Mapping[str, Sequence[str]], remove: Collection[str]
) -> dict[str, Json]:
    """Return the tags with some assigned and some removed; all others stay exactly as AEP sent them."""
    assigned: dict[str, Json] = {name: list(values) for name, values in assign.items()}
    kept = {name: value for name, value in current.items() if name not in remove}
    return {**kept, **assigned}


# -- answers


def read_created(body: Json, request: CreateRequest, org: str) -> str:
    """Return the new batch's id: an object with `id`, a reference in a list, or a map of one (aep-api.md §3.2).

    What else the answer says must be what was asked for, as far as it says it: a batch of another dataset, external id
    or organisation is not the one that was to be made.
    """
    match body:
        case {"id": str(batch)} if is_id(batch):
            _check_created(batch, _map(body), request, org)
            return batch
        case [str(reference)] if found := _REFERENCE.fullmatch(reference):
            return found[1]
        case dict() if len(body) == 1:
            (batch, value), *_ = body.items()
            if is_id(batch) and isinstance(value, dict) and value.get("id") in {None, batch}:
                _check_created(batch, value, request, org)
                return batch
    raise Unreadable("the body names no batch")


def _check_created(batch: str, fields: Mapping[str, Json], request: CreateRequest, org: str) -> None:
    datasets = _datasets(fields.get("relatedObjects"))
    if datasets and request.dataset not in datasets:
        raise Unreadable(f"the body names a batch of another dataset, `{datasets[0]}`")
    external_id = _text(fields.get("externalId"))
    if external_id not in {None, "", batch, request.external_id}:
        raise Unreadable(f"the body names a batch with another external id, `{external_id}`")
    if _text(fields.get("imsOrg")) not in {None, "", org}:
        raise Unreadable("the body names a batch of another organisation")


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing."""

    size: int
    """Entries that the service sent, readable or not: fewer than a full page end the listing."""
    batches: tuple[Observed, ...]


def read_page(body: Json) -> Page:
    """Return the batches of a Catalog answer: a map by id (aep-api.md §8.1), or a list of objects."""
    batches = tuple(_observed(batch, fields) for batch, fields in read_objects(body).items())
    return Page(len(_entries(body)), batches)


def read_objects(body: Json) -> dict[str, dict[str, Json]]:
    """Return the objects of a Catalog answer by id; entries that are no objects are skipped.

    Raises `Unreadable` if there are entries but no object among them, if the body is an error that came with a status
    of success, and for an id that is none.
    """
    entries = _entries(body)
    if any(name in _ERROR_FIELDS for name, _ in entries):
        raise Unreadable("the body is an error message")
    objects = {name: value for name, value in entries if isinstance(value, dict)}
    if not objects and any(value is not None for _, value in entries):
        raise Unreadable("the body holds no object")
    for name, fields in objects.items():
        if not is_id(name):
            raise Unreadable("the body names an object by something that is no id")
        if fields.get("id") not in {None, name}:
            raise Unreadable("the body gives one object two ids")
    return objects


def _entries(body: Json) -> list[tuple[str, Json]]:
    if isinstance(body, dict):
        return list(body.items())
    if isinstance(body, list):
        return [(_text(each.get("id")) or "" if isinstance(each, dict) else "", each) for each in body]
    raise Unreadable("the body is no map of objects")


def _observed(batch: str, fields: Mapping[str, Json]) -> Observed:
    shape, replay = _map(fields.get("inputFormat")), _map(fields.get("replay"))
    kind, predecessors = _text(shape.get("format")), texts(replay.get("predecessors"))
    return Observed(
        id=batch,
        status=(_text(fields.get("status")) or UNKNOWN_STATUS).strip().lower(),
        datasets=frozenset(_datasets(fields.get("relatedObjects"))),
        external_id=_text(fields.get("externalId")),
        tags=_tags(fields.get("tags")),
        format=kind.lower() if kind else None,
        multiline=_flag(shape.get("isMultiLineJson")),
        created=_whole(fields.get("created")),
        updated=_whole(fields.get("updated")),
        predecessors=tuple(map(_bare_id, predecessors)),
        odd_predecessors=tuple([each for each in predecessors if _bare_id(each) != each]),
        replay_reason=_text(replay.get("reason")),
        errors=_errors(fields),
        records=_count(fields, "recordCount", "outputRecordCount", "recordsWritten", "inputRecordCount"),
        failed_records=_count(fields, "failedRecordCount", "recordsFailed"),
    )


def _count(fields: Mapping[str, Json], *names: str) -> int | None:
    """The first of these counts that the batch or its `metrics` hold (aep-api.md §8.4)."""
    metrics = _map(fields.get("metrics"))
    counts = (_whole(side.get(name)) for side in (fields, metrics) for name in names)
    return next((count for count in counts if count is not None), None)


def _tags(value: Json) -> dict[str, tuple[str, ...]]:
    """The tags; without a successor that is no id, since it would become part of a URL."""
    tags = {_clean(name): tuple(texts(values)) for name, values in _map(value).items()}
    if not all(map(is_id, tags.get(SUCCESSOR_TAG, ()))):
        del tags[SUCCESSOR_TAG]
    return tags


def _datasets(related: Json) -> list[str]:
    pairs = [(_text(each.get("type")), _text(each.get("id"))) for each in _list(related) if isinstance(each, dict)]
    return [name for kind, name in pairs if name and kind and kind.lower() == "dataset"]


def _errors(fields: Mapping[str, Json]) -> tuple[str, ...]:
    """What went wrong, wherever AEP put it: the batch's own reason and errors, then its parts' (aep-api.md §8.4)."""
    own = _reasons(fields, _text(fields.get("status")))
    parts = [each for each in _list(fields.get("relatedObjects")) if isinstance(each, dict)]
    found = [*own, *(reason for part in parts for reason in _part_reasons(part))] if parts else own
    return tuple(dict.fromkeys(found))[:MOST_ERRORS]


def _part_reasons(part: Mapping[str, Json]) -> list[str]:
    status = _text(part.get("status"))
    if not status and "errors" not in part and "metrics" not in part:
        return []  # nearly always
    reasons = _reasons(part, status)
    if not reasons and status and STATUS_CLASSES.get(status.lower()) is StatusClass.FAILED:
        return [f"{_text(part.get('type')) or 'a part'} {_text(part.get('id')) or ''}: {status}".replace(" :", ":")]
    return reasons


def _reasons(fields: Mapping[str, Json], status: str | None) -> list[str]:
    """The reason of a failure, which sums up, then each error; of what is loaded, the reason counts no more."""
    lines = []
    for each in _list(fields.get("errors"))[:MOST_ERRORS]:
        parts = (each.get("code"), each.get("description")) if isinstance(each, dict) else (each,)
        line = ": ".join(text for text in map(_text, parts) if text)
        lines.extend([line] if line else [])
    reason = " ".join(texts(_map(fields.get("metrics")).get("failureReason"))).strip()
    is_loaded = STATUS_CLASSES.get((status or "").strip().lower()) is StatusClass.DONE
    is_news = reason and not is_loaded and not any(reason in line for line in lines)
    return [reason, *lines] if is_news else lines


def _bare_id(reference: str) -> str:
    """The id within `$ID` or `${ID}`: answers show it bare, but no document promises that (aep-api.md §3.1)."""
    return reference.removeprefix("$").removeprefix("{").removesuffix("}")


def _map(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, dict) else {}


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def texts(value: Json) -> list[str]:
    """The texts of a list, or of a bare scalar: a tag can be either (aep-api.md §4)."""
    values = value if isinstance(value, list) else [value]
    return [text for each in values if (text := _text(each)) is not None]


def _text(value: Json) -> str | None:
    if isinstance(value, str):  # nearly always, and a refresh calls this a million times
        return value if value.isascii() else _clean(value)
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case _:
            return None


def _clean(text: str) -> str:
    """The text without lone surrogates, which JSON can hold and no file or terminal can."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _whole(value: Json) -> int | None:
    match value:
        case bool():
            return None
        case int() | float() if abs(value) <= LARGEST_COUNT and value == int(value):
            return int(value)
        case str() if re.fullmatch(r"[0-9]{1,18}", value):
            return int(value)
        case _:
            return None


def _flag(value: Json) -> bool | None:
    match value:
        case bool():
            return value
        case str() if value.lower() in {"true", "false"}:
            return value.lower() == "true"
        case _:
            return None
