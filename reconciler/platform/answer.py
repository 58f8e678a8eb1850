"""An HTTP answer as a value: a status, headers and a body of bounded size. `outcome` says what it means."""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import httpx

from reconciler.core.states.lines import no_doubles

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.core.batch import Json

LONGEST_REQUEST_ID = 128
GZIP = 16 + zlib.MAX_WBITS
"""What zlib calls the one coding that is asked for."""
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

    def json(self, *, unique: bool = False) -> Json:
        """Return the body as JSON. Raises `Unreadable`; with `unique` also for a name that stands twice in an object.

        A long listing is read without that check, which takes half as long again.
        """
        pairs = no_doubles if unique else None
        try:
            body: Json = json.loads(self.body, parse_constant=_refuse_constant, object_pairs_hook=pairs)
        except (ValueError, RecursionError):
            what = "a web page (HTML)" if self.is_html else "nothing" if not self.body.strip() else "no JSON"
            raise Unreadable(f"the body is {what}") from None
        return body

    @property
    def date(self) -> float | None:
        """When the service answered by its own clock, in whole epoch seconds; None where it does not say."""
        return _epoch_seconds(self.header("date"))

    def retry_after(self, now: float) -> float | None:
        """Return how many seconds `Retry-After` asks to wait, also when it is far too long; None: it asks for none.

        A date is compared with the answer's own; with `now`, in epoch seconds, where the answer has none.
        """
        value = self.header("retry-after")
        if re.fullmatch(r"[0-9]+(\.[0-9]*)?", value, re.ASCII):
            return float(value)  # of too many digits: infinity
        until = _epoch_seconds(value)
        own = self.date
        return None if until is None else max(0.0, until - (now if own is None else own))


def _epoch_seconds(date: str) -> float | None:
    """The time of a date in a header; None for what is none. A zone that is left out is GMT, as HTTP says."""
    try:
        found = parsedate_to_datetime(date)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _refuse_constant(name: str) -> None:
    """Refuse `NaN` and `Infinity`, which JSON does not have and Python reads."""
    raise ValueError(name)


async def read_bounded(response: httpx.Response, max_bytes: int) -> bytes:
    """Read the body. Raises `Unreadable` if it has more than `max_bytes` (decompressed), and httpx's own errors.

    httpx would unpack each piece whole and codings one in the other: a kilobyte could become gigabytes of memory. So
    only the coding that was asked for is read, and never further than `max_bytes`.
    """
    body = bytearray()
    unpack = _unpacker(response.headers)
    assert isinstance(response.stream, httpx.AsyncByteStream)
    async for chunk in response.stream:
        body += unpack(chunk, max_bytes + 1 - len(body))
        if len(body) > max_bytes:
            raise Unreadable(f"the body is longer than {max_bytes:,} bytes")
    return bytes(body)


def _unpacker(headers: httpx.Headers) -> Callable[[bytes, int], bytes]:
    """What unpacks the pieces of a body, each to at most so many bytes. Raises `Unreadable`, at once or in between."""
    codings = [name.strip().lower() for name in headers.get("content-encoding", "").split(",")]
    match [name for name in codings if name not in {"", "identity"}]:
        case []:
            return lambda chunk, most: chunk[:most]
        case ["gzip" | "x-gzip"]:
            unpacking = zlib.decompressobj(GZIP)
        case _:
            raise Unreadable("the body is packed in another way than by `gzip` once, which alone was asked for")

    def unpack(chunk: bytes, most: int) -> bytes:
        try:
            return unpacking.decompress(chunk, most)
        except zlib.error:
            raise Unreadable("the body is no gzip, though its header says so") from None

    return unpack
