"""A file into a batch: one PUT if it is small, else parts that are taken up again where they ended (aep-api.md §6).

Bodies are streamed from what can be read anew for each attempt. A body that is read only once would be sent empty
by a second attempt, and AEP would take that for the file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING

from reconciler.core.errors import NotFound, Rejected
from reconciler.platform.answer import Unreadable
from reconciler.platform.changes import CLASHES
from reconciler.platform.exchange import Call
from reconciler.platform.outcome import WITHOUT_VERDICT
from reconciler.platform.problems import Asked
from reconciler.platform.sending import LONGEST_ATTEMPT
from reconciler.platform.urls import LONGEST_URL, url

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

    from reconciler.platform.answer import Answer
    from reconciler.platform.exchange import Exchange
    from reconciler.ports import Content, FilePlace

LARGEST_PUT = 256_000_000
"""Bytes of the largest file that goes in one request (aep-api.md §6.1)."""
LARGEST_PART = 512_000_000
"""Bytes of the largest part (aep-api.md §6.2)."""
SLOWEST = 128 * 1024
"""Bytes a second below which an upload is given up."""

OCTETS = {"content-type": "application/octet-stream"}

Ranges = list[tuple[int, int]]
"""First byte and the byte behind the last, sorted."""

_RANGE = re.compile(r"(\d{1,18})-(\d{1,18})")


@dataclass(frozen=True, slots=True)
class Body:
    """A stretch of a file as the body of a request: each iteration opens the file again."""

    content: Content
    first: int
    stop: int

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self.content.chunks(self.first, self.stop)

    @property
    def seconds(self) -> float:
        """How long sending it may take."""
        return (self.stop - self.first) / SLOWEST

    @property
    def headers(self) -> dict[str, str]:
        """Its length is told, so that a body that is cut short is never taken for a whole one."""
        return {**OCTETS, "content-length": str(self.stop - self.first)}


@dataclass(frozen=True, slots=True)
class Upload:
    """One file on its way."""

    exchange: Exchange
    place: FilePlace
    url: str
    content: Content
    part_bytes: int

    async def run(self, *, resume: bool) -> None:
        """Send it; `resume`: parts of the same bytes may be there. Raises `PlatformError` or `ContentChanged`."""
        if len(self.url) > LONGEST_URL:
            raise Rejected(
                f"the name of file `{self.place.name}` is too long for AEP",
                hint="shorten it: AEP takes URLs of at most 2,000 characters",
                status=HTTPStatus.REQUEST_URI_TOO_LONG,
            )
        if self.content.size > LARGEST_PUT or not await self._fits_one_request():
            await self._in_parts(resume=resume)

    async def _fits_one_request(self) -> bool:
        """Send the whole file at once; False when a gateway finds it too large for that (aep-api.md §6.1)."""
        try:
            await self._send(self._call("PUT", "upload"), Body(self.content, 0, self.content.size))
        except Rejected as error:
            if error.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE and self.content.size > 0:
                return False
            raise
        return True

    async def _in_parts(self, *, resume: bool) -> None:
        there = await self._received() if resume else None
        if there is None:
            there = await self._begin()
        await self._send_missing(there)
        try:
            await self._finish()
        except Rejected as error:
            if error.status not in CLASHES:
                raise
            # What came does not fit together, or nobody knows what did: nothing of it is kept.
            await self._begin()
            await self._send_missing([])
            await self._finish()

    async def _begin(self) -> Ranges:
        """INITIALIZE. Whether it may be repeated is unverified (aep-api.md §7), so a refusal is looked into."""
        try:
            await self._send(self._call("POST", "begin", {"action": "INITIALIZE"}))
        except Rejected as error:
            if error.status not in CLASHES:
                raise
            there = await self._received()
            if there is None:
                raise
            return there
        return []

    async def _send_missing(self, there: Ranges) -> None:
        for first, stop in missing(there, self.content.size, min(self.part_bytes, LARGEST_PART)):
            call = self._call("PATCH", "upload a part of")
            headers = {"content-range": f"bytes {first}-{stop - 1}"}
            await self._send(replace(call, headers=headers), Body(self.content, first, stop))

    async def _received(self) -> Ranges | None:
        """What HEAD says has come; None when AEP knows no such file."""
        asked = Asked(f"look at file `{self.place.name}` of batch `{self.place.batch}`", is_read=True)
        try:
            return await self.exchange.read(Call(asked, "HEAD", self.url), _ranges)
        except NotFound:
            return None

    async def _finish(self) -> None:
        call = replace(self._call("POST", "finish", {"action": "COMPLETE"}), most=64 * 1024)
        answer = await self._send(call)
        size = _told_size(answer)
        if size is not None and size != self.content.size:
            raise Rejected(
                f"AEP made {size:,} bytes of the {self.content.size:,} of file `{self.place.name}`",
                hint="run again: the file is then sent anew",
                status=HTTPStatus.CONFLICT,
            )

    def _call(self, method: str, verb: str, query: Mapping[str, str] | None = None) -> Call:
        asked = Asked(f"{verb} file `{self.place.name}` of batch `{self.place.batch}`", is_read=False)
        return Call(asked, method, url(self.url, "", query))

    async def _send(self, call: Call, body: Body | None = None) -> Answer:
        """Send until there is a verdict: each of these calls may be repeated (aep-api.md §7)."""
        more = 0.0
        if body is not None:
            more = body.seconds
            headers = {**body.headers, **call.headers}
            call = replace(call, body=body, headers=headers, longest=LONGEST_ATTEMPT + more)
        return await self.exchange.retries.run(lambda: self.exchange.send(call), WITHOUT_VERDICT, extra_seconds=more)


def missing(there: Sequence[tuple[int, int]], size: int, part: int) -> Iterator[tuple[int, int]]:
    """Yield the stretches of a file that have not come, each of at most `part` bytes, none touching what has."""
    at = 0
    for first, stop in (*sorted(there), (size, size)):
        while at < min(first, size):
            end = min(at + part, first, size)
            yield at, end
            at = end
        at = max(at, stop)


def _ranges(answer: Answer) -> Ranges:
    """Read `Range: bytes=0-9,20-29`; nothing has come when there is none."""
    return sorted((int(first), int(last) + 1) for first, last in _RANGE.findall(answer.header("range")))


def _told_size(answer: Answer) -> int | None:
    try:
        body = answer.json()
    except Unreadable:
        return None
    size = body.get("sizeInBytes") if isinstance(body, dict) else None
    return size if isinstance(size, int) else None
