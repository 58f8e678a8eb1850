"""The sockets of the tests' AEP: they read a request, ask `Aep.answer`, and send as much of the answer as it says."""

from __future__ import annotations

import socket
import struct
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from tests.aep.exchange import Request, Sent

if TYPE_CHECKING:
    from tests.aep.server import Aep


class Server(ThreadingHTTPServer):
    """Listens on a free port of this machine."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, aep: Aep) -> None:
        self.aep = aep
        super().__init__(("127.0.0.1", 0), Handler)

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002  (the parent's)
        """A client that was killed is no defect; anything else is."""
        error = sys.exception()
        if not isinstance(error, ConnectionError):
            self.aep.defects.append(repr(error))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the parent's name)
        """Say nothing."""

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if len(body) < length:
            raise ConnectionResetError  # the client died in the middle of its request
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply = self.server.aep.answer(Request(self.command, self.path, headers, body))
        if reply.sent is Sent.RESET:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if reply.sent in {Sent.RESET, Sent.CLOSED}:
            self.close_connection = True
            raise ConnectionError
        self.send_response(reply.status)
        for name, value in {**reply.headers, "Content-Length": str(len(reply.body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body if reply.sent is Sent.WHOLE else reply.body[: len(reply.body) // 2])
        self.close_connection |= reply.sent is Sent.HALF

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = do_HEAD = _serve  # noqa: N815  (the parent's names)
