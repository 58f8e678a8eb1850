"""Access tokens that hold their own client and end, and so are valid after a restart (aep-api.md §2.1). Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Final

PREFIX: Final = "emulator."
DIGEST_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Token:
    """What a token of the emulator says."""

    client: str
    serial: int
    """The number of the token, from 1."""
    expires: int
    """Epoch milliseconds."""


def write_token(token: Token) -> str:
    """Return the token as text."""
    payload = base64.urlsafe_b64encode(json.dumps(asdict(token)).encode()).decode()
    return f"{PREFIX}{payload}.{_digest(payload)}"


def read_token(text: str) -> Token | None:
    """Return what the token says, or None if it is damaged or not from here."""
    payload, _, digest = text.removeprefix(PREFIX).partition(".")
    if not is_ours(text) or digest != _digest(payload):
        return None
    try:
        return Token(**json.loads(base64.urlsafe_b64decode(payload)))
    except (binascii.Error, ValueError, TypeError):
        return None


def is_ours(text: str) -> bool:
    """Tell whether the token looks like one of the emulator's, valid or not."""
    return text.startswith(PREFIX)


def _digest(payload: str) -> str:
    """Return a checksum that shows a damaged token; it protects nothing."""
    return hashlib.blake2b(payload.encode(), digest_size=DIGEST_BYTES).hexdigest()
