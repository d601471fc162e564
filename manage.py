#!/usr/bin/env python
"""Django's command line."""

from __future__ import annotations

import os
import sys

# What makes schemas, tables or roles runs as their owner; all else as the application.
OWNERS_COMMANDS = {"bootstrap", "migrate", "migrate_schemas", "organization_create"}


def main() -> None:
    if len(sys.argv) > 1 and sys.argv[1] in OWNERS_COMMANDS:
        os.environ.setdefault("FSC_DB_ROLE", "owner")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
