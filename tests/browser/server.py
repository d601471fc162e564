"""The portal over TLS on loopback, inside the test's own transaction.

Requests are served in threads that share the test's database connection, one at a time; a test
that touches the database itself while a page polls holds ``quiet`` for as long.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.servers.basehttp import ThreadedWSGIServer
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, connections
from django.test.testcases import QuietWSGIRequestHandler


class PortalServer:
    def __init__(self, *, certificate: str, key: str) -> None:
        self.quiet = threading.RLock()
        self._shared = connections["default"]
        self._server = _Server(
            ("127.0.0.1", 0),
            QuietWSGIRequestHandler,
            connections_override={"default": self._shared},
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(certificate, key)
        # The handshake waits in the request's thread, not in the one that accepts.
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self._server.base_environ["HTTPS"] = "on"
        self._server.set_app(self._serve)
        self._application = get_wsgi_application()
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.url = f"https://127.0.0.1:{self._server.server_port}"

    def _serve(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        environ["wsgi.url_scheme"] = "https"
        with self.quiet:
            # It takes an open transaction for a spoilt connection; Django's test client, which
            # leaves it out too, connects it again after each of its own requests.
            for signal in (request_started, request_finished):
                signal.disconnect(close_old_connections)
            response = self._application(environ, start_response)
            try:
                return list(response)
            finally:
                response.close()

    @contextmanager
    def running(self) -> Iterator[PortalServer]:
        self._shared.inc_thread_sharing()
        self._thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            for signal in (request_started, request_finished):
                signal.connect(close_old_connections)
            self._shared.dec_thread_sharing()


class _Server(ThreadedWSGIServer):
    # Chromium keeps idle connections open; the end of the test does not wait for them.
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away in the middle is no failure of the portal's."""

    def _close_connections(self) -> None:
        """The test's connection outlives the request's thread."""
