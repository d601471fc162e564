"""Serves JSON-RPC over HTTP, on the loopback by default."""

import errno
import json
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from portal.chain.errors import PortInUse, RpcError
from portal.chain.rpc import Rpc

HOST = "127.0.0.1"
MAX_BODY = 1 << 20
MAX_BRACKETS = 2_000


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int, rpc: Rpc, host: str = HOST) -> None:
        """Raises `PortInUse`."""
        self.rpc = rpc
        self.loopback = host == HOST
        try:
            super().__init__((host, port), Handler)
        except OSError as exc:
            if exc.errno not in {errno.EADDRINUSE, errno.EACCES}:
                raise
            raise PortInUse(f"port {port} on {host} cannot be used: {exc.strerror}") from exc

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignores clients that hang up."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    server: Server

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def do_POST(self) -> None:
        # A page in a browser on this machine can post here, but neither with this
        # type nor under this name.
        host = (self.headers.get("Host") or "").rpartition(":")[0]
        content = (self.headers.get("Content-Type") or "").partition(";")[0].strip().lower()
        foreign = self.server.loopback and host not in {HOST, "localhost"}
        if foreign or content != "application/json":
            return self._send(403, {"error": "application/json to the loopback only"})
        try:
            length = int(self.headers.get("Content-Length", ""))
        except ValueError:
            return self._send(411, {"error": "Content-Length needed"})
        if not 0 <= length <= MAX_BODY:
            return self._send(413, {"error": f"at most {MAX_BODY} bytes"})
        body = self.rfile.read(length)
        try:
            # py-evm raises the recursion limit so far that deep JSON would end the process.
            if body.count(b"[") + body.count(b"{") > MAX_BRACKETS:
                raise ValueError
            request = json.loads(body)
        except (ValueError, RecursionError):
            error = RpcError(RpcError.PARSE, "not JSON").body()
            return self._send(400, {"jsonrpc": "2.0", "id": None, "error": error})
        self._send(200, self.server.rpc.answer(request))

    def _send(self, status: int, body: Any) -> None:
        payload = json.dumps(body).encode()
        if status != 200:
            self.close_connection = True
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        if status != 200:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not logged: there is one every second."""
