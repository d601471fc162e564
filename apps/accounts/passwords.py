"""First passwords: made by the portal, handed over in a file, never printed."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

from django.conf import settings

from apps.common.files import write_file


def password_new() -> str:
    """120 random bits."""
    return secrets.token_urlsafe(15)


def password_path(name: str) -> Path:
    safe = re.sub(r"[^A-Za-z0-9@._-]", "_", name).lstrip(".")
    path: Path = settings.FSC_CONFIG.secret_path("passwords") / safe
    return path


def password_keep(name: str, password: str) -> Path:
    """Write a first password where only the portal's operator can read it."""
    path = password_path(name)
    write_file(path, (password + "\n").encode(), private=True)
    return path
