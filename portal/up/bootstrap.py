"""Makes what the portal needs before it serves: tables, CA, certificate, operator.

Every command is idempotent, so that an interrupted first start is finished by the next one.
"""

from __future__ import annotations

import sys
from pathlib import Path

from portal.config import BASE, Config
from portal.up.service import Service


class ManageCommand(Service):
    """A management command, run to its end as the database's owner."""

    def __init__(self, config: Config, name: str, *arguments: str) -> None:
        super().__init__(config)
        self.name = name
        self.arguments = arguments

    ready_seconds = 600

    @property
    def is_up(self) -> bool:
        return self.is_ready()

    @property
    def log_path(self) -> Path:
        return self.config.log_dir / "bootstrap.log"

    def command(self) -> list[str]:
        return [sys.executable, str(BASE / "manage.py"), *self.arguments]

    def environment(self) -> dict[str, str]:
        return self.config.environment("owner")

    @property
    def detail(self) -> str:
        return f"manage.py {self.arguments[0]}"

    def is_ready(self) -> bool:
        return self.process is not None and self.process.poll() == 0

    def last_line(self) -> str:
        """Returns the command's last line: where the operator's password is."""
        lines = self.log_path.read_text(errors="replace").splitlines()
        return lines[-1] if lines else ""


def steps(config: Config) -> list[ManageCommand]:
    return [
        ManageCommand(config, "tables", "migrate_schemas", "--noinput", "-v", "1"),
        ManageCommand(config, "authority and operator", "bootstrap"),
    ]
