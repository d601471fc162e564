"""Changing what an account is allotted, in the site's ledger: who, why, before and after.

Three may ask. The organization's policy file grants, and an edit of it holds from the next
decision on. A person at the site changes an account with a reason. The portal asks for an admin
there: whatever grants more waits until a person at the site confirms it, because the portal might
lie; what only grants less holds at once. Every change is kept for good and reported. The
functions work in the caller's SQLite transaction.
"""

from __future__ import annotations

import sqlite3
import uuid
from datetime import datetime

from federated.errors import AllotmentBelowSpent, Conflict, InvalidInput, NotFound
from federated.site.ledger_report import period_start, spent_of, stamp
from federated.site.policy import Allotment
from federated.wire import site as wire

SCHEMA = """
CREATE TABLE IF NOT EXISTS allotment_change (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, dataset TEXT NOT NULL,
    unit TEXT NOT NULL, before TEXT, after TEXT NOT NULL, reason TEXT NOT NULL, by TEXT NOT NULL,
    at TEXT NOT NULL, request TEXT UNIQUE
) STRICT;
CREATE TABLE IF NOT EXISTS policy_grant (
    dataset TEXT NOT NULL, unit TEXT NOT NULL, allotment TEXT NOT NULL, PRIMARY KEY (dataset, unit)
) STRICT;
CREATE TABLE IF NOT EXISTS allotment_request (
    id TEXT PRIMARY KEY, dataset TEXT NOT NULL, unit TEXT NOT NULL, content TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('applied', 'waiting', 'declined')),
    detail TEXT NOT NULL, at TEXT NOT NULL
) STRICT;
"""
POLICY_FILE = "policy.yaml"
#: A longer period grants less: the same epsilon has to last longer.
PERIODS = ("month", "quarter", "year", "lifetime")
LONGEST_REASON = 500


def grants_more(before: wire.Allotment, after: wire.Allotment) -> bool:
    """Whether ``after`` allows anything that ``before`` does not."""
    return (
        after.epsilon > before.epsilon
        or after.delta > before.delta
        or after.max_queries_per_tenant > before.max_queries_per_tenant
        or PERIODS.index(after.period) < PERIODS.index(before.period)
    )


def describe(allotment: wire.Allotment) -> str:
    """An allotment in words."""
    return (
        f"epsilon {allotment.epsilon:g} at delta {allotment.delta:g} a {allotment.period}, "
        f"{allotment.max_queries_per_tenant} jobs of a proposer"
    )


def current(db: sqlite3.Connection, dataset: str, unit: str) -> wire.Allotment | None:
    """What an account is allotted now; None where there is no account."""
    row = db.execute(
        "SELECT * FROM account WHERE dataset = ? AND unit = ?", (dataset, unit)
    ).fetchone()
    if row is None:
        return None
    return wire.Allotment(
        epsilon=row["epsilon"],
        delta=row["delta"],
        period=row["period"],
        max_queries_per_tenant=row["max_queries"],
    )


def policy_grant(
    db: sqlite3.Connection, dataset: str, unit: str, allotment: Allotment, now: datetime
) -> bool:
    """Follow the policy file where it says something new. True if the account changed.

    What was changed since by people stands until the file is edited: the last word counts. An
    edit is the owner's own and holds as it is; below what is spent, nothing more fits.
    """
    granted = wire.Allotment(**allotment.model_dump())
    text = granted.canonical().decode()
    seen = db.execute(
        "SELECT allotment FROM policy_grant WHERE dataset = ? AND unit = ?", (dataset, unit)
    ).fetchone()
    if seen is not None and seen["allotment"] == text:
        return False
    db.execute(
        "INSERT INTO policy_grant VALUES (?, ?, ?) ON CONFLICT (dataset, unit)"
        " DO UPDATE SET allotment = excluded.allotment",
        (dataset, unit, text),
    )
    before = current(db, dataset, unit)
    if before == granted:
        return False
    reason = "the policy file grants it" if before is None else "the policy file was edited"
    _change(db, dataset, unit, granted, reason=reason, by=POLICY_FILE, now=now)
    return True


