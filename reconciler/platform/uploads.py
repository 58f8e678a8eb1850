"""Puts a file into a batch: one PUT if it is small, else parts, of which the missing ones are sent (aep-api.md §6).

What a gateway cuts is sent in smaller parts. Parts are gone on with only where they are of the very same bytes: AEP
would make one file of two versions. Bodies are streamed, and every attempt reads its body anew: one that can be read
only once would be empty in the second attempt, and AEP would take nothing for the file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING

from reconciler.core.errors import ConflictingWrite, OutcomeUnknown, PlatformError, Rejected
from reconciler.platform.answer import Unreadable
from reconciler.platform.changes import WRONG_STATE
from reconciler.platform.exchange import JSON_HEADERS, Call
from reconciler.platform.outcome import WITHOUT_VERDICT
from reconciler.platform.problems import Failure, Operation
from reconciler.platform.sending import ATTEMPT_SECONDS
from reconciler.platform.urls import LONGEST_URL, url

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence

    from reconciler.platform.answer import Answer
    from reconciler.platform.exchange import Exchange
    from reconciler.ports import Content, FilePlace

LARGEST_PUT = 256_000_000
"""Bytes of the largest file that goes in one request (aep-api.md §6.1)."""
LARGEST_PART = 512_000_000
"""Bytes of the largest part (aep-api.md §6.2)."""
SMALLEST_PART = 1024 * 1024
"""Bytes of a part that is not made smaller, however often a gateway cuts it."""
PARTS_OF_PUT = 8
"""A file whose PUT was cut goes in at least so many parts, if none of them gets too small."""
TRIES_BEFORE_SMALLER = 2
"""How often a body is sent in one size: a gateway that cuts it twice cuts it again."""
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
    about_to_send: Callable[[], Awaitable[None]]

    async def run(self, *, resume: bool) -> None:
        """Send it. `resume`: AEP may have parts of the same bytes. Raises `PlatformError` or `ContentChanged`."""
        if len(self.url) > LONGEST_URL:
            raise Rejected(
                f"the name of file `{self.place.name}` is too long for AEP",
                hint="shorten it: AEP takes URLs of at most 2,000 characters",
                status=HTTPStatus.REQUEST_URI_TOO_LONG,
            )
        if self.content.size > LARGEST_PUT:
            await self._in_parts(self.part_bytes, resume=resume)
        else:
            await self._whole()

    async def _whole(self) -> None:
        """Send the file in one request; in parts when a gateway finds it too large or too slow (aep-api.md §6.1)."""
        size = self.content.size
        call, body = self._call("PUT", "upload"), Body(self.content, 0, size)
        await self.about_to_send()
        try:
            await self._send(call, body, is_divisible=size > 0)
        except PlatformError as error:
            if size == 0 or not _is_cut(error):
                raise
            try:
                # Never on with parts that are there: an earlier version's would not have been replaced by this PUT.
                await self._in_parts(min(self.part_bytes, max(size // PARTS_OF_PUT, SMALLEST_PART)), resume=False)
            except ConflictingWrite:
                if isinstance(error, Rejected):
                    raise
                await self._send(call, body)  # it replaces whatever is there

    async def _in_parts(self, part_bytes: int, *, resume: bool) -> None:
        received = await self._received() if resume else None
        if received is None:
            received = await self._begin()
        await self.about_to_send()
        await self._send_missing(received, part_bytes)
        try:
            await self._finish()
        except Rejected as error:
            if error.status not in WRONG_STATE:
                raise
            # The parts that AEP has do not make up the file, or it has lost them: send all of them again.
            await self._send_missing(await self._begin(are_own=True), part_bytes)
            await self._finish()

    async def _begin(self, *, are_own: bool = False) -> Ranges:
        """INITIALIZE, and return what AEP has of these very bytes. `are_own`: what it has is of them.

        Whether it can be repeated is unverified (aep-api.md §7): it may be refused, and it may leave what is there.
        """
        try:
            await self._send(self._call("POST", "begin", {"action": "INITIALIZE"}))
        except Rejected as error:
            if error.status not in WRONG_STATE:
                raise
            received = await self._received()
            if received is None:
                raise
        else:
            received = [] if are_own else await self._received() or []
        if received and not are_own:
            raise ConflictingWrite(
                f"AEP holds a part of other bytes of file `{self.place.name}` in batch `{self.place.batch}`",
                hint="the file cannot be begun anew in this batch: make its next one with `apply --replace ADDRESS`",
                status=HTTPStatus.CONFLICT,
            )
        return received

    async def _send_missing(self, received: Ranges, part_bytes: int) -> None:
        part_bytes = min(part_bytes, LARGEST_PART)
        while True:
            is_divisible = part_bytes > SMALLEST_PART
            try:
                for first, stop in missing(received, self.content.size, part_bytes):
                    call = self._call(
                        "PATCH", "upload a part of", headers={"content-range": f"bytes {first}-{stop - 1}"}
                    )
                    await self._send(call, Body(self.content, first, stop), is_divisible=is_divisible)
            except PlatformError as error:
                if not (is_divisible and _is_cut(error)):
                    raise
                part_bytes = max(min(part_bytes, self.content.size) // PARTS_OF_PUT, SMALLEST_PART)
                known = await self._received()  # what was cut may have arrived, and AEP takes no byte twice
                received = await self._begin(are_own=True) if known is None else known
            else:
                return

    async def _received(self) -> Ranges | None:
        """Which bytes AEP has, by HEAD; None if it knows no such file, or no HEAD."""
        operation = Operation(f"look at file `{self.place.name}` of batch `{self.place.batch}`", is_read=True)

        async def attempt() -> Ranges | Failure | None:
            result = await self.exchange.attempt(Call(operation, "HEAD", self.url), _ranges)
            if isinstance(result, Failure) and _is_no(result.error):
                return None
            return result

        return await self.exchange.retries.run(attempt, WITHOUT_VERDICT)

    async def _finish(self) -> None:
        call = replace(self._call("POST", "finish", {"action": "COMPLETE"}), max_bytes=LARGEST_RECEIPT)
        size = _size_in_bytes(await self._send(call))
        if size is not None and size != self.content.size:
            raise Rejected(
                f"AEP made {size:,} bytes of the {self.content.size:,} of file `{self.place.name}`",
                hint="run again: the file is then sent anew",
                status=HTTPStatus.CONFLICT,
            )

    def _call(
        self, method: str, verb: str, query: Mapping[str, str] | None = None, headers: Mapping[str, str] = JSON_HEADERS
    ) -> Call:
        operation = Operation(f"{verb} file `{self.place.name}` of batch `{self.place.batch}`", is_read=False)
        return Call(operation, method, url(self.url, "", query), headers=headers)

    async def _send(self, call: Call, body: Body | None = None, *, is_divisible: bool = False) -> Answer:
        """Send until there is a verdict: all of these calls can be repeated (aep-api.md §7).

        `is_divisible`: give up soon when a gateway cuts the request, since smaller ones may pass.
        """
        seconds = 0.0
        if body is not None:
            seconds = body.seconds
            headers = {**call.headers, **body.headers}
            call = replace(call, body=body, headers=headers, time_limit=ATTEMPT_SECONDS + seconds)

        async def attempt() -> Answer | Failure:
            result = await self.exchange.send(call)
            if is_divisible and isinstance(result, Failure) and _is_cut(result.error):
                return replace(result, most_tries=TRIES_BEFORE_SMALLER)
            return result

        return await self.exchange.retries.run(attempt, WITHOUT_VERDICT, extra_seconds=seconds)


def _is_no(error: PlatformError) -> bool:
    return isinstance(error, Rejected) or error.status == HTTPStatus.NOT_IMPLEMENTED


def _is_cut(error: PlatformError) -> bool:
    """Whether a smaller request may pass: it was too large, or took longer than a gateway waits (aep-api.md §6.1)."""
    if isinstance(error, OutcomeUnknown):
        return error.status not in {HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.SERVICE_UNAVAILABLE}
    return error.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE


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
