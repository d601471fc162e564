"""The log in its database: durable appends beside plain INSERTs, an event's part of a request.

A database of its own on this machine's disk, with fsync on, as the portal starts it. The plain side
inserts the rows that the log wrote, byte for byte, into tables of the same columns and indexes, in
the same database. Singly: one transaction an event, with the sequencer's rows after. One by one in
one transaction: a statement and its answer an event on both sides. A batch: a thousand events by
`events_record` and by one run of the sequencer, beside as many statements as psycopg can send at
once (executemany's pipeline), one transaction for the events and one for leaves and nodes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.bench import frame

PLAIN = "plain INSERTs"
TABLES = ("event", "leaf", "node")
SINGLE, BATCH = 200, 1000
TURNS = 3
REQUESTS = 40
Written = dict[str, list[tuple[Any, ...]]]
Spent = dict[tuple[str, str], list[float]]


@contextmanager
def database() -> Iterator[Path]:
    """PostgreSQL and Valkey with the portal's tables, an organization and a join token."""
    with tempfile.TemporaryDirectory(prefix="fsc-bench-") as folder:
        os.environ.update(
            FSC_STATE=folder,
            FSC_CONFIG="",
            FSC_DB_ROLE="app",
            DJANGO_SETTINGS_MODULE="portal.settings",
            FEDERATED__BLOCKCHAIN__ENABLED="false",
        )
        from portal.config import Config
        from portal.up.postgres import Postgres
        from portal.up.valkey import Valkey

        config = Config.load()
        running = [Postgres(config), Valkey(config)]
        try:
            for service in running:
                service.start()
            running[0].ensure_roles_and_database()  # type: ignore[attr-defined]
            for command in (
                ["migrate_schemas", "--noinput", "-v", "0"],
                ["bootstrap"],
                ["organization_create", "northwind", "--name", "Northwind"],
            ):
                _manage(config, *command)
            token = _manage(config, "join_token", "northwind").split()[-1]
            (Path(folder) / "token").write_text(token)
            yield Path(folder)
        finally:
            for service in reversed(running):
                service.stop()


def _manage(config: Any, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        env={**os.environ, **config.environment("owner")},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"manage.py {arguments[0]}: {done.stderr[-2000:]}")
    return done.stdout


def measure() -> list[frame.Row]:
    with database() as state:
        import django

        django.setup()
        import logging

        logging.disable(logging.INFO)
        from django.conf import settings
        from django.db import connection

        from portal.up.postgres import Postgres

        with Postgres(settings.FSC_CONFIG).connect() as plain:
            plain.autocommit = True
            rows = _appends(plain)
        rows += _requests(state)
        connection.close()
    return rows


def _appends(plain: Any) -> list[frame.Row]:
    _sequence()
    for table in TABLES:
        plain.execute(f"CREATE TABLE plain_{table} (LIKE provenance_{table} INCLUDING ALL)")
    plain.execute(
        "ALTER TABLE plain_leaf ADD FOREIGN KEY (event_id) REFERENCES plain_event (id) "
        "DEFERRABLE INITIALLY DEFERRED"
    )
    spent: Spent = {}
    for _ in range(TURNS):
        before = _now(plain)
        alone = _seconds(lambda: _record_each(SINGLE))
        written = _written_since(plain, before)
        assert len(written["event"]) == len(written["leaf"]) == SINGLE
        again = _seconds(lambda written=written: _insert_each(plain, written))
        _note(spent, "one transaction each", SINGLE, alone, again)

        before = _now(plain)
        recorded = _seconds(lambda: _record_all(BATCH))
        _sequence()
        written = _written_since(plain, before)
        assert len(written["event"]) == BATCH
        events = _seconds(lambda written=written: _insert_one_by_one(plain, written["event"]))
        _note(spent, "one by one in one transaction", BATCH, recorded, events)

        before = _now(plain)
        recorded = _seconds(lambda: _record_batch(BATCH))
        sequenced = _seconds(_sequence)
        written = _written_since(plain, before)
        assert len(written["event"]) == len(written["leaf"]) == BATCH
        events = _seconds(lambda written=written: _insert_all(plain, written, "event"))
        places = _seconds(lambda written=written: _insert_all(plain, written, "leaf", "node"))
        _note(spent, "a batch recorded", BATCH, recorded, events)
        _note(spent, "a batch given its places", BATCH, sequenced, places)
        _note(
            spent,
            "a batch, recorded and given places",
            BATCH,
            recorded + sequenced,
            events + places,
        )
    return [
        row
        for (case, system), values in spent.items()
        for row in frame.spread(f"durable: {case}", system, f"append ({case})", values, "us")
    ]


def _note(spent: Spent, case: str, count: int, ours: float, plain: float) -> None:
    """Microseconds an event."""
    spent.setdefault((case, frame.OURS), []).append(1e6 * ours / count)
    spent.setdefault((case, PLAIN), []).append(1e6 * plain / count)


def _seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _entry(number: int) -> dict[str, Any]:
    from apps.common.actor import Actor
    from apps.provenance.tags import Tag

    return {
        "tag": Tag.CONTRIBUTION_ACCEPTED,
        "actor": Actor("site", "a" * 64, "main", "northwind"),
        "subject": ("job", "00000000-0000-4000-8000-000000000001"),
        "digests": {"contribution": f"{number:064x}"},
        "data": {"round": 1, "attempt": 1, "organization": "northwind"},
        "signature": "b" * 64,
    }


