"""Pytest plugin (`-p tests.services`): PostgreSQL and Valkey for the whole session.

Loaded before Django reads its settings. They keep their state in a temporary directory
(FSC_TEST_STATE to name one that stays) and start when `ensure_services()` is first called.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from portal.config import Config
from portal.up.postgres import Postgres
from portal.up.service import Service
from portal.up.valkey import Valkey

# A test database survives no crash, so it need not wait for the disk.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}

_running: list[Service] = []
_named = os.environ.get("FSC_TEST_STATE")
STATE = Path(_named or tempfile.mkdtemp(prefix="fsc-test-")).resolve()

# Tests read no configuration of the person who runs them.
for _name in [name for name in os.environ if name.startswith("FEDERATED__")]:
    del os.environ[_name]
os.environ.update(
    FSC_STATE=str(STATE),
    FSC_CONFIG="",
    FSC_DB_ROLE="app",
    DJANGO_SETTINGS_MODULE="portal.settings",
    FEDERATED__BLOCKCHAIN__ENABLED="false",
)


def ensure_services() -> Config:
    """Start both services once and return their configuration."""
    config = Config.load()
    if not _running:
        postgres, valkey = Postgres(config, settings=FAST), Valkey(config)
        for service in (postgres, valkey):
            _running.append(service)
            service.start()
        postgres.ensure_roles_and_database()
        with postgres.connect("postgres") as connection:
            # Django's runner makes a database of its own beside the real one.
            connection.execute("ALTER ROLE fsc_owner CREATEDB")
    return config


def pytest_unconfigure() -> None:
    while _running:
        _running.pop().stop()
    if not _named:
        shutil.rmtree(STATE, ignore_errors=True)
