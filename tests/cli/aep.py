"""A small AEP on loopback for whole command lines, written from aep-api.md alone on the standard library alone.

It keeps every request as it arrived, and can answer as leniently as Adobe's pages show. It must never import anything
of ours, nor of the emulator: what both misread would cancel itself out.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DATASET = "5c8c3c555033b814b69f947f"
OTHER_DATASET = "5e8f81ce7a4ecb18a8d25b22"
ORG = "0123456789ABCDEF01234567@AdobeOrg"
SANDBOX = "dev"
CLIENT_ID = "acme_client"
CLIENT_SECRET = "p8e-s3cr3t/of+these=tests"
TOKEN = "eyJhbGciOiJSUzI1NiJ9.of.these.tests"
IMPORT = "/data/foundation/import/batches"
CATALOG = "/data/foundation/catalog"
EPOCH = 1_552_694_873_602
"""Milliseconds: when the example batch of Adobe's documentation was created."""

ACTIONS = {"ABORT": "aborted", "REVERT": "inactive", "COMPLETE": "loaded", "FAIL": "failed"}


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it arrived; header names in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        """The path without the query."""
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        """The query's fields."""
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    @property
    def json(self) -> Any:
        """The JSON in the body."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, status: int, value: object, **headers: str) -> Reply:
        """An answer in JSON."""
        return cls(status, json.dumps(value).encode(), {"Content-Type": "application/json", **headers})


HTML = Reply(200, b"<!doctype html><html><body><h1>It works!</h1></body></html>", {"Content-Type": "text/html"})


class Aep:
    """The server and all that it holds; it listens from `with` to the block's end. Change its fields at any time."""

    def __init__(self, *datasets: str) -> None:
        self.datasets = set(datasets or (DATASET,))
        self.batches: dict[str, dict[str, Any]] = {}
        """What Catalog shows, by id."""
        self.made = 0
        """How many batches were ever put here: an id is never used again."""
        self.requests: list[Request] = []
        self.answer_first: Callable[[Request], Reply | None] = lambda _: None
        """Asked before anything else: an answer that it gives is sent, and nothing else happens."""
        self.shown: Callable[[str, dict[str, Any]], dict[str, Any]] = lambda _, batch: batch
        """How a batch is shown in Catalog's answers."""
        self.lock = threading.Lock()
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

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

    @property
    def changes(self) -> list[Request]:
        """The requests that ask for a change, tokens apart."""
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

    def add(self, name: str, **fields: Any) -> str:
        """Put a batch there by a foreign hand; its own fields win."""
        dataset = fields.pop("dataset", DATASET)
        self.made += 1
        self.batches[name] = {
            "id": name,
            "imsOrg": ORG,
            "created": EPOCH + self.made,
            "updated": EPOCH + self.made,
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

    def become(self, name: str, **fields: Any) -> None:
        """Change a batch by a foreign hand."""
        self.batches[name] |= {**fields, "version": _next_version(self.batches[name]["version"])}

    def answer(self, request: Request) -> Reply:
        """What the API says to a request."""
        with self.lock:
            self.requests.append(request)
            first = self.answer_first(request)
            if first is not None:
                return first
            if request.path == "/ims/token/v3":
                return self._token(request)
            if request.headers.get("authorization") != f"Bearer {TOKEN}":
                return Reply.of(401, {"error_code": "401013", "message": "Oauth token is not valid"})
            if request.path == IMPORT:
                return self._created(request)
            if request.path.startswith(f"{IMPORT}/"):
                return self._acted(request)
            return self._catalog(request)

    def _token(self, request: Request) -> Reply:
        form = dict(parse_qsl(request.body.decode()))
        if (form.get("client_id"), form.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET):
            return Reply.of(401, {"error": "invalid_client", "error_description": "the client is not known"})
        return Reply.of(200, {"access_token": TOKEN, "token_type": "bearer", "expires_in": 86_399})

    def _created(self, request: Request) -> Reply:
        body = request.json
        name = self.add(
            f"01OWN{self.made:021d}",
            dataset=body["datasetId"],
            tags={"acp_producer": [CLIENT_ID], **body.get("tags", {})},
            inputFormat=body.get("inputFormat", {"format": "parquet"}),
        )
        self.batches[name]["externalId"] = body.get("externalId", name)
        if "replay" in body:
            bare = [each.removeprefix("$") for each in body["replay"]["predecessors"]]
            self.batches[name]["replay"] = {**body["replay"], "predecessors": bare}
        return Reply.of(201, {"id": name, **self.batches[name]})

    def _acted(self, request: Request) -> Reply:
        name, action = request.path.rpartition("/")[2], request.query.get("action")
        if name not in self.batches or action not in ACTIONS:
            return Reply(404)
        self.become(name, status=ACTIONS[action])
        return Reply(200)

    def _catalog(self, request: Request) -> Reply:
        _, collection, *rest = request.path.removeprefix(CATALOG).split("/")
        names = rest[0].split(",") if rest else []
        if collection == "dataSets" and names:
            found = self.datasets.intersection(names)
            return Reply.of(200, {each: {"name": "own"} for each in found}) if found else Reply(404)
        if collection != "batches":
            return Reply(404)
        if request.method == "PATCH":
            return self._patched(names[0], request)
        if not names:
            limit, start = int(request.query.get("limit", "20")), int(request.query.get("start", "0"))
            kept = [each for each, batch in self.batches.items() if _matches(each, batch, request.query)]
            return self._map(kept[start : start + limit])
        known = [each for each in names if each in self.batches]
        version = self.batches[known[0]]["version"] if known else ""
        return self._map(known, ETag=version) if known else Reply(404)

    def _patched(self, name: str, request: Request) -> Reply:
        if name not in self.batches:
            return Reply(404)
        if request.headers.get("if-match") != self.batches[name]["version"]:
            return Reply(412)
        self.become(name, **request.json)
        return Reply.of(200, [f"@/batches/{name}"])

    def _map(self, names: list[str], **headers: str) -> Reply:
        return Reply.of(200, {each: self.shown(each, self.batches[each]) for each in names}, **headers)


def _next_version(version: str) -> str:
    head, _, patch = version.rpartition(".")
    return f"{head}.{int(patch) + 1}"


def _matches(name: str, batch: dict[str, Any], query: Mapping[str, str]) -> bool:
    exact = {"dataSet": batch["relatedObjects"][0]["id"], "externalId": batch["externalId"], "batch": name}
    if any(value not in query[field].split(",") for field, value in exact.items() if field in query):
        return False
    if query.get("property") == "replay" and "replay" not in batch:
        return False
    wanted = (each.partition(":") for each in query["tags"].split(",")) if "tags" in query else ()
    return all(value in batch["tags"].get(tag, []) for tag, _, value in wanted)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, aep: Aep) -> None:
        self.aep = aep
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the parent's name)
        """Say nothing."""

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply = self.server.aep.answer(Request(self.command, self.path, headers, body))
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = do_HEAD = _serve  # noqa: N815  (http.server's names)
