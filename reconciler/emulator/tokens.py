"""Access tokens that carry their own facts and so outlive a restart (aep-api.md §2.1). Pure."""

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
    """What a token of ours says."""

    client: str
    serial: int
    """Counts the tokens handed out."""
    expires: int
    """Epoch milliseconds."""


def write_token(token: Token) -> str:
    """Return the token as text."""
    payload = base64.urlsafe_b64encode(json.dumps(asdict(token)).encode()).decode()
    return f"{PREFIX}{payload}.{_digest(payload)}"


def read_token(text: str) -> Token | None:
    """Return what the token says, or None if it is garbled or not ours."""
    payload, _, digest = text.removeprefix(PREFIX).partition(".")
    if not is_ours(text) or digest != _digest(payload):
        return None
    try:
        return Token(**json.loads(base64.urlsafe_b64decode(payload)))
    except (binascii.Error, ValueError, TypeError):
        return None


def is_ours(text: str) -> bool:
    """Tell whether the emulator has made the token, or somebody pretends so."""
    return text.startswith(PREFIX)


def _digest(payload: str) -> str:
    """Tell a garbled token from a good one; it protects nothing."""
    return hashlib.blake2b(payload.encode(), digest_size=DIGEST_BYTES).hexdigest()