def change(
    db: sqlite3.Connection,
    dataset: str,
    unit: str,
    after: wire.Allotment,
    *,
    reason: str,
    by: str,
    now: datetime,
) -> wire.AllotmentChange:
    """A person at the site changes an account.

    Raises InvalidInput without a reason, Conflict where nothing changes, AllotmentBelowSpent.
    """
    before = current(db, dataset, unit)
    if before == after:
        raise Conflict(f"{dataset}: it is allotted {describe(after)} already")
    _check_spent(db, dataset, unit, after, now)
    return _change(db, dataset, unit, after, reason=checked_reason(reason), by=by, now=now)


def request_take(
    db: sqlite3.Connection, request: wire.AllotmentRequest, *, lower_at_once: bool, now: datetime
) -> tuple[wire.AllotmentAnswer, bool]:
    """Decide a request of the portal once, and keep it; True beside it if it is new here.

    Raises Conflict where the same id came with other content.
    """
    content = request.canonical().decode()
    kept = db.execute("SELECT * FROM allotment_request WHERE id = ?", (request.id,)).fetchone()
    if kept is not None:
        if kept["content"] != content:
            raise Conflict(f"request {request.id}: it came with other content before")
        return _answer(kept), False
    db.execute(
        "UPDATE allotment_request SET state = 'declined', detail = ?, at = ?"
        " WHERE dataset = ? AND unit = ? AND state = 'waiting'",
        (f"request {request.id[:8]} came after it", stamp(now), request.dataset, request.unit),
    )
    state, detail = _decide(db, request, lower_at_once=lower_at_once, now=now)
    db.execute(
        "INSERT INTO allotment_request VALUES (?, ?, ?, ?, ?, ?, ?)",
        (request.id, request.dataset, request.unit, content, state, detail, stamp(now)),
    )
    return _answer(_request_row(db, request.id)), True


def request_confirm(
    db: sqlite3.Connection, request_id: str, *, reason: str, by: str, now: datetime
) -> wire.AllotmentChange:
    """A person at the site lets a waiting request hold.

    Raises NotFound, Conflict where it does not wait, AllotmentBelowSpent.
    """
    request = _waiting(db, request_id)
    _check_spent(db, request.dataset, request.unit, request.allotment, now)
    made = _change(
        db,
        request.dataset,
        request.unit,
        request.allotment,
        reason=f"{request.reason} (confirmed: {checked_reason(reason)})",
        by=f"{by}, for {request.requested_by} in the portal",
        now=now,
        request=request.id,
    )
    _settle(db, request_id, "applied", f"confirmed by {by}", now)
    return made


def request_decline(
    db: sqlite3.Connection, request_id: str, *, reason: str, by: str, now: datetime
) -> None:
    """A person at the site says no. Raises NotFound, Conflict where it does not wait."""
    _waiting(db, request_id)
    _settle(db, request_id, "declined", f"declined by {by}: {checked_reason(reason)}", now)


def requests_waiting(db: sqlite3.Connection) -> list[wire.AllotmentRequest]:
    """What waits for a person at the site, oldest first."""
    rows = db.execute(
        "SELECT content FROM allotment_request WHERE state = 'waiting' ORDER BY at, id"
    ).fetchall()
    return [wire.AllotmentRequest.parse(row["content"]) for row in rows]


def changes(db: sqlite3.Connection) -> tuple[wire.AllotmentChange, ...]:
    """Every change there ever was, in order."""
    rows = db.execute("SELECT * FROM allotment_change ORDER BY number").fetchall()
    return tuple(
        wire.AllotmentChange(
            id=row["id"],
            dataset=row["dataset"],
            unit=row["unit"],
            before=None if row["before"] is None else wire.Allotment.parse(row["before"]),
            after=wire.Allotment.parse(row["after"]),
            reason=row["reason"],
            by=row["by"],
            at=row["at"],
            request=row["request"],
        )
        for row in rows
    )


def answers(db: sqlite3.Connection) -> tuple[wire.AllotmentAnswer, ...]:
    """How every request of the portal stands."""
    rows = db.execute("SELECT * FROM allotment_request ORDER BY at, id").fetchall()
    return tuple(_answer(row) for row in rows)


def checked_reason(reason: str) -> str:
    """A reason on one line. Raises InvalidInput for none, or one that is too long."""
    line = " ".join(reason.split())
    if not 1 <= len(line) <= LONGEST_REASON:
        raise InvalidInput(f"reason: 1 to {LONGEST_REASON} characters are needed")
    return line


