"""``migrate`` means ``migrate_schemas``."""

from portal.tenancy.management.commands.migrate_schemas import Command

__all__ = ["Command"]
