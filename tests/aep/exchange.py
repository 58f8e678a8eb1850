"""A request to the tests' AEP and its answer, as values."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it arrived; header names in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        """The path without the query."""
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        """The query's fields."""
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    @property
    def json(self) -> Any:
        """The JSON in the body."""
        return json.loads(self.body)


class Sent(Enum):
    """How much of an answer the client gets."""

    WHOLE = auto()
    HALF = auto()
    """Half of the body, then the connection ends."""
    CLOSED = auto()
    """Nothing: the connection ends."""
    RESET = auto()
    """Nothing: the connection is reset."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    sent: Sent = Sent.WHOLE

    @classmethod
    def of(cls, status: int, value: object, **headers: str) -> Reply:
        """An answer in JSON."""
        return cls(status, json.dumps(value).encode(), {"Content-Type": "application/json", **headers})


HTML = Reply(200, b"<!doctype html><html><body><h1>It works!</h1></body></html>", {"Content-Type": "text/html"})
NOT_FOUND = Reply.of(404, {"title": "NotFoundError"})
