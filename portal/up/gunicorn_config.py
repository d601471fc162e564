"""gunicorn's configuration: TLS 1.3, optional client certificates, a handshake that must end."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

from portal.config import Config
from portal.up.tether import die_with_parent

HANDSHAKE_SECONDS = 5
# A peer that falls silent in the middle of a request gives its thread back after this long.
SILENCE_SECONDS = 60

_config = Config.load()

bind = [_config.coordinator.bind_address]
worker_class = "gthread"
workers = 2
threads = 16
# Shared memory, and a worker that was killed is replaced at once.
preload_app = True
timeout = 120
graceful_timeout = 10
keepalive = 15
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108
control_socket_disable = True
certfile = str(_config.tls_cert)
keyfile = str(_config.tls_key)
do_handshake_on_connect = True


class ServerContext(ssl.SSLContext):
    """A context whose handshakes time out: half-sent ClientHellos would hold every thread."""

    def wrap_socket(self, sock: Any, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
        sock.settimeout(HANDSHAKE_SECONDS)
        wrapped = super().wrap_socket(sock, *args, **kwargs)
        wrapped.settimeout(SILENCE_SECONDS)
        return wrapped


def build_context(config: Config) -> ssl.SSLContext:
    """TLS 1.3 or nothing; a client certificate is optional, but must be the consortium's and
    not revoked if given. No session tickets: a resumed session skips the revocation check."""
    context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0
    context.load_cert_chain(config.tls_cert, config.tls_key)
    if config.ca_cert.exists():
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(config.ca_cert)
        if config.crl.exists():
            context.load_verify_locations(config.crl)
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    return context


def _version(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except FileNotFoundError:
        return (0, 0)
    return (found.st_mtime_ns, found.st_ino)


_cached: tuple[tuple[tuple[int, int], ...], ssl.SSLContext] | None = None


def ssl_context(_gunicorn: Any, _default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """Called for each connection, so that a new certificate or revocation list applies at once."""
    global _cached  # noqa: PLW0603
    files = (_config.tls_cert, _config.tls_key, _config.ca_cert, _config.crl)
    versions = tuple(_version(path) for path in files)
    cached = _cached
    if cached is None or cached[0] != versions:
        cached = _cached = (versions, build_context(_config))
    return cached[1]


def post_fork(_arbiter: Any, _worker: Any) -> None:
    die_with_parent()
