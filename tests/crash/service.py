"""A fault server: another AEP on a socket, written from aep-api.md alone, on the standard library alone.

It must never share code with `reconciler`: a misreading there may not cancel itself out here. Everything that it
does wrong is drawn from one seed, so that a failure can be repeated.
"""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from tests.crash.handler import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FAULTS = (
    "cut_before",
    "cut_after",
    "error_before",
    "error_after",
    "html_before",
    "html_after",
    "truncated",
    "throttled",
)
"""What may happen to a request, before or after it had its effect."""


@dataclass
class Faults:
    """The share of requests, from 0 to 1, that each fault hits."""

    shares: Mapping[str, float] = field(default_factory=dict)
    retry_after: str | None = None
    """What a 429 says; None: nothing."""

    def draw(self, number: float) -> str | None:
        """The fault at a number from 0 to 1."""
        for name in FAULTS:
            number -= self.shares.get(name, 0.0)
            if number < 0:
                return name
        return None


@dataclass
class Batch:
    """One batch, as this AEP holds it."""

    id: str
    body: dict[str, Any]
    created: int
    """Epoch milliseconds."""
    visible_at: float
    """On the monotonic clock, in seconds: when Catalog shows it."""
    status: str = "loading"
    version: int = 0

    @property
    def external_id(self) -> str:
        """What the client chose, else the id itself (aep-api.md §3.1)."""
        return str(self.body.get("externalId", self.id))

    @property
    def address(self) -> str:
        """What the client's own tag says it was made for."""
        return str(self.body.get("tags", {}).get("reconciler_address", [""])[0])

    def shown(self) -> dict[str, Any]:
        """The object as Catalog answers it (aep-api.md §8.4)."""
        bare = [each.removeprefix("$") for each in self.body.get("replay", {}).get("predecessors", [])]
        replay = {"replay": {**self.body["replay"], "predecessors": bare}} if "replay" in self.body else {}
        return {
            "id": self.id,
            "created": self.created,
            "updated": self.created,
            "status": self.status,
            "version": f"1.0.{self.version}",
            "externalId": self.external_id,
            "relatedObjects": [{"type": "dataSet", "id": self.body["datasetId"]}],
            "inputFormat": self.body.get("inputFormat", {"format": "parquet"}),
            "tags": {**self.body.get("tags", {}), "acp_producer": ["crash"], "use_plan_b_batch_status": ["false"]},
            **replay,
        }


class Service:
    """The server and all that it holds; it listens from `with` to the block's end. Change its fields at any time."""

    def __init__(self, seed: int = 0) -> None:
        self.random = random.Random(seed)
        self.batches: dict[str, Batch] = {}
        self.on_create = Faults()
        self.on_read = Faults()
        self.duplicates = 0
        """Status for a create whose external id is taken: 400 or 409; 0: it is accepted."""
        self.lag = 0.0
        """Seconds until Catalog shows a new batch."""
        self.slowness = 0.0
        """Seconds before a request is looked at."""
        self.answer_delay = 0.0
        """Seconds between the effect of a create and its answer."""
        self.token_life = 86_400.0
        """Seconds."""
        self.told_life: int | None = None
        """What IMS says in `expires_in`; None: the truth."""
        self.echoes = ""
        """If not empty, every error repeats it and the secrets of its request, as careless services do."""
        self.tokens: dict[str, float] = {}
        """Every token ever given, and until when (by the monotonic clock) it is taken."""
        self.creates = 0
        """Requests to create that arrived, whatever became of them."""
        self.log: list[str] = []
        """What was asked: method and path of each request that arrived."""
        self.defects: list[str] = []
        """Exceptions of this server itself: a test with any proves nothing."""
        self.before_create: Callable[[], None] = lambda: None
        """Called as each create arrives."""
        self.lock = threading.RLock()
        self._server = Server(self)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        assert not self.defects, self.defects

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def wait_for(self, creates: int) -> None:
        """Wait until so many creates have arrived."""
        until = time.monotonic() + 30
        while self.creates < creates:
            assert time.monotonic() < until, self.log
            time.sleep(0.005)

    def catch_up(self) -> None:
        """Catalog shows everything from now on."""
        with self.lock:
            self.lag = 0.0
            for batch in self.batches.values():
                batch.visible_at = 0.0

    def heal(self) -> None:
        """No more faults; what happened stays."""
        self.on_create, self.on_read, self.slowness, self.answer_delay = Faults(), Faults(), 0.0, 0.0

    def ids(self) -> dict[str, list[str]]:
        """The ids of all live batches by the address that they were made for."""
        found: dict[str, list[str]] = {}
        with self.lock:
            for batch in self.batches.values():
                if batch.status not in {"aborted", "inactive", "abandoned"}:
                    found.setdefault(batch.address, []).append(batch.id)
        return found

    def make(self, body: dict[str, Any]) -> Batch:
        """Create a batch without any fault."""
        with self.lock:
            now = time.time()
            batch = Batch(f"01CRASH{len(self.batches):08d}", body, int(now * 1000), time.monotonic() + self.lag)
            self.batches[batch.id] = batch
            return batch

    def set_status(self, batch: str, status: str) -> None:
        """What a foreign hand does."""
        with self.lock:
            self.batches[batch].status = status
            self.batches[batch].version += 1

    def token(self) -> str:
        """Give out a token."""
        with self.lock:
            token = f"tok-{self.random.getrandbits(128):032x}.{self.random.getrandbits(128):032x}"
            self.tokens[token] = time.monotonic() + self.token_life
            return token

    def takes(self, token: str) -> bool:
        """Whether the token is one of ours and not over."""
        with self.lock:
            return time.monotonic() < self.tokens.get(token, 0.0)

    def draw(self, faults: Faults) -> str | None:
        """The fault that hits the next request."""
        with self.lock:
            return faults.draw(self.random.random())

    def find(self, query: Mapping[str, str]) -> list[Batch]:
        """The visible batches that the filters of Catalog leave (aep-api.md §8.3), oldest first."""
        with self.lock:
            now = time.monotonic()
            seen = [each for each in self.batches.values() if each.visible_at <= now and _matches(each, query)]
        return sorted(seen, key=lambda each: (each.created, each.id))


def _matches(batch: Batch, query: Mapping[str, str]) -> bool:
    exact = {"dataSet": batch.body["datasetId"], "externalId": batch.external_id, "batch": batch.id}
    for name, value in exact.items():
        if name in query and value not in query[name].split(","):
            return False
    if query.get("property") == "replay" and "replay" not in batch.body:
        return False
    tags = batch.shown()["tags"]
    wanted = (each.partition(":") for each in query["tags"].split(",")) if "tags" in query else ()
    return all(value in tags.get(name, []) for name, _, value in wanted)
