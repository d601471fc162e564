"""The site's privacy ledger: authoritative, on its own disk, in zCDP rho (arXiv 1605.02065).

A job reserves its whole cost when it is approved. Each attempt that is summed commits one round's
cost, bound to one cohort, before any decryption share leaves; a commitment is never returned. What
was reserved and not used comes back when the job ends. Every call is one SQLite transaction,
synchronous to the disk, safe between threads and processes; repeating a call changes nothing.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from federated.errors import BudgetExceeded, Conflict, Unavailable
from federated.privacy.accountant import Spent
from federated.protocol.refused import Refused
from federated.site import allotments
from federated.site.ledger_report import (
    Outlook,
    outlook_of,
    period_renewal,
    period_start,
    report_of,
    spent_of,
    stamp,
)
from federated.site.policy import Allotment
from federated.wire import site as wire
from federated.wire.job import Cost
from federated.wire.round import Reason
from federated.wire.site import LedgerReport

SCHEMA = """
CREATE TABLE IF NOT EXISTS account (
    dataset TEXT NOT NULL, unit TEXT NOT NULL, epsilon REAL NOT NULL, delta REAL NOT NULL,
    period TEXT NOT NULL, max_queries INTEGER NOT NULL, PRIMARY KEY (dataset, unit)
) STRICT;
CREATE TABLE IF NOT EXISTS job (
    job_id TEXT PRIMARY KEY, spec TEXT NOT NULL, proposer TEXT NOT NULL, dataset TEXT NOT NULL,
    unit TEXT NOT NULL, rho REAL NOT NULL, at TEXT NOT NULL, ended INTEGER NOT NULL DEFAULT 0,
    epsilon REAL NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE IF NOT EXISTS charge (
    id TEXT PRIMARY KEY, job_id TEXT NOT NULL REFERENCES job, round INTEGER NOT NULL,
    attempt INTEGER NOT NULL, rho REAL NOT NULL, cohort TEXT, at TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('reserved', 'committed', 'returned')),
    CHECK ((state = 'committed') = (cohort IS NOT NULL)), UNIQUE (job_id, round, attempt)
) STRICT;
CREATE TABLE IF NOT EXISTS served (
    job_id TEXT NOT NULL, round INTEGER NOT NULL, attempt INTEGER NOT NULL, cohort TEXT NOT NULL,
    at TEXT NOT NULL, PRIMARY KEY (job_id, round, attempt)
) STRICT;
CREATE TABLE IF NOT EXISTS sequence (value INTEGER NOT NULL) STRICT;
INSERT INTO sequence SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM sequence);
"""
LOCK_SECONDS = 30.0


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Ledger:
    """The ledger in one SQLite file; made if absent, private to its owner."""

    def __init__(self, path: Path, *, now: Callable[[], datetime] = _utc_now) -> None:
        self.path = path
        self._now = now
        self._lock = threading.Lock()
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        self._db = sqlite3.connect(
            path, timeout=LOCK_SECONDS, isolation_level=None, check_same_thread=False
        )
        self._db.row_factory = sqlite3.Row
        # FULL with a write-ahead log: one sync a transaction, and it is on the disk after.
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("PRAGMA foreign_keys = ON")
        self._db.executescript(SCHEMA + allotments.SCHEMA)
        _migrate(self._db)

    def close(self) -> None:
        with self._lock:
            self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Between threads by the lock, between processes by BEGIN IMMEDIATE."""
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield self._db
                    self._db.execute("COMMIT")
                except BaseException:
                    if self._db.in_transaction:
                        self._db.execute("ROLLBACK")
                    raise
            except sqlite3.OperationalError as error:
                raise Unavailable(f"{self.path}: {error}") from error

    def grant(self, dataset: str, unit: str, allotment: Allotment) -> None:
        """Follow what the policy file grants an account; takes effect from the next charge on."""
        with self._transaction() as db:
            if allotments.policy_grant(db, dataset, unit, allotment, self._now()):
                _tick(db)

    def allotment(self, dataset: str, unit: str) -> wire.Allotment | None:
        """What an account is allotted now; None where there is none."""
        with self._transaction() as db:
            return allotments.current(db, dataset, unit)

    def allot(
        self, dataset: str, unit: str, after: wire.Allotment, *, reason: str, by: str
    ) -> wire.AllotmentChange:
        """Change an account, as a person at the site wants it; it holds until the next change.

        Raises AllotmentBelowSpent, Conflict where nothing changes, InvalidInput for the reason.
        """
        with self._transaction() as db:
            made = allotments.change(
                db, dataset, unit, after, reason=reason, by=by, now=self._now()
            )
            _tick(db)
            return made

    def request_take(
        self, request: wire.AllotmentRequest, *, lower_at_once: bool
    ) -> tuple[wire.AllotmentAnswer, bool]:
        """Decide what the portal asks, once: see allotments. True beside it if it is new."""
        with self._transaction() as db:
            answer, new = allotments.request_take(
                db, request, lower_at_once=lower_at_once, now=self._now()
            )
            if new:
                _tick(db)
            return answer, new

    def requests_waiting(self) -> list[wire.AllotmentRequest]:
        """What the portal asks and a person here has to confirm."""
        with self._transaction() as db:
            return allotments.requests_waiting(db)

    def request_confirm(self, request_id: str, *, reason: str, by: str) -> wire.AllotmentChange:
        """Let a waiting request hold. Raises NotFound, Conflict, AllotmentBelowSpent."""
        with self._transaction() as db:
            made = allotments.request_confirm(db, request_id, reason=reason, by=by, now=self._now())
            _tick(db)
            return made

    def request_decline(self, request_id: str, *, reason: str, by: str) -> None:
        """Say no to a waiting request. Raises NotFound, Conflict."""
        with self._transaction() as db:
            allotments.request_decline(db, request_id, reason=reason, by=by, now=self._now())
            _tick(db)

    def reserve(
        self,
        *,
        job_id: str,
        spec: str,
        proposer: str,
        cost: Cost,
        rounds: int,
        allotment: Allotment,
        first: int = 1,
        pure_epsilon: float = 0.0,
    ) -> None:
        """Set aside a job's whole cost: the ``cost`` of one attempt for ``first`` to ``rounds``.

        ``pure_epsilon`` is one attempt's, where it is pure; ``cost`` has it converted.
        ``allotment`` is what the policy file grants; a later change by people stands over it.

        Raises BudgetExceeded saying by how much it does not fit, Conflict where the job was
        reserved with another spec or has ended.
        """
        with self._transaction() as db:
            if allotments.policy_grant(db, cost.dataset, cost.unit, allotment, self._now()):
                _tick(db)
            known = db.execute("SELECT * FROM job WHERE job_id = ?", (job_id,)).fetchone()
            if known is not None:
                if known["spec"] != spec:
                    raise Conflict(f"job {job_id}: another spec of it is in the ledger")
                if known["ended"]:
                    raise Conflict(f"job {job_id}: it has ended in the ledger")
                return
            now = self._now()
            account = _account(db, cost.dataset, cost.unit)
            self._check_queries(db, account, proposer, now)
            once = _cost(cost.rho, pure_epsilon)
            count = rounds - first + 1
            whole = Spent(count * once.rho, count * once.pure_rho, count * once.pure_epsilon)
            self._check_fits(db, account, whole, now)
            db.execute(
                "INSERT INTO job (job_id, spec, proposer, dataset, unit, rho, epsilon, at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(job_id, spec, proposer, cost.dataset, cost.unit),
                    *(cost.rho, pure_epsilon, stamp(now)),
                ),
            )
            db.executemany(
                "INSERT INTO charge (id, job_id, round, attempt, rho, state, at)"
                " VALUES (?, ?, ?, 1, ?, 'reserved', ?)",
                [
                    (str(uuid.uuid4()), job_id, number, cost.rho, stamp(now))
                    for number in range(first, rounds + 1)
                ],
            )
            _tick(db)

    def commit(self, *, job_id: str, round: int, attempt: int, cohort: str) -> Cost:
        """Charge one attempt for one cohort (its digest); never returned after.

        A first attempt uses the round's reservation. A retry after a charged attempt reserves
        more. Raises BudgetExceeded where that does not fit, Refused where the job was not
        reserved here, the attempt was charged for another cohort or a newer one was charged.
        """
        with self._transaction() as db:
            job = db.execute("SELECT * FROM job WHERE job_id = ?", (job_id,)).fetchone()
            if job is None:
                raise Refused(Reason.JOB_UNKNOWN, f"job {job_id} is not in this site's ledger")
            cost = Cost(dataset=job["dataset"], unit=job["unit"], rho=job["rho"])
            rows = db.execute(
                "SELECT * FROM charge WHERE job_id = ? AND round = ? ORDER BY attempt",
                (job_id, round),
            ).fetchall()
            committed = {row["attempt"]: row for row in rows if row["state"] == "committed"}
            if attempt in committed:
                _check_cohort(committed[attempt]["cohort"], cohort, f"round {round}/{attempt}")
                return cost
            if job["ended"]:
                raise Refused(Reason.JOB_UNKNOWN, f"job {job_id} has ended in this site's ledger")
            if max(committed, default=0) > attempt:
                raise Refused(
                    Reason.ATTEMPT_SUPERSEDED,
                    f"round {round}: attempt {max(committed)} was charged after {attempt}",
                )
            self._charge(db, job, rows, round=round, attempt=attempt, cohort=cohort)
            _tick(db)
            return cost

    def _charge(
        self,
        db: sqlite3.Connection,
        job: sqlite3.Row,
        rows: list[sqlite3.Row],
        *,
        round: int,
        attempt: int,
        cohort: str,
    ) -> None:
        now = self._now()
        reserved = next((row for row in rows if row["state"] == "reserved"), None)
        if reserved is not None:
            db.execute(
                "UPDATE charge SET state = 'committed', attempt = ?, cohort = ?, at = ?"
                " WHERE id = ?",
                (attempt, cohort, stamp(now), reserved["id"]),
            )
            return
        if not rows:
            raise Refused(Reason.CONTEXT_MIXED, f"round {round} was never reserved for this job")
        more = _cost(job["rho"], job["epsilon"])
        self._check_fits(db, _account(db, job["dataset"], job["unit"]), more, now)
        db.execute(
            "INSERT INTO charge (id, job_id, round, attempt, rho, state, cohort, at)"
            " VALUES (?, ?, ?, ?, ?, 'committed', ?, ?)",
            (str(uuid.uuid4()), job["job_id"], round, attempt, job["rho"], cohort, stamp(now)),
        )

    def serve(self, *, job_id: str, round: int, attempt: int, cohort: str, charged: bool) -> None:
        """Remember, on the disk, the one cohort that this trustee decrypts for an attempt.

        ``charged`` says that this site is a member of the cohort, so that its own charge must be
        committed for it. Raises Refused for another cohort of the attempt, for an attempt older
        than one that was served, and for a charge that is missing.
        """
        with self._transaction() as db:
            where = f"round {round}/{attempt}"
            if charged:
                bound = _charged(db, job_id, round, attempt)
                if bound is None:
                    raise Refused(Reason.CHARGE_MISSING, f"{where}: not charged in this ledger")
                _check_cohort(bound, cohort, where)
            served = dict(
                db.execute(
                    "SELECT attempt, cohort FROM served WHERE job_id = ? AND round = ?",
                    (job_id, round),
                ).fetchall()
            )
            if attempt in served:
                _check_cohort(served[attempt], cohort, where)
                return
            if max(served, default=0) > attempt:
                raise Refused(
                    Reason.ATTEMPT_SUPERSEDED, f"{where}: attempt {max(served)} was served after it"
                )
            db.execute(
                "INSERT INTO served (job_id, round, attempt, cohort, at) VALUES (?, ?, ?, ?, ?)",
                (job_id, round, attempt, cohort, stamp(self._now())),
            )

    def charged(self, job_id: str, round: int, attempt: int) -> str | None:
        """The digest of the cohort that an attempt was charged for; None if it was not."""
        with self._transaction() as db:
            return _charged(db, job_id, round, attempt)

    def return_unused(self, job_id: str) -> int:
        """End a job: what was reserved and not charged comes back. Returns how many rounds."""
        with self._transaction() as db:
            returned = db.execute(
                "UPDATE charge SET state = 'returned', at = ?"
                " WHERE job_id = ? AND state = 'reserved'",
                (stamp(self._now()), job_id),
            ).rowcount
            ended = db.execute(
                "UPDATE job SET ended = 1 WHERE job_id = ? AND NOT ended", (job_id,)
            ).rowcount
            if returned or ended:
                _tick(db)
            return returned

    def return_round(self, job_id: str, round: int) -> bool:
        """Give back one round's reservation, where it was never charged. True if this call did."""
        with self._transaction() as db:
            returned = db.execute(
                "UPDATE charge SET state = 'returned', at = ?"
                " WHERE job_id = ? AND round = ? AND state = 'reserved'",
                (stamp(self._now()), job_id, round),
            ).rowcount
            if returned:
                _tick(db)
            return bool(returned)

    def open_jobs(self) -> list[str]:
        """Jobs that were reserved and have not ended here."""
        with self._transaction() as db:
            rows = db.execute("SELECT job_id FROM job WHERE NOT ended ORDER BY at").fetchall()
            return [row["job_id"] for row in rows]

    def report(self, organization: str) -> LedgerReport:
        """The whole ledger, for the mirror in the organization's own schema and for people."""
        with self._transaction() as db:
            return self._report(db, organization)

    def changed(self, since: int | None, organization: str) -> LedgerReport | None:
        """The report, unless nothing changed after the sequence number ``since``."""
        with self._transaction() as db:
            sequence = db.execute("SELECT value FROM sequence").fetchone()["value"]
            return None if sequence == since else self._report(db, organization)

    def _report(self, db: sqlite3.Connection, organization: str) -> LedgerReport:
        return report_of(
            db,
            organization,
            self._now(),
            changes=allotments.changes(db),
            answers=allotments.answers(db),
        )

    def outlook(self, cost: Cost, otherwise: Allotment) -> Outlook:
        """What ``cost`` would take of its account and leave; nothing is reserved.

        ``otherwise`` is what the policy file grants, for an account that is not there yet.
        """
        with self._transaction() as db:
            allotment = allotments.current(db, cost.dataset, cost.unit)
            allotment = allotment or wire.Allotment(**otherwise.model_dump())
            return outlook_of(db, cost, allotment, self._now())

    def lifetime_epsilon(self, dataset: str, unit: str, delta: float) -> float:
        """What was ever spent on an account, as epsilon at ``delta``."""
        with self._transaction() as db:
            return spent_of(db, dataset, unit, "committed", "").epsilon(delta)

    def _check_queries(
        self, db: sqlite3.Connection, account: sqlite3.Row, proposer: str, now: datetime
    ) -> None:
        count = db.execute(
            "SELECT count(*) AS n FROM job WHERE dataset = ? AND unit = ? AND proposer = ?"
            " AND at >= ?",
            (
                account["dataset"],
                account["unit"],
                proposer,
                period_start(account["period"], now),
            ),
        ).fetchone()["n"]
        if count >= account["max_queries"]:
            raise BudgetExceeded(
                f"{account['dataset']}: {proposer} has made {count} jobs this "
                f"{account['period']}, allowed are {account['max_queries']}"
            )

    def _check_fits(
        self, db: sqlite3.Connection, account: sqlite3.Row, more: Spent, now: datetime
    ) -> None:
        name, unit, allotted = account["dataset"], account["unit"], account["epsilon"]
        start = period_start(account["period"], now)
        used = spent_of(db, name, unit, "reserved", "")
        used += spent_of(db, name, unit, "committed", start)
        before = used.epsilon(account["delta"])
        after = (used + more).epsilon(account["delta"])
        if not after <= allotted:
            raise BudgetExceeded(
                f"{name}: needs epsilon {after:.3f} in all at delta {account['delta']:g}, "
                f"{after - allotted:.3f} above the allotment of {allotted:g} a "
                f"{account['period']} ({before:.3f} is spent or reserved, "
                f"{max(allotted - before, 0):.3f} left{period_renewal(account['period'], now)})",
                needed=after,
                allotted=allotted,
                excess=after - allotted,
            )


