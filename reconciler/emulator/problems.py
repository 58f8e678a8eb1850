"""Refusals of the emulated API: status and body as Adobe's gateway or services send them (aep-api.md §2)."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Problem(Exception):
    """Ends a request with this status, JSON body and these headers."""

    def __init__(self, status: int, body: Mapping[str, object], headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status} {body}")
        self.status = status
        self.body = body
        self.headers = dict(headers or {})


def gateway(code: str, message: str, headers: Mapping[str, str] | None = None) -> Problem:
    """Refuse as the gateway does, before the service: the status is the start of the code (§2.2)."""
    return Problem(int(code[:3]), {"error_code": code, "message": message}, headers)


def expired_token() -> Problem:
    """Refuse an expired or damaged token (E3)."""
    return gateway("401013", "Oauth token is not valid")


def too_many_requests(headers: Mapping[str, str] | None = None) -> Problem:
    """Refuse for now: the quota is used up (E6, E42)."""
    return gateway("429050", "Too many requests", headers)


def service(status: int, detail: str) -> Problem:
    """Refuse as an AEP service does (§2.3). The exact bodies are undocumented: no client may depend on them."""
    title = HTTPStatus(status).phrase
    return Problem(
        status,
        {
            "type": f"http://ns.adobe.com/aep/errors/EMUL-1000-{status}",
            "title": title,
            "status": status,
            "detail": detail,
            "report": {"detailed-message": detail},
        },
    )


def bad_content(detail: str) -> Problem:
    """Refuse a missing or wrong `Content-Type`, or a body that is no JSON object (E9)."""
    return Problem(
        400,
        {"type": "/placeholder/type/uri", "status": 400, "title": "BadRequestError", "detail": detail},
    )


def ims(status: int, code: str, description: str) -> Problem:
    """Refuse a token in the shape of OAuth (§2.1, E2)."""
    return Problem(status, {"error": code, "error_description": description})
