"""Another AEP on loopback, for real command lines: written from aep-api.md alone, on the standard library alone.

It keeps every request as it arrived, and does wrong what a test asks for. All faults are drawn from one seed, so that
a failure can be repeated. It must never import anything of `reconciler`, and so nothing of the emulator: a misreading
that both sides share would not be noticed.
"""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl

from tests.aep.exchange import HTML, NOT_FOUND, Reply, Request, Sent
from tests.aep.handler import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DATASET = "5c8c3c555033b814b69f947f"
OTHER_DATASET = "5e8f81ce7a4ecb18a8d25b22"
ORG = "0123456789ABCDEF01234567@AdobeOrg"
SANDBOX = "dev"
CLIENT_ID = "acme_client"
CLIENT_SECRET = "p8e-s3cr3t/of+these=tests&more"
IMPORT = "/data/foundation/import/batches"
CATALOG = "/data/foundation/catalog"
EPOCH = 1_552_694_873_602
"""Milliseconds: when the example batch of Adobe's documentation was created."""
LARGEST_PAGE = 100

ACTIONS = {"ABORT": "aborted", "REVERT": "inactive", "COMPLETE": "loaded", "FAIL": "failed"}
DEAD = {"aborted", "inactive", "abandoned"}

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

    def at(self, number: float) -> str | None:
        """The fault at a number from 0 to 1."""
        for name in FAULTS:
            number -= self.shares.get(name, 0.0)
            if number < 0:
                return name
        return None