def _decide(
    db: sqlite3.Connection, request: wire.AllotmentRequest, *, lower_at_once: bool, now: datetime
) -> tuple[str, str]:
    before = current(db, request.dataset, request.unit)
    if before is None:
        return "declined", f"the site holds no account of {request.dataset}"
    if before == request.allotment:
        return "declined", f"it is allotted {describe(before)} already"
    try:
        _check_spent(db, request.dataset, request.unit, request.allotment, now)
    except AllotmentBelowSpent as error:
        return "declined", error.message
    if grants_more(before, request.allotment):
        return "waiting", "it grants more: a person at the site has to confirm it"
    if not lower_at_once:
        return "waiting", "policy portal_allotments: a person at the site has to confirm it"
    _change(
        db,
        request.dataset,
        request.unit,
        request.allotment,
        reason=request.reason,
        by=f"{request.requested_by} in the portal",
        now=now,
        request=request.id,
    )
    return "applied", "it grants less and holds at once"


def _check_spent(
    db: sqlite3.Connection, dataset: str, unit: str, after: wire.Allotment, now: datetime
) -> None:
    start = period_start(after.period, now)
    used = spent_of(db, dataset, unit, "reserved", "")
    used += spent_of(db, dataset, unit, "committed", start)
    epsilon = used.epsilon(after.delta)
    if epsilon > after.epsilon:
        raise AllotmentBelowSpent(
            f"{dataset}: epsilon {epsilon:.3f} at delta {after.delta:g} is spent or reserved "
            f"this {after.period}; an allotment of {after.epsilon:g} would be "
            f"{epsilon - after.epsilon:.3f} below it",
            used=epsilon,
            asked=after.epsilon,
        )


def _change(
    db: sqlite3.Connection,
    dataset: str,
    unit: str,
    after: wire.Allotment,
    *,
    reason: str,
    by: str,
    now: datetime,
    request: str | None = None,
) -> wire.AllotmentChange:
    before = current(db, dataset, unit)
    made = wire.AllotmentChange(
        id=str(uuid.uuid4()),
        dataset=dataset,
        unit=unit,  # type: ignore[arg-type]
        before=before,
        after=after,
        reason=reason,
        by=by,
        at=stamp(now),
        request=request,
    )
    granted = (after.epsilon, after.delta, after.period, after.max_queries_per_tenant)
    db.execute(
        "INSERT INTO account (dataset, unit, epsilon, delta, period, max_queries)"
        " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (dataset, unit) DO UPDATE SET"
        " epsilon = excluded.epsilon, delta = excluded.delta, period = excluded.period,"
        " max_queries = excluded.max_queries",
        (dataset, unit, *granted),
    )
    db.execute(
        "INSERT INTO allotment_change (id, dataset, unit, before, after, reason, by, at, request)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            made.id,
            dataset,
            unit,
            None if before is None else before.canonical().decode(),
            after.canonical().decode(),
            made.reason,
            by,
            made.at,
            request,
        ),
    )
    return made


def _waiting(db: sqlite3.Connection, request_id: str) -> wire.AllotmentRequest:
    row = _request_row(db, request_id)
    if row["state"] != "waiting":
        raise Conflict(f"request {request_id}: it is {row['state']} ({row['detail']})")
    return wire.AllotmentRequest.parse(row["content"])


def _request_row(db: sqlite3.Connection, request_id: str) -> sqlite3.Row:
    row: sqlite3.Row | None = db.execute(
        "SELECT * FROM allotment_request WHERE id = ?", (request_id,)
    ).fetchone()
    if row is None:
        raise NotFound(f"request {request_id[:40]}: none came from the portal")
    return row


def _settle(
    db: sqlite3.Connection, request_id: str, state: str, detail: str, now: datetime
) -> None:
    db.execute(
        "UPDATE allotment_request SET state = ?, detail = ?, at = ? WHERE id = ?",
        (state, detail, stamp(now), request_id),
    )


def _answer(row: sqlite3.Row) -> wire.AllotmentAnswer:
    return wire.AllotmentAnswer(
        request=row["id"], state=row["state"], detail=row["detail"], at=row["at"]
    )
