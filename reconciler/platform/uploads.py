"""Puts a file into a batch: one PUT if it is small, else parts, of which the missing ones are sent (aep-api.md §6).

Bodies are streamed, and every attempt reads its body anew. A body that can be read only once would be empty in the
second attempt, and AEP would take nothing for the file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING

from reconciler.core.errors import NotFound, Rejected
from reconciler.platform.answer import Unreadable
from reconciler.platform.changes import WRONG_STATE
from reconciler.platform.exchange import JSON_HEADERS, Call
from reconciler.platform.outcome import WITHOUT_VERDICT
from reconciler.platform.problems import Operation
from reconciler.platform.sending import ATTEMPT_SECONDS
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
LARGEST_RECEIPT = 64 * 1024
"""Bytes that are read of the answer to the COMPLETE of a file."""
SLOWEST = 128 * 1024
"""Bytes a second: an upload that is slower on average is given up."""

OCTETS = {"content-type": "application/octet-stream"}

Ranges = list[tuple[int, int]]
"""Parts of a file, sorted: the first byte of each, and the byte after its last."""

_RANGE = re.compile(r"(\d{1,18})-(\d{1,18})")


@dataclass(frozen=True, slots=True)
class Body:
    """A part of a file as the body of a request: each iteration opens the file again."""

    content: Content
    first: int
    stop: int

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self.content.chunks(self.first, self.stop)

    @property
    def seconds(self) -> float:
        """How long it may take to send."""
        return (self.stop - self.first) / SLOWEST

    @property
    def headers(self) -> dict[str, str]:
        """They state the length, so that a body that is cut short is never taken for a whole one."""
        return {**OCTETS, "content-length": str(self.stop - self.first)}


@dataclass(frozen=True, slots=True)
class Upload:
    """One file that is sent to AEP."""

    exchange: Exchange
    place: FilePlace
    url: str
    content: Content
    part_bytes: int

    async def run(self, *, resume: bool) -> None:
        """Send it. `resume`: AEP may have parts of the same bytes. Raises `PlatformError` or `ContentChanged`."""
        if len(self.url) > LONGEST_URL:
            raise Rejected(
                f"the name of file `{self.place.name}` is too long for AEP",
                hint="shorten it: AEP takes URLs of at most 2,000 characters",
                status=HTTPStatus.REQUEST_URI_TOO_LONG,
            )
        if self.content.size > LARGEST_PUT or not await self._send_whole():
            await self._in_parts(resume=resume)

    async def _send_whole(self) -> bool:
        """Send the file in one request; False if a gateway refuses it for its size (aep-api.md §6.1)."""
        try:
            await self._send(self._call("PUT", "upload"), Body(self.content, 0, self.content.size))
        except Rejected as error:
            if error.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE and self.content.size > 0:
                return False
            raise
        return True

    async def _in_parts(self, *, resume: bool) -> None:
        received = await self._received() if resume else None
        if received is None:
            received = await self._begin()
        await self._send_missing(received)
        try:
            await self._finish()
        except Rejected as error:
            if error.status not in WRONG_STATE:
                raise
            # The parts that AEP has do not make up the file, or it has lost them: send all of them again.
            await self._begin()
            await self._send_missing([])
            await self._finish()

    async def _begin(self) -> Ranges:
        """INITIALIZE, and return what AEP has of the file already.

        Whether it can be repeated is unverified (aep-api.md §7): after a refusal, the file may have been begun.
        """
        try:
            await self._send(self._call("POST", "begin", {"action": "INITIALIZE"}))
        except Rejected as error:
            if error.status not in WRONG_STATE:
                raise
            received = await self._received()
            if received is None:
                raise
            return received
        return []

    async def _send_missing(self, received: Ranges) -> None:
        for first, stop in missing(received, self.content.size, min(self.part_bytes, LARGEST_PART)):
            call = self._call("PATCH", "upload a part of")
            headers = {"content-range": f"bytes {first}-{stop - 1}"}
            await self._send(replace(call, headers=headers), Body(self.content, first, stop))

    async def _received(self) -> Ranges | None:
        """Which bytes AEP has, by HEAD; None if it knows no such file."""
        operation = Operation(f"look at file `{self.place.name}` of batch `{self.place.batch}`", is_read=True)
        try:
            return await self.exchange.read(Call(operation, "HEAD", self.url), _ranges)
        except NotFound:
            return None

    async def _finish(self) -> None:
        call = replace(self._call("POST", "finish", {"action": "COMPLETE"}), max_bytes=LARGEST_RECEIPT)
        size = _size_in_bytes(await self._send(call))
        if size is not None and size != self.content.size:
            raise Rejected(
                f"AEP made {size:,} bytes of the {self.content.size:,} of file `{self.place.name}`",
                hint="run again: the file is then sent anew",
                status=HTTPStatus.CONFLICT,
            )

    def _call(self, method: str, verb: str, query: Mapping[str, str] | None = None) -> Call:
        operation = Operation(f"{verb} file `{self.place.name}` of batch `{self.place.batch}`", is_read=False)
        return Call(operation, method, url(self.url, "", query), headers=JSON_HEADERS if method == "POST" else {})

    async def _send(self, call: Call, body: Body | None = None) -> Answer:
        """Send until there is a verdict: all of these calls can be repeated (aep-api.md §7)."""
        seconds = 0.0
        if body is not None:
            seconds = body.seconds
            headers = {**body.headers, **call.headers}
            call = replace(call, body=body, headers=headers, time_limit=ATTEMPT_SECONDS + seconds)
        return await self.exchange.retries.run(lambda: self.exchange.send(call), WITHOUT_VERDICT, extra_seconds=seconds)


def missing(received: Sequence[tuple[int, int]], size: int, part_bytes: int) -> Iterator[tuple[int, int]]:
    """Yield what a file of `size` bytes lacks, in parts of at most `part_bytes`; none overlaps what was received."""
    at = 0
    for first, stop in (*sorted(received), (size, size)):
        while at < min(first, size):
            end = min(at + part_bytes, first, size)
            yield at, end
            at = end
        at = max(at, stop)


def _ranges(answer: Answer) -> Ranges:
    """Read `Range: bytes=0-9,20-29`; without that header AEP has nothing of the file."""
    return sorted((int(first), int(last) + 1) for first, last in _RANGE.findall(answer.header("range")))


def _size_in_bytes(answer: Answer) -> int | None:
    try:
        body = answer.json()
    except Unreadable:
        return None
    size = body.get("sizeInBytes") if isinstance(body, dict) else None
    return size if isinstance(size, int) else None