class Aep:
    """The server and all that it holds; it listens from `with` to the block's end. Change its fields at any time."""

    def __init__(self, seed: int = 0) -> None:
        self.datasets = {DATASET}
        self.batches: dict[str, dict[str, Any]] = {}
        """What Catalog shows, by id."""
        self.tokens: dict[str, float] = {}
        """Every token ever given, and until when (by the monotonic clock, in seconds) it is taken."""
        self.requests: list[Request] = []
        """Every request that arrived, whatever became of it."""
        self.defects: list[str] = []
        """Exceptions of this server itself: a test with any proves nothing."""

        self.answer_first: Callable[[Request], Reply | None] = lambda _: None
        """Asked before anything else: an answer that it gives is sent, and nothing else happens."""
        self.before_create: Callable[[], None] = lambda: None
        """Called as each create arrives."""
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
        self.token_life = 86_399.0
        """Seconds."""
        self.told_life: int | None = None
        """What IMS says in `expires_in`; None: the truth."""
        self.echoes = ""
        """If not empty, every error repeats it and the secrets of its request, as careless services do."""

        self._random = random.Random(seed)
        self._numbers = count(1)
        self._visible_at: dict[str, float] = {}
        """When Catalog shows a batch, by the monotonic clock in seconds; at once if it is not here."""
        self._lock = threading.RLock()
        self._server = Server(self)
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
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead a command line here."""
        return {
            "AEP_API_URL": self.url,
            "AEP_IMS_URL": self.url,
            "AEP_CLIENT_ID": CLIENT_ID,
            "AEP_CLIENT_SECRET": CLIENT_SECRET,
        }

    # -- what was asked

    @property
    def changes(self) -> list[Request]:
        """The requests that ask for a change; those for a token are not among them."""
        return [each for each in self.requests if each.method != "GET" and not each.path.startswith("/ims/")]

    @property
    def creates(self) -> list[Request]:
        """The requests to create a batch."""
        return [each for each in self.changes if each.path == IMPORT]

    @property
    def actions(self) -> list[tuple[str, str]]:
        """The actions asked for, in order: what, and on which batch."""
        found = (each for each in self.changes if each.path.startswith(f"{IMPORT}/"))
        return [(each.query["action"], each.path.rpartition("/")[2]) for each in found]

    def wait_for(self, creates: int) -> None:
        """Wait until so many creates have arrived."""
        until = time.monotonic() + 30
        while len(self.creates) < creates:
            assert time.monotonic() < until, self.requests
            time.sleep(0.005)

    # -- what another hand sees and does

    def ids(self) -> dict[str, list[str]]:
        """The ids of all live batches by the address in the client's own tag."""
        found: dict[str, list[str]] = {}
        with self._lock:
            for name, batch in self.batches.items():
                if batch["status"] not in DEAD:
                    found.setdefault(batch["tags"].get("reconciler_address", [""])[0], []).append(name)
        return found

    def add(self, name: str, *, dataset: str = DATASET, **fields: Any) -> str:
        """Put a batch there; its own fields win."""
        made = EPOCH + next(self._numbers)
        self.batches[name] = {
            "id": name,
            "imsOrg": ORG,
            "created": made,
            "updated": made,
            "status": "loading",
            "version": "1.0.0",
            "relatedObjects": [{"type": "dataSet", "id": dataset}],
            "tags": {},
            "externalId": name,
            "createdClient": CLIENT_ID,
            "inputFormat": {"format": "parquet"},
            **fields,
        }
        return name

    def create(self, body: Mapping[str, Any]) -> str:
        """Make a batch as the body of a create asks for it (aep-api.md §3), and return its id."""
        with self._lock:
            fields = {key: body[key] for key in ("externalId", "inputFormat") if key in body}
            if "replay" in body:
                bare = [each.removeprefix("$") for each in body["replay"]["predecessors"]]
                fields["replay"] = {**body["replay"], "predecessors": bare}
            name = f"01OWN{next(self._numbers):021d}"
            self._visible_at[name] = time.monotonic() + self.lag
            return self.add(
                name,
                dataset=body["datasetId"],
                tags={"acp_producer": [CLIENT_ID], "use_plan_b_batch_status": ["false"], **body.get("tags", {})},
                **fields,
            )

    def become(self, name: str, **fields: Any) -> None:
        """Change a batch."""
        with self._lock:
            head, _, patch = self.batches[name]["version"].rpartition(".")
            self.batches[name] = {**self.batches[name], **fields, "version": f"{head}.{int(patch) + 1}"}

    def catch_up(self) -> None:
        """Catalog shows everything from now on."""
        with self._lock:
            self.lag = 0.0
            self._visible_at.clear()

    def heal(self) -> None:
        """No more faults; what happened stays."""
        self.on_create, self.on_read, self.slowness, self.answer_delay = Faults(), Faults(), 0.0, 0.0

    def new_token(self) -> str:
        """Give out a token."""
        with self._lock:
            token = f"tok-{self._random.getrandbits(128):032x}.{self._random.getrandbits(128):032x}"
            self.tokens[token] = time.monotonic() + self.token_life
            return token

    # -- what the API answers

    def answer(self, request: Request) -> Reply:
        """What the API says to a request."""
        self.requests.append(request)
        first = self.answer_first(request)
        if first is not None:
            return first
        if request.path == "/ims/token/v3":
            return self._token(request)
        time.sleep(self.slowness)
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        if request.path == IMPORT:
            self.before_create()
            return self._faulty(self.on_create, request, self._created)
        if request.path.startswith(f"{IMPORT}/"):
            return self._acted(request)
        return self._faulty(self.on_read, request, self._catalog)

    def _token(self, request: Request) -> Reply:
        form = dict(parse_qsl(request.body.decode()))
        if (form.get("client_id"), form.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET):
            body = {"error": "invalid_client", "error_description": "the client is not known"}
            return self._problem(request, 401, body)
        told = int(self.token_life) if self.told_life is None else self.told_life
        return Reply.of(200, {"access_token": self.new_token(), "token_type": "bearer", "expires_in": told})

    def _refusal(self, request: Request) -> Reply | None:
        headers = request.headers
        if headers.get("x-api-key") != CLIENT_ID or not headers.get("x-gw-ims-org-id"):
            return self._problem(request, 403, {"error_code": "403003", "message": "Api Key is invalid"})
        if headers.get("x-sandbox-name") != SANDBOX:
            return self._problem(request, 403, {"title": "Forbidden", "detail": "no such sandbox"})
        if self.tokens.get(headers.get("authorization", "").removeprefix("Bearer "), 0.0) <= time.monotonic():
            return self._problem(request, 401, {"error_code": "401013", "message": "Oauth token is not valid"})
        return None

    def _faulty(self, faults: Faults, request: Request, effect: Callable[[Request], Reply]) -> Reply:
        """Have the effect, or not, and answer as the fault wants it; half of the cuts are a reset."""
        with self._lock:
            fault = faults.at(self._random.random())
        if fault == "throttled":
            told = {"Retry-After": faults.retry_after} if faults.retry_after else {}
            return self._problem(request, 429, {"error_code": "429050", "message": "Too many requests"}, **told)
        reply = Reply(0) if fault is not None and fault.endswith("_before") else effect(request)
        match fault:
            case "cut_before" | "cut_after":
                return replace(reply, sent=Sent.RESET if self._random.random() < 0.5 else Sent.CLOSED)
            case "error_before" | "error_after":
                return self._problem(request, 500, {"title": "Internal Server Error"})
            case "html_before" | "html_after":
                return replace(HTML, status=502)
            case "truncated":
                return replace(reply, sent=Sent.HALF)
            case _:
                return reply

    def _problem(self, request: Request, status: int, body: Mapping[str, str], **headers: str) -> Reply:
        told = {"x-request-id": f"req-{status}", **headers}
        if self.echoes:
            token = request.headers.get("authorization", "none")
            body = {**body, "detail": f"you sent {token} {request.body.decode()} {self.echoes}"}
            told["x-request-id"] = token.removeprefix("Bearer ")
        return Reply.of(status, body, **told)

    def _created(self, request: Request) -> Reply:
        body = request.json
        with self._lock:
            taken = any(each["externalId"] == body.get("externalId") for each in self.batches.values())
            if taken and self.duplicates:
                return Reply.of(self.duplicates, {"title": "externalId is taken", "status": self.duplicates})
            batch = self.batches[self.create(body)]
        time.sleep(self.answer_delay)
        return Reply.of(201, batch)

    def _acted(self, request: Request) -> Reply:
        name, action = request.path.rpartition("/")[2], request.query.get("action")
        if name not in self.batches or action not in ACTIONS:
            return NOT_FOUND
        self.become(name, status=ACTIONS[action])
        return Reply(200)

    def _catalog(self, request: Request) -> Reply:
        _, collection, *names = request.path.removeprefix(CATALOG).split("/")
        if collection == "dataSets" and names:
            found = self.datasets.intersection(names[0].split(","))
            return Reply.of(200, {each: {"name": "own"} for each in found}) if found else NOT_FOUND
        if collection != "batches":
            return NOT_FOUND
        if request.method == "PATCH":
            return self._patched(names[0], request)
        if names:
            one = self._find({"batch": names[0]})
            return _map(one, request, ETag=one[0]["version"]) if one else NOT_FOUND
        limit, start = int(request.query.get("limit", "20")), int(request.query.get("start", "0"))
        if not 1 <= limit <= LARGEST_PAGE:
            return Reply.of(400, {"title": "limit must be from 1 to 100"})
        return _map(self._find(request.query)[start : start + limit], request)

    def _patched(self, name: str, request: Request) -> Reply:
        with self._lock:
            if name not in self.batches:
                return NOT_FOUND
            if request.headers.get("if-match", "").strip('"') != self.batches[name]["version"]:
                return Reply.of(412, {"title": "Precondition Failed"})
            self.become(name, **request.json)
        return Reply.of(200, [f"@/batches/{name}"])

    def _find(self, query: Mapping[str, str]) -> list[dict[str, Any]]:
        """The visible batches that the filters of Catalog leave (aep-api.md §8.3), oldest first."""
        now = time.monotonic()
        with self._lock:
            seen = [batch for name, batch in self.batches.items() if self._visible_at.get(name, 0.0) <= now]
        return sorted((each for each in seen if _matches(each, query)), key=lambda each: (each["created"], each["id"]))


def _map(batches: list[dict[str, Any]], request: Request, **headers: str) -> Reply:
    wanted = request.query["properties"].split(",") if "properties" in request.query else None
    shown = {each["id"]: {key: each[key] for key in each if wanted is None or key in wanted} for each in batches}
    return Reply.of(200, shown, **headers)


def _matches(batch: dict[str, Any], query: Mapping[str, str]) -> bool:
    exact = {"dataSet": batch["relatedObjects"][0]["id"], "externalId": batch["externalId"], "batch": batch["id"]}
    if any(value not in query[field].split(",") for field, value in exact.items() if field in query):
        return False
    if query.get("property") == "replay" and "replay" not in batch:
        return False
    wanted = (each.partition(":") for each in query["tags"].split(",")) if "tags" in query else ()
    return all(value in batch["tags"].get(tag, []) for tag, _, value in wanted)
