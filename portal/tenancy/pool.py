"""Resets a pooled connection before its next user."""

from __future__ import annotations

from psycopg import Connection
from psycopg.pq import TransactionStatus


def connection_reset(connection: Connection) -> None:
    """Back to the login role and the public schema, so that raw use inherits no tenant."""
    if connection.info.transaction_status != TransactionStatus.IDLE:
        connection.rollback()
    connection.autocommit = True
    connection.execute("RESET ROLE; SET search_path = public")
