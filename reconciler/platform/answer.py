"""An HTTP answer as a value: a status, headers and a body of bounded size. `outcome` says what it means."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

    from reconciler.core.batch import Json

LONGEST_REQUEST_ID = 128
REQUEST_ID_HEADERS = (
    "x-request-id",
    "x-adobe-request-id",
    "x-adobe-requestid",
    "x-correlation-id",
    "x-amzn-requestid",
)


class Unreadable(ValueError):
    """The body is not what it should be: cut, too long, not JSON, or JSON of another shape. The message says which."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer whose body was read as far as it matters."""

    status: int
    headers: httpx.Headers
    body: bytes

    def header(self, name: str) -> str:
        """Return a header's value, "" when there is none."""
        value: str = self.headers.get(name, "")
        return value.strip()

    @property
    def is_html(self) -> bool:
        """Whether it is a web page. AEP's services never send one: a proxy, a portal or a wrong host answered."""
        # An empty body is none, whatever its type: web frameworks send empty answers as HTML.
        return self.holds_markup or (bool(self.body.strip()) and "html" in self.header("content-type"))

    @property
    def holds_markup(self) -> bool:
        """Whether the body begins like a web page, whatever its content type is."""
        return self.body.lstrip()[:1] == b"<"

    @property
    def request_id(self) -> str | None:
        """The service's own id of the request; None unless it is short and plain."""
        for name in REQUEST_ID_HEADERS:
            value = self.header(name)
            if len(value) <= LONGEST_REQUEST_ID and re.fullmatch(r"[\w.:=/+-]+", value, re.ASCII):
                return value
        return None

    def json(self) -> Json:
        """Return the body as JSON. Raises `Unreadable`."""
        try:
            body: Json = json.loads(self.body, parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            what = "a web page (HTML)" if self.is_html else "nothing" if not self.body.strip() else "no JSON"
            raise Unreadable(f"the body is {what}") from None
        return body

    @property
    def date(self) -> float | None:
        """When the service answered by its own clock, in whole epoch seconds; None where it does not say."""
        try:
            return parsedate_to_datetime(self.header("date")).timestamp()
        except (ValueError, OverflowError):
            return None

    def retry_after(self, now: float) -> float | None:
        """Return how many seconds `Retry-After` asks to wait.

        One that names a date is compared with the answer's own; `now`, in epoch seconds, is for an answer without.
        """
        value = self.header("retry-after")
        if re.fullmatch(r"[0-9]{1,9}(\.[0-9]*)?", value):
            return float(value)
        try:
            sent = self.date
            return max(0.0, parsedate_to_datetime(value).timestamp() - (now if sent is None else sent))
        except (ValueError, OverflowError):
            return None


def _refuse_constant(name: str) -> None:
    """Refuse `NaN` and `Infinity`, which JSON does not have and Python reads."""
    raise ValueError(name)


async def read_bounded(response: httpx.Response, max_bytes: int) -> bytes:
    """Read the body. Raises `Unreadable` if it has more than `max_bytes` (decompressed), and httpx's own errors."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.aiter_bytes():
        size += len(chunk)
        if size > max_bytes:
            raise Unreadable(f"the body is longer than {max_bytes:,} bytes")
        chunks.append(chunk)
    return b"".join(chunks)
