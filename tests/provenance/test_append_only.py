"""No role that the application has can change the log, and its owner meets the triggers."""

import pytest
from django.db import DatabaseError, connection, transaction

from apps.provenance.models import Event
from tests.conftest import owner_role
from tests.provenance.conftest import inside, log_everything

TABLES = ("event", "leaf", "node", "checkpoint")
CHANGES = {
    "update": "UPDATE provenance_{} SET created_at = now()",
    "delete": "DELETE FROM provenance_{}",
    "truncate": "TRUNCATE provenance_{} CASCADE",
}


def attempt(statement):
    with (
        pytest.raises(DatabaseError) as caught,
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)
    return str(caught.value)


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("change", CHANGES)
def test_application_roles_may_not(log, record, table, change):
    record()
    log_everything()
    assert "permission denied" in attempt(CHANGES[change].format(table))


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("change", CHANGES)
def test_the_owner_is_stopped_by_triggers(log, record, table, change):
    record()
    log_everything()
    # Foreign keys not yet checked would refuse a TRUNCATE by themselves.
    connection.check_constraints()
    with owner_role():
        assert "append-only" in attempt(CHANGES[change].format(table))


def test_one_organization_cannot_read_anothers_log(db, record):
    with inside("northwind"):
        (event,) = record()
    with inside("lakeside"):
        message = attempt("SELECT * FROM t_northwind.provenance_event")
        assert "permission denied" in message
        message = attempt("INSERT INTO t_northwind.provenance_leaf SELECT * FROM provenance_leaf")
        assert "permission denied" in message
    with inside("northwind"):
        assert Event.objects.filter(pk=event.pk).exists()
