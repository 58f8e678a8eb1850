"""One request and its answer, as the handlers of the routes see them. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from reconciler.emulator.objects import dump
from reconciler.emulator.problems import Problem, bad_content

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.emulator.objects import JsonObject

JSON: Final = "application/json"
JSON_PATCH: Final = "application/json-patch+json"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and for which sandbox; the gateway has checked it."""

    org: str
    sandbox: str
    client: str


@dataclass(frozen=True, slots=True)
class Call:
    """A request that the gateway has let in."""

    caller: Caller
    path: Mapping[str, str]
    """The variable parts of the path, decoded."""
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    """By lower case name."""
    body: bytes = b""
    lag_ms: int = 0
    """How many milliseconds Catalog hides what this call creates (the fault `Lag`)."""

    @property
    def parameters(self) -> dict[str, str]:
        """The query string; of several values of one name the last one."""
        return dict(self.query)

    @property
    def media_type(self) -> str:
        """`Content-Type` without its parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer."""

    status: int = 200
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


def json_reply(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """Reply with a JSON value."""
    return json_text_reply(dump(value), status, headers)


def json_text_reply(text: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """Reply with a text that is JSON already."""
    return Reply(status, text, {"content-type": JSON, **(headers or {})})


def problem_reply(problem: Problem) -> Reply:
    """Reply with the status, body and headers of a `Problem`."""
    return json_reply(problem.body, problem.status, problem.headers)


def read_json(call: Call, *accepted: str) -> object:
    """Return the body's JSON value; raises `Problem` 400 for another media type or for no JSON (E9)."""
    if call.media_type not in (accepted or (JSON,)):
        raise bad_content(f"Content-Type must be {' or '.join(accepted or (JSON,))}")
    try:
        value: object = json.loads(call.body)
    except (ValueError, RecursionError) as error:
        raise bad_content(f"the body is no JSON: {error}") from error
    return value


def read_json_object(call: Call) -> JsonObject:
    """Return the body's JSON object, or raise `Problem` 400."""
    value = read_json(call)
    if not isinstance(value, dict):
        raise bad_content("the body must be a JSON object")
    return value
