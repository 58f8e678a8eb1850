"""AEP without delay, on a socket, in a process of its own: what the speed of a client is measured against.

Written from aep-api.md alone, on the standard library alone; it shares no code with `reconciler`. It stands apart from
`tests/aep`, which other tests use: that one starts a thread a connection in the test's own process and writes each
answer anew, so a benchmark would measure the server. Here each answer is joined from bytes that were made together
with the batch, and nothing of a request is checked.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import subprocess
import sys
from contextlib import contextmanager
from email.utils import formatdate
from itertools import count
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IMPORT = "/data/foundation/import/batches"
CATALOG = "/data/foundation/catalog"
STATS = "/stats"
BORN = 1_700_000_000_000
"""Epoch milliseconds of the first batch; each one is a millisecond younger than the one before."""


class World:
    """The batches, each as the bytes that Catalog answers for it."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.by_dataset: dict[str, list[str]] = {}
        self.by_external_id: dict[str, list[str]] = {}
        self.updated: dict[str, int] = {}
        self.requests: dict[str, int] = {}
        self._numbers = count(1)

    def add(self, body: dict[str, Any], batch: str | None = None) -> str:
        """Make a batch of a create's body."""
        number = next(self._numbers)
        batch = batch or f"01J{number:023}"
        made = BORN + number
        fields = {
            "imsOrg": "0123456789ABCDEF01234567@AdobeOrg",
            "created": made,
            "updated": made,
            "status": "loading",
            "version": "1.0.0",
            "createdClient": "acme_client",
            "externalId": body["externalId"],
            "relatedObjects": [{"type": "dataSet", "id": body["datasetId"]}],
            "tags": {"acp_producer": ["acme_client"], **body.get("tags", {})},
            "inputFormat": body.get("inputFormat", {"format": "parquet"}),
        }
        self.objects[batch] = f'"{batch}":{json.dumps(fields, separators=(",", ":"))}'.encode()
        self.by_dataset.setdefault(body["datasetId"], []).append(batch)
        self.by_external_id.setdefault(body["externalId"], []).append(batch)
        self.updated[batch] = made
        return batch

    def load(self, state: Path) -> None:
        """Make the batches that a state file records."""
        with state.open(encoding="utf-8") as lines:
            for line in lines:
                record = json.loads(line)
                if "address" not in record:
                    continue
                tags = {
                    "reconciler_project": ["benchmark"],
                    "reconciler_environment": ["bench"],
                    "reconciler_address": [record["address"]],
                    **record["spec"].get("tags", {}),
                }
                shape = {"format": record["spec"].get("format", "parquet")}
                body = {"datasetId": record["dataset"], "externalId": record["external_id"], "tags": tags}
                self.add({**body, "inputFormat": shape}, record["id"])

    def answer(self, method: str, target: str, body: bytes) -> tuple[int, bytes]:
        """Status and body for a request."""
        path, _, query = target.partition("?")
        if path == STATS:
            return 200, json.dumps(self.requests).encode()
        kind = f"{method} {path}" if method == "POST" or path.count("/") == CATALOG.count("/") + 1 else f"{method} one"
        self.requests[kind] = self.requests.get(kind, 0) + 1
        if method == "POST" and path == IMPORT:
            wanted = json.loads(body)
            batch = self.add(wanted)
            return 201, b"{" + self.objects[batch].partition(b":")[2][1:-1] + f',"id":"{batch}"'.encode() + b"}"
        return 200, self.catalog(path.removeprefix(CATALOG), dict(parse_qsl(query)))

    def catalog(self, path: str, query: dict[str, str]) -> bytes:
        """A map of the objects that are asked for."""
        if path.startswith("/dataSets/"):
            return f'{{"{path.removeprefix("/dataSets/")}":{{"name":"a dataset"}}}}'.encode()
        if path != "/batches":
            return self.joined(unquote(path.removeprefix("/batches/")).split(","))
        if "externalId" in query:
            found = [b for name in query["externalId"].split(",") for b in self.by_external_id.get(name, ())]
        elif "batch" in query:
            found = [batch for batch in query["batch"].split(",") if batch in self.objects]
        else:
            found = self.by_dataset.get(query["dataSet"], []) if "dataSet" in query else list(self.objects)
        changed = query.get("property", "")
        if changed.startswith("updated>"):
            since = int(changed.removeprefix("updated>"))
            found = [batch for batch in found if self.updated[batch] > since]
        elif changed == "replay":
            found = []
        start, limit = int(query.get("start", "0")), int(query.get("limit", "20"))
        return self.joined(found[start : start + limit])

    def joined(self, batches: list[str]) -> bytes:
        """Some batches as one map."""
        return b"{" + b",".join([self.objects[batch] for batch in batches if batch in self.objects]) + b"}"


class Connection(asyncio.Protocol):
    """HTTP/1.1 as far as one client needs it: keep-alive, `Content-Length`, no chunks."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.buffer = b""
        self.transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end]
            length = _length(head)
            if len(self.buffer) < end + 4 + length:
                return
            body, self.buffer = self.buffer[end + 4 : end + 4 + length], self.buffer[end + 4 + length :]
            method, target, _ = head.split(b"\r\n", 1)[0].decode("ascii").split(" ")
            status, answer = self.world.answer(method, target, body)
            assert self.transport is not None
            self.transport.write(
                b"HTTP/1.1 %d OK\r\ncontent-type: application/json\r\ndate: %b\r\ncontent-length: %d\r\n\r\n%b"
                % (status, formatdate(usegmt=True).encode(), len(answer), answer)
            )


def _length(head: bytes) -> int:
    at = head.lower().find(b"\r\ncontent-length:")
    return int(head[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0


async def serve(world: World) -> None:
    """Serve for ever; the first line on stdout is the address."""
    server = await asyncio.get_running_loop().create_server(lambda: Connection(world), "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    sys.stdout.write(f"http://{host}:{port}\n")
    sys.stdout.flush()
    await server.serve_forever()


@contextmanager
def served(state: Path | None = None) -> Iterator[str]:
    """The URL of a server in a process of its own; it holds the batches of the state file, if one is given."""
    command = [sys.executable, "-m", "tests.benchmarks.server", *(["--state", str(state)] if state else [])]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.communicate()


def main() -> None:
    """Serve until ended."""
    from pathlib import Path

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=Path, help="a state file whose batches exist")
    state = parser.parse_args().state
    world = World()
    if state is not None:
        gc.disable()
        world.load(state)
    gc.freeze()
    asyncio.run(serve(world))


if __name__ == "__main__":
    main()
