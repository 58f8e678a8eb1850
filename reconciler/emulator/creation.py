"""`POST /import/batches`: from the body to the new batch (aep-api.md §3, E10 to E17). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from reconciler.emulator.behaviour import PERCENT_FIELDS, Behaviour, ReplayEcho, TagForm
from reconciler.emulator.problems import service

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from reconciler.emulator.objects import BatchObject, Json, JsonObject, Replay

FORMATS: Final = frozenset({"json", "parquet", "csv", "avro"})
RESERVED_TAGS: Final = frozenset({"unifiedProfile", "unifiedIdentity"})
RESERVED_PREFIX: Final = "adobe"
CSV_FIELDS: Final = ("delimiter", "quote", "escape", "nullMarker", "charset")


@dataclass(frozen=True, slots=True)
class Creation:
    """What the caller asks for, checked."""

    dataset: str
    input_format: dict[str, str | bool]
    external_id: str | None
    tags: dict[str, list[str]]
    replay: Replay | None


@dataclass(frozen=True, slots=True)
class Origin:
    """Who creates, where and when."""

    id: str
    org: str
    sandbox_id: str
    client: str
    now: int
    """Epoch milliseconds."""


def read_creation(body: JsonObject, *, reject_reserved_tags: bool, replay_echo: ReplayEcho = "plain") -> Creation:
    """Check the body. Unknown fields are ignored (E16); raises `Problem` 400."""
    return Creation(
        dataset=_text(body, "datasetId", required=True) or "",
        input_format=_input_format(body.get("inputFormat")),
        external_id=_text(body, "externalId"),
        tags=_tags(body.get("tags"), reject_reserved=reject_reserved_tags) | _diagnostic_tags(body),
        replay=_replay(body.get("replay"), replay_echo),
    )


def new_batch(creation: Creation, origin: Origin) -> BatchObject:
    """Return the batch in its first state: `loading`, version 1.0.0, created and updated at once (§3.2)."""
    user = f"{origin.client}@AdobeID"
    batch: BatchObject = {
        "imsOrg": origin.org,
        "sandboxId": origin.sandbox_id,
        "created": origin.now,
        "updated": origin.now,
        "createdClient": origin.client,
        "createdUser": user,
        "updatedUser": user,
        "externalId": creation.external_id or origin.id,
        "status": "loading",
        "version": "1.0.0",
        "relatedObjects": [{"type": "dataSet", "id": creation.dataset}],
        "tags": creation.tags | _system_tags(origin),
        "inputFormat": creation.input_format,
    }
    if creation.replay is not None:
        batch["replay"] = creation.replay
    return batch


def _system_tags(origin: Origin) -> dict[str, list[str]]:
    return {
        "acp_producer": [origin.client],
        "acp_stagePath": [f"{origin.client}/stage/{origin.id}"],
        "use_plan_b_batch_status": ["false"],
    }


def _text(body: Mapping[str, Json], name: str, *, required: bool = False) -> str | None:
    value = body.get(name)
    if value is None and not required:
        return None
    if not isinstance(value, str) or not value:
        raise service(400, f"{name} must be a string that is not empty")
    return value


def _input_format(value: Json) -> dict[str, str | bool]:
    if value is None:
        return {"format": "parquet"}
    if not isinstance(value, dict):
        raise service(400, "inputFormat must be an object")
    name = (_text(value, "format") or "parquet").lower()
    if name not in FORMATS:
        raise service(400, f"inputFormat.format must be one of {', '.join(sorted(FORMATS))}")
    result: dict[str, str | bool] = {"format": name}
    multiline = value.get("isMultiLineJson")
    if isinstance(multiline, bool):
        result["isMultiLineJson"] = multiline
    for field in CSV_FIELDS:
        text = value.get(field)
        if isinstance(text, str):
            result[field] = text
    if "header" in value:  # Catalog shows it as text (§8.4)
        result["header"] = str(value["header"]).lower()
    return result


def read_tags(value: Json) -> dict[str, list[str]]:
    """Check a map of tag names to lists of strings; raises `Problem` 400."""
    if not isinstance(value, dict):
        raise service(400, "tags must be an object")
    return {name: _tag_values(name, values) for name, values in value.items()}


def _tag_values(name: str, values: Json) -> list[str]:
    if not isinstance(values, list):
        raise service(400, f"tag {name} must be an array of strings")
    texts = [value for value in values if isinstance(value, str)]
    if len(texts) != len(values):
        raise service(400, f"tag {name} must be an array of strings")
    return texts


def _tags(value: Json, *, reject_reserved: bool) -> dict[str, list[str]]:
    tags = read_tags({} if value is None else value)
    reserved = {name for name in tags if name in RESERVED_TAGS or name.startswith(RESERVED_PREFIX)}
    if reserved and reject_reserved:
        raise service(400, f"reserved tag names: {', '.join(sorted(reserved))}")
    return {name: values for name, values in tags.items() if name not in reserved}


def _diagnostic_tags(body: JsonObject) -> dict[str, list[str]]:
    """Return the tags that Catalog shows for two options of ingestion (§3.1)."""
    tags: dict[str, list[str]] = {}
    if "enableErrorDiagnostics" in body:
        tags["acp_enableErrorDiagnostics"] = [str(body["enableErrorDiagnostics"]).lower()]
    for name in PERCENT_FIELDS:
        percent = body.get(name)
        if percent is None:
            continue
        if type(percent) is not int or not 0 <= percent <= 100:  # noqa: PLR2004 - per cent
            raise service(400, f"{name} must be an integer from 0 to 100")
        tags[f"acp_{PERCENT_FIELDS[0]}"] = [str(percent)]  # for both spellings
    return tags


def as_heeded(body: JsonObject, behaviour: Behaviour) -> JsonObject:
    """Return the body as a service understands it that does not know some options."""
    heeded = {
        name: 0 if name in PERCENT_FIELDS and name not in behaviour.heeded_percent_fields else value
        for name, value in body.items()
    }
    if "enableErrorDiagnostics" in heeded and not behaviour.heeds_error_diagnostics:
        heeded["enableErrorDiagnostics"] = False
    return heeded


def formed(tags: Mapping[str, list[str]], form: TagForm) -> dict[str, list[str]]:
    """Return tags that a caller wrote in the form in which they are kept."""
    return {name: FORMS[form](values) for name, values in tags.items()}


FORMS: Final[Mapping[TagForm, Callable[[list[str]], list[str]]]] = {
    "as-sent": list,
    "sorted": sorted,
    "unique": lambda values: list(dict.fromkeys(values)),
    "trimmed": lambda values: [value.strip() for value in values],
    "lower": lambda values: [value.lower() for value in values],
    "rewritten": lambda values: [value.replace(":", "_") for value in values],
}


def _replay(value: Json, echo: ReplayEcho) -> Replay | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise service(400, "replay must be an object")
    replay: Replay = {"predecessorListingType": "IMMEDIATE"}
    if "predecessors" in value and echo != "none":
        replay["predecessors"] = _echoed(value["predecessors"], echo)
    if "predecessorsByExternalId" in value:
        replay["predecessorsByExternalId"] = _references(value["predecessorsByExternalId"])
    if (reason := _text(value, "reason")) is not None:
        replay["reason"] = reason
    return replay


def _echoed(value: Json, echo: ReplayEcho) -> list[str]:
    bare = _references(value)
    match echo:
        case "dollar":
            return [f"${each}" for each in bare]
        case "foreign":
            return [f"{each[:-4]}0000" for each in bare]
        case _:
            return bare


def _references(value: Json) -> list[str]:
    """Read batch references: sent as `$id`, printed in Adobe's pages as `${id}`, answered as `id` (E17)."""
    return [
        reference.removeprefix("$").removeprefix("{").removesuffix("}")
        for reference in _tag_values("predecessors", value)
    ]
