"""gunicorn on TLS 1.3."""

from __future__ import annotations

import errno
import sys

import httpx

from portal.config import ConfigInvalid
from portal.up.errors import PortInUse
from portal.up.service import Service
from portal.up.state import port_is_free

SETTING = "federated.coordinator.bind_address"


class Web(Service):
    name = "web"
    ready_seconds = 240
    stop_seconds = 20

    def command(self) -> list[str]:
        configuration = "python:portal.up.gunicorn_config"
        return [sys.executable, "-m", "gunicorn", "-c", configuration, "portal.wsgi:application"]

    def environment(self) -> dict[str, str]:
        return self.config.environment("app")

    @property
    def detail(self) -> str:
        return self.config.url

    def check(self) -> None:
        """Refuse a taken address or an absent certificate, before anything starts."""
        for key in ("tls_cert", "tls_key"):
            path = getattr(self.config.coordinator, key)
            if path is not None and not path.is_file():
                raise ConfigInvalid(
                    f"federated.coordinator.{key}: {path} is not a file; give a PEM file, or "
                    "neither tls_cert nor tls_key to have the consortium's authority issue one"
                )
        host, port = self.config.address
        try:
            free = port_is_free(port, host)
        except OSError as error:
            known = error.errno == errno.EADDRNOTAVAIL
            reason = "is not an address of this machine" if known else str(error)
            raise ConfigInvalid(f"{SETTING}: {host} {reason}") from None
        if not free:
            raise PortInUse(
                f"port {port} on {host} is in use or needs rights; end what listens there, or "
                f"set another {SETTING} (now {self.config.coordinator.bind_address!r})"
            )

    def is_ready(self) -> bool:
        try:
            # Only whether it answers; people and sites verify the certificate.
            answer = httpx.get(self.config.url, timeout=5, verify=False)  # noqa: S501
            return answer.status_code < 500
        except httpx.HTTPError:
            return False
