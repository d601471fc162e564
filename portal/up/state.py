"""Stores ports and secrets in the state directory, between starts.

`services.json` holds the loopback port of each embedded service, chosen once and stored.
`secrets/<name>` holds one secret per file, mode 0600, made on first use.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PORTS_FILE = "services.json"
SECRETS_DIR = "secrets"
PORTS_FROM = 16_384
EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """Hold a lock file, so that processes that start together agree on one choice."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def write_atomically(path: Path, text: str, mode: int = 0o600) -> None:
    """Replace `path` so that a reader sees the old text or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    temporary.replace(path)


def port_is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen there now. Raises OSError for an address that is not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As servers do: connections of a predecessor in TIME_WAIT are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE or isinstance(error, PermissionError):
                return False
            raise
    return True


def port_choose(taken: set[int]) -> int:
    """A free port of 127.0.0.1 below those that the system gives to outgoing connections.

    One of those could be taken by any process's connection between this choice and the server's
    start, or while the server is restarted.
    """
    while True:
        port = PORTS_FROM + secrets.randbelow(_ephemeral_from() - PORTS_FROM)
        if port not in taken and port_is_free(port):
            return port


def _ephemeral_from() -> int:
    """The first port that outgoing connections get (Linux; else the least default in use)."""
    try:
        first = int(EPHEMERAL.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        first = 32_768
    return first if first > PORTS_FROM + 1_000 else 65_536


def read_ports(state: Path) -> dict[str, int]:
    try:
        recorded = json.loads((state / PORTS_FILE).read_text())
    except FileNotFoundError:
        return {}
    return {name: int(entry["port"]) for name, entry in recorded.items()}


def port_of(state: Path, name: str) -> int:
    """The recorded port of a service; one is chosen and recorded on first use."""
    recorded = read_ports(state)
    if name in recorded:
        return recorded[name]
    return _record_port(state, name, replace=False)


def port_renew(state: Path, name: str) -> int:
    """Record another free port for a service, because something else took its port."""
    return _record_port(state, name, replace=True)


def _record_port(state: Path, name: str, *, replace: bool) -> int:
    with _exclusive(state / f".{PORTS_FILE}.lock"):
        recorded = read_ports(state)
        if replace or name not in recorded:
            recorded[name] = port_choose(set(recorded.values()))
            text = json.dumps({key: {"port": port} for key, port in sorted(recorded.items())})
            write_atomically(state / PORTS_FILE, text + "\n")
        return recorded[name]


def secret_path(state: Path, name: str) -> Path:
    return state / SECRETS_DIR / name


def secret_of(state: Path, name: str) -> str:
    """The text of a secret; 256 random bits, made on first use."""
    path = secret_path(state, name)
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        pass
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    with _exclusive(path.parent / ".lock"):
        if not path.exists():
            write_atomically(path, secrets.token_urlsafe(32) + "\n")
    return path.read_text().strip()
