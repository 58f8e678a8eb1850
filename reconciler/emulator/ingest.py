"""The Import API's routes for batches: create one, act on one (aep-api.md §3, §5.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.emulator.creation import as_heeded, read_creation
from reconciler.emulator.exchange import Reply, json_reply, read_json_object
from reconciler.emulator.lifecycle import Action
from reconciler.emulator.problems import service

if TYPE_CHECKING:
    from reconciler.emulator.exchange import Call
    from reconciler.emulator.lake import Lake
    from reconciler.emulator.store import Stored


def create(lake: Lake, call: Call) -> Reply:
    """`POST /batches`: 201 and the new batch as one object, not in a map (E10)."""
    rules = lake.behaviour
    body = as_heeded(read_json_object(call), rules)
    creation = read_creation(body, reject_reserved_tags=rules.reject_reserved_tags, replay_echo=rules.replay_echo)
    stored = lake.create(call.caller, creation, lag_ms=call.lag_ms)
    answer: dict[str, object] = {"id": stored.id, **stored.object}
    if not lake.behaviour.create_tells_external_id:
        del answer["externalId"]
    return json_reply(answer | _misnamed(lake, stored), 201)


def _misnamed(lake: Lake, stored: Stored) -> dict[str, object]:
    """Return what the answer to a create tells wrongly."""
    match lake.behaviour.created_misnames:
        case "nothing":
            return {}
        case "dataset":
            return {"relatedObjects": [{"type": "dataSet", "id": "0" * 24}]}
        case "external-id":
            return {"externalId": f"not-{stored.object['externalId']}"}
        case "id":
            return {"id": lake.store.read("WHERE scope = ? ORDER BY n LIMIT 1", (stored.scope,))[0].id}


def act(lake: Lake, call: Call) -> Reply:
    """`POST /batches/{id}?action=`: 200 once accepted (E30 to E37)."""
    stored = lake.find(call.caller, call.path["batch"])
    after = lake.act(stored, read_action(call), user=f"{call.caller.client}@AdobeID")
    return accepted(lake, {"id": after.id, **after.object})


def read_action(call: Call) -> Action:
    """Return the action that the query names, in upper or lower case; raises `Problem` 400."""
    word = call.parameters.get("action", "").upper()
    if word not in set(Action):
        raise service(400, f"action must be one of {', '.join(Action)}")
    return Action(word)


def accepted(lake: Lake, value: object, status: int = 200) -> Reply:
    """Reply to an action or an upload: nothing, `1` or the object (E33)."""
    match lake.behaviour.action_body:
        case "empty":
            return Reply(status)
        case "one":
            return json_reply(1, status)
        case "object":
            return json_reply(value, status)