def _record_each(count: int) -> None:
    from apps.provenance.services import event_record

    for number in range(count):
        event_record(**_entry(number))
    _sequence()


def _record_all(count: int) -> None:
    from django.db import transaction

    from apps.provenance.services import event_record

    with transaction.atomic():
        for number in range(count):
            event_record(**_entry(number))


def _record_batch(count: int) -> None:
    from django.db import transaction

    from apps.provenance.services import events_record

    with transaction.atomic():
        events_record(_entry(number) for number in range(count))


def _sequence() -> None:
    from apps.provenance.services import log_sequence

    while log_sequence():
        pass


def _now(plain: Any) -> Any:
    return {
        "at": plain.execute("SELECT clock_timestamp()").fetchone()[0],
        "size": plain.execute("SELECT count(*) FROM provenance_leaf").fetchone()[0],
    }


def _written_since(plain: Any, before: Any) -> Written:
    from psycopg.types.json import Jsonb

    found = {}
    for table in TABLES:
        rows = plain.execute(
            f"SELECT * FROM provenance_{table} WHERE created_at > %s ORDER BY created_at",
            [before["at"]],
        ).fetchall()
        found[table] = [
            tuple(Jsonb(value) if isinstance(value, dict) else value for value in row)
            for row in rows
        ]
    return found


def _insert(plain: Any, table: str, rows: list[tuple[Any, ...]]) -> None:
    marks = ", ".join(["%s"] * len(rows[0]))
    with plain.cursor() as cursor:
        cursor.executemany(f"INSERT INTO plain_{table} VALUES ({marks})", rows)


def _insert_one_by_one(plain: Any, rows: list[tuple[Any, ...]]) -> None:
    """As whoever has something else to do between them."""
    marks = ", ".join(["%s"] * len(rows[0]))
    with plain.transaction():
        for row in rows:
            plain.execute(f"INSERT INTO plain_event VALUES ({marks})", row)


def _insert_each(plain: Any, written: Written) -> None:
    marks = ", ".join(["%s"] * len(written["event"][0]))
    for row in written["event"]:
        plain.execute(f"INSERT INTO plain_event VALUES ({marks})", row)
    with plain.transaction():
        _insert(plain, "leaf", written["leaf"])
        _insert(plain, "node", written["node"])


def _insert_all(plain: Any, written: Written, *tables: str) -> None:
    with plain.transaction():
        for table in tables:
            _insert(plain, table, written[table])


def _requests(state: Path) -> list[frame.Row]:
    """A site's ledger report, the smallest request that changes something: what is the event's."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from apps.budgets.services import mirror as services
    from apps.organizations.services import site_join
    from federated.protocol.identity import SiteIdentity
    from federated.wire.site import LedgerReport
    from tests.conftest import SiteClient, pem_der
    from tests.site_keys import site_request

    key, csr, encryption = site_request("northwind")
    joined = site_join(
        token=(state / "token").read_text(),
        csr_pem=csr,
        encryption_key=encryption.public_key().public_bytes_raw(),
    )
    client = SiteClient(pem_der(joined.certificate.pem), SERVER_NAME="localhost")
    identity = SiteIdentity("northwind", key)
    record, audit = services.event_record, [0.0]

    def timed(**fields: Any) -> Any:
        start = time.thread_time()
        try:
            return record(**fields)
        finally:
            audit[0] += time.thread_time() - start

    services.event_record = timed
    whole = 0.0
    try:
        for sequence in range(1, REQUESTS + 1):
            report = LedgerReport(
                organization="northwind", sequence=sequence, accounts=(), charges=()
            )
            body = identity.sign(report).canonical()
            if sequence == 2:  # The first one fills caches.
                audit[0] = whole = 0.0
            start = time.thread_time()
            answer = client.post("/api/ledger", body, content_type="application/json", secure=True)
            whole += time.thread_time() - start
            assert answer.status_code == 201, answer.content
        with CaptureQueriesContext(
            connection,
        ) as queries:
            report = LedgerReport(
                organization="northwind", sequence=REQUESTS + 1, accounts=(), charges=()
            )
            client.post(
                "/api/ledger",
                identity.sign(report).canonical(),
                content_type="application/json",
                secure=True,
            )
    finally:
        services.event_record = record
    statements = [query["sql"] for query in queries]
    of_log = [sql for sql in statements if '"provenance_' in sql]
    case = "a ledger report of a site, POST /api/ledger"
    count = REQUESTS - 1
    return [
        frame.Row(case, frame.OURS, "queries of the request", len(statements), "queries"),
        frame.Row(case, frame.OURS, "queries of its event", len(of_log), "queries"),
        frame.Row(case, frame.OURS, "CPU of the request", 1e6 * whole / count, "us"),
        frame.Row(case, frame.OURS, "CPU of its event", 1e6 * audit[0] / count, "us"),
        frame.Row(case, frame.OURS, "the event's share of the CPU", audit[0] / whole, "ratio"),
    ]
