"""Refuse UPDATE, DELETE and TRUNCATE on the log, for every role that the triggers run for."""

from django.db import migrations

TABLES = {
    "event": "provenance_event",
    "leaf": "provenance_leaf",
    "node": "provenance_node",
    "checkpoint": "provenance_checkpoint",
}

# Unqualified names: every schema that has the tables gets a function and triggers of its own.
FUNCTION = """
CREATE FUNCTION provenance_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the log is append-only: % on %.% is refused',
        TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END
$$
"""


def triggers(table: str) -> str:
    return f"""
CREATE TRIGGER {table}_rows BEFORE UPDATE OR DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION provenance_refuse_change();
CREATE TRIGGER {table}_truncate BEFORE TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION provenance_refuse_change();
"""


def drop_triggers(table: str) -> str:
    return f"""
DROP TRIGGER {table}_rows ON {table};
DROP TRIGGER {table}_truncate ON {table};
"""


class Migration(migrations.Migration):
    dependencies = [("provenance", "0001_initial")]

    operations = [
        migrations.RunSQL(
            FUNCTION, "DROP FUNCTION provenance_refuse_change()", hints={"model_name": "event"}
        ),
        *(
            migrations.RunSQL(triggers(table), drop_triggers(table), hints={"model_name": name})
            for name, table in TABLES.items()
        ),
    ]
