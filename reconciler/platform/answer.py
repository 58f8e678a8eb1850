"""What came back, as a value: a status, headers and a bounded body. Knows HTTP and JSON, nothing of AEP."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

    from reconciler.core.batch import Json

LONGEST_ID = 128
REQUEST_ID_HEADERS = (
    "x-request-id",
    "x-adobe-request-id",
    "x-adobe-requestid",
    "x-correlation-id",
    "x-amzn-requestid",
)


class Unreadable(ValueError):
    """The body is not what it should be: cut, too long, not JSON, or JSON of another shape. Says how."""


class TooLong(Unreadable):
    """The body goes on beyond what is read."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, read as far as it was wanted."""

    status: int
    headers: httpx.Headers
    body: bytes

    def header(self, name: str) -> str:
        """Return a header's value, "" when it is not there."""
        value: str = self.headers.get(name, "")
        return value.strip()

    @property
    def is_html(self) -> bool:
        """Whether a web page came, which AEP's services never send: a proxy, a portal or a wrong host answered."""
        # Without a body the type says nothing: web frameworks call an empty answer HTML.
        return self.holds_markup or (bool(self.body.strip()) and "html" in self.header("content-type"))

    @property
    def holds_markup(self) -> bool:
        """Whether the body begins like a web page, whatever its type is."""
        return self.body.lstrip()[:1] == b"<"

    @property
    def request_id(self) -> str | None:
        """The service's own name for the request; None unless it is short and plain."""
        for name in REQUEST_ID_HEADERS:
            value = self.header(name)
            if len(value) <= LONGEST_ID and re.fullmatch(r"[\w.:=/+-]+", value, re.ASCII):
                return value
        return None

    def json(self) -> Json:
        """Return the body as JSON. Raises `Unreadable`."""
        try:
            body: Json = json.loads(self.body, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            what = "a web page (HTML)" if self.is_html else "nothing" if not self.body.strip() else "no JSON"
            raise Unreadable(f"the body is {what}") from None
        return body

    @property
    def date(self) -> float | None:
        """Epoch seconds by the service's clock when it answered, in whole seconds; None where it does not say."""
        try:
            return parsedate_to_datetime(self.header("date")).timestamp()
        except (ValueError, OverflowError):
            return None

    def retry_after(self, now: float) -> float | None:
        """Return the seconds that `Retry-After` asks for, as a number or as a date; `now` is epoch seconds."""
        value = self.header("retry-after")
        if re.fullmatch(r"[0-9]{1,9}(\.[0-9]*)?", value):
            return float(value)
        try:
            return max(0.0, parsedate_to_datetime(value).timestamp() - now)
        except (ValueError, OverflowError):
            return None


def _no_constant(name: str) -> None:
    raise ValueError(name)


async def read_bounded(response: httpx.Response, most: int) -> bytes:
    """Read the body. Raises `TooLong` beyond `most` bytes (after decompression), and httpx's own errors."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.aiter_bytes():
        size += len(chunk)
        if size > most:
            raise TooLong(f"the body is longer than {most:,} bytes")
        chunks.append(chunk)
    return b"".join(chunks)
