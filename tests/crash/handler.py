"""The HTTP side of the fault server: what is asked, what is answered, and how an answer goes wrong."""

from __future__ import annotations

import json
import socket
import struct
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.crash.service import Batch, Service

DATASET = "5c8c3c555033b814b69f947f"
CLIENT_ID = "client-of-the-crash-tests"
CLIENT_SECRET = "p8e-s3cr3t/of+the=crash&tests"
IMPORT = "/data/foundation/import/batches"
CATALOG = "/data/foundation/catalog"
PAGE = 100


class Server(ThreadingHTTPServer):
    """Listens on a free port of this machine."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, service: Service) -> None:
        self.service = service
        super().__init__(("127.0.0.1", 0), Handler)

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002  (the parent's)
        """A client that was killed is no defect; anything else is."""
        error = sys.exception()
        if not isinstance(error, ConnectionError):
            self.service.defects.append(repr(error))


class _Cut(ConnectionError):
    """The connection is cut on purpose."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the parent's name)
        """Say nothing."""

    def do_GET(self) -> None:  # (the parent's name)
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PATCH(self) -> None:
        self._serve()

    def _serve(self) -> None:
        service = self.server.service
        length = int(self.headers.get("Content-Length") or 0)
        self.form = self.rfile.read(length)
        if len(self.form) < length:
            raise ConnectionResetError  # the client died in the middle of its request
        target = urlsplit(self.path)
        self.query = dict(parse_qsl(target.query, keep_blank_values=True))
        with service.lock:
            service.log.append(f"{self.command} {target.path}")
        if target.path == "/ims/token/v3":
            self._token()
            return
        time.sleep(service.slowness)
        refusal = self._refusal()
        if refusal is not None:
            self._problem(*refusal)
        elif self.command == "POST" and target.path == IMPORT:
            self._create()
        elif self.command == "POST" and target.path.startswith(f"{IMPORT}/"):
            self._act(target.path.rpartition("/")[2])
        else:
            self._faulty(service.draw(service.on_read), lambda: self._catalog(target.path.removeprefix(CATALOG)))

    # -- who asks

    def _token(self) -> None:
        service, form = self.server.service, dict(parse_qsl(self.form.decode()))
        if (form.get("client_id"), form.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET):
            self._problem(401, "invalid_client")
            return
        told = int(service.token_life) if service.told_life is None else service.told_life
        self._answer(200, {"access_token": service.token(), "token_type": "bearer", "expires_in": told})

    def _refusal(self) -> tuple[int, str] | None:
        if self.headers.get("x-api-key") != CLIENT_ID or not self.headers.get("x-gw-ims-org-id"):
            return 403, "403003"
        if self.headers.get("x-sandbox-name") != "dev":
            return 403, "no such sandbox"
        if not self.server.service.takes((self.headers.get("Authorization") or "").removeprefix("Bearer ")):
            return 401, "401013"
        return None

    # -- what is asked

    def _create(self) -> None:
        service = self.server.service
        with service.lock:
            service.creates += 1
        service.before_create()
        self._faulty(service.draw(service.on_create), self._created)

    def _created(self) -> tuple[int, Any]:
        service, body = self.server.service, json.loads(self.form)
        with service.lock:
            taken = any(each.external_id == body.get("externalId") for each in service.batches.values())
            if taken and service.duplicates:
                return service.duplicates, {"title": "externalId is taken", "status": service.duplicates}
            batch = service.make(body)
        time.sleep(service.answer_delay)
        return 201, batch.shown()

    def _act(self, name: str) -> None:
        service, status = self.server.service, {"ABORT": "aborted", "REVERT": "inactive", "COMPLETE": "queued"}
        with service.lock:
            known = name in service.batches and self.query.get("action") in status
            if known:
                service.set_status(name, status[self.query["action"]])
        self._answer(200 if known else 404, {})

    def _catalog(self, path: str) -> tuple[int, Any]:
        _, collection, *names = path.split("/")
        if collection == "dataSets":
            return (200, {DATASET: {"name": "crash"}}) if names == [DATASET] else (404, {"title": "NotFoundError"})
        if collection != "batches":
            return 404, {"title": "NotFoundError"}
        if names and self.command == "PATCH":
            return self._patched(names[0])
        if names:
            wanted = names[0].split(",")
            found = self.server.service.find({"batch": names[0]})
            return (200, self._map(found)) if len(found) == len(wanted) else (404, {"title": "NotFoundError"})
        limit, start = int(self.query.get("limit", "20")), int(self.query.get("start", "0"))
        if not 1 <= limit <= PAGE:
            return 400, {"title": "limit must be from 1 to 100"}
        return 200, self._map(self.server.service.find(self.query)[start : start + limit])

    def _patched(self, name: str) -> tuple[int, Any]:
        service = self.server.service
        with service.lock:
            batch = service.batches.get(name)
            if batch is None:
                return 404, {"title": "NotFoundError"}
            if (self.headers.get("If-Match") or "").strip('"') != f"1.0.{batch.version}":
                return 412, {"title": "version"}
            batch.body |= json.loads(self.form)
            batch.version += 1
        return 200, [f"@/batches/{name}"]

    def _map(self, batches: list[Batch]) -> dict[str, Any]:
        wanted = set(self.query["properties"].split(",")) if "properties" in self.query else None
        return {each.id: {k: v for k, v in each.shown().items() if wanted is None or k in wanted} for each in batches}

    # -- what is answered

    def _faulty(self, fault: str | None, effect: Callable[[], tuple[int, Any]]) -> None:
        """Have the effect, or not, and answer as the fault wants it."""
        faults = self.server.service.on_create if self.command == "POST" else self.server.service.on_read
        if fault == "throttled":
            self._problem(429, "429050", {"Retry-After": faults.retry_after} if faults.retry_after else {})
            return
        status, body = effect() if fault is None or not fault.endswith("_before") else (0, None)
        match fault:
            case "cut_before" | "cut_after":
                self._cut()
            case "error_before" | "error_after":
                self._problem(500, "internal")
            case "html_before" | "html_after":
                self._send(502, b"<html><body><h1>502 Bad Gateway</h1></body></html>", {"Content-Type": "text/html"})
            case "truncated":
                self._truncated(status, body)
            case _:
                self._answer(status, body)

    def _problem(self, status: int, code: str, headers: Mapping[str, str] | None = None) -> None:
        body = {"error_code": code, "message": "fault server"}
        more = {"x-request-id": f"req-{status}", **(headers or {})}
        if self.server.service.echoes:
            secrets = f"{self.headers.get('Authorization')} {self.form.decode()} {self.server.service.echoes}"
            body |= {"detail": f"you sent {secrets}"}
            more["x-request-id"] = (self.headers.get("Authorization") or "none").removeprefix("Bearer ")
        self._answer(status, body, more)

    def _answer(self, status: int, body: object, headers: Mapping[str, str] | None = None) -> None:
        self._send(status, json.dumps(body).encode(), {"Content-Type": "application/json", **(headers or {})})

    def _truncated(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self._send(status, data[: len(data) // 2], {"Content-Type": "application/json"}, length=len(data))
        self.close_connection = True

    def _send(self, status: int, data: bytes, headers: Mapping[str, str], length: int | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data) if length is None else length))
        self.end_headers()
        self.wfile.write(data)

    def _cut(self) -> None:
        """Half of the cuts are a reset, half a plain end."""
        if self.server.service.random.random() < 0.5:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        raise _Cut