def _migrate(db: sqlite3.Connection) -> None:
    """Bring a ledger that was made before pure charges were kept apart up to date."""

    def current() -> bool:
        return any(row["name"] == "epsilon" for row in db.execute("PRAGMA table_info(job)"))

    if current():
        return
    db.execute("BEGIN IMMEDIATE")  # another process may be at it
    if not current():
        db.execute("ALTER TABLE job ADD COLUMN epsilon REAL NOT NULL DEFAULT 0")
    db.execute("COMMIT")


def _cost(rho: float, pure_epsilon: float) -> Spent:
    """One attempt's charge; ``pure_epsilon`` is 0 where it is not pure."""
    return Spent(rho, rho if pure_epsilon > 0 else 0.0, pure_epsilon)


def _account(db: sqlite3.Connection, dataset: str, unit: str) -> sqlite3.Row:
    row: sqlite3.Row = db.execute(
        "SELECT * FROM account WHERE dataset = ? AND unit = ?", (dataset, unit)
    ).fetchone()
    return row


def _charged(db: sqlite3.Connection, job_id: str, round: int, attempt: int) -> str | None:
    row = db.execute(
        "SELECT cohort FROM charge WHERE job_id = ? AND round = ? AND attempt = ?"
        " AND state = 'committed'",
        (job_id, round, attempt),
    ).fetchone()
    return None if row is None else str(row["cohort"])


def _check_cohort(kept: str, asked: str, where: str) -> None:
    if kept != asked:
        raise Refused(
            Reason.COHORT_ALREADY_SERVED,
            f"{where}: bound to cohort {kept[:16]}, asked for {asked[:16]}",
        )


def _tick(db: sqlite3.Connection) -> None:
    db.execute("UPDATE sequence SET value = value + 1")
