"""Watches every transaction of every test: one that changed rows told it, and told nothing twice.

A transaction that ends one thing and begins the next (a round released, the next one opened) tells
each once; admissions are told in the organization's log and in the consortium's. So: at least one
event, and no two events of one tag about one subject in one log. A test runs inside a transaction,
so a service's own is a savepoint here; what stands outside of one is a transaction by itself. What
a test writes with its own hands does not count, and what is rolled back was never written.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.apps import apps
from django.db import connection

from apps.provenance.services import EVENT_COLUMNS

ROOT = Path(__file__).parents[1]
CODE = (f"{ROOT}/apps/", f"{ROOT}/portal/")
TESTS = f"{ROOT}/tests/"
EVENT = "provenance_event"
WRITE = re.compile(r'\s*(INSERT INTO|UPDATE|DELETE FROM)\s+(?:"?\w+"?\.)?"?(\w+)"?', re.IGNORECASE)

#: Tables that are no state of the consortium's, with the reason.
TABLES = {
    "provenance_leaf": "an event's place: the sequencer's record",
    "provenance_node": "the tree over the leaves",
    "provenance_checkpoint": "a signed head: a record of its own",
    "provenance_cosignature": "a signed record; an event would ask for the next cosignature",
    "provenance_finalcheckpoint": "follows from cosignatures",
    "provenance_anchor": "on its way to the chain, which is the record",
    "provenance_registry": "where the chain's contract is",
}
#: Functions whose writes tell nothing, with the reason.
FUNCTIONS: dict[str, str] = {
    "lease_take": "who works on a release now; the release tells what came of it",
    "_part_claim": "parts of a sum that anyone recomputes from the stored vectors",
    "_parts_make": "the same",
    "vectors_sum": "the same",
    "sum_parts_sweep": "the same",
    "_wait": "what a queued job waits for, which follows from logged events",
    "campaign_wait": "the same of a campaign",
    "organization_create": "its row stands before its schema; the event comes with the tables",
    "_verification_claim": "who verifies now; asking and the result are told",
    "_verification_beat": "the same",
    "_verification_release": "the same",
    "_verification_note": "a verification's checks so far",
    "round_sum": "a product that anyone recomputes from the logged contributions",
}
#: Steps in their caller's transaction, which tests also take by themselves.
STEPS = {"attempt_open"}
#: Statements that tell nothing, with the reason.
STATEMENTS = {
    r'UPDATE "organizations_site" SET "last_seen_at"': "presence, every few seconds",
    r'UPDATE "accounts_user" SET "last_login"': "the sign-in is an event of its own",
}


@dataclass
class Transaction:
    """A savepoint: what was written in it, by whom, and into which logs events went."""

    of_test: bool
    tables: Counter[str] = field(default_factory=Counter)
    functions: set[str] = field(default_factory=set)
    events: Counter[tuple[str, ...]] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    """Of the transactions in it that were judged: forgotten if it is rolled back."""

    def take(self, inner: Transaction) -> None:
        self.tables += inner.tables
        self.functions |= inner.functions
        self.events += inner.events
        self.problems += inner.problems

    def problem(self) -> str | None:
        if not self.tables:
            return None
        what = f"{', '.join(sorted(self.functions))} wrote {dict(self.tables)}"
        if not self.events:
            return f"{what} and no event"
        twice = [event for event, count in self.events.items() if count > 1]
        return f"{what} and told {twice} more than once" if twice else None


@dataclass
class Watch:
    """An execute wrapper that follows savepoints."""

    problems: list[str] = field(default_factory=list)
    open: list[Transaction] = field(default_factory=list)
    ours: frozenset[str] = field(
        default_factory=lambda: frozenset(
            model._meta.db_table
            for model in apps.get_models(include_auto_created=True)
            if model.__module__.startswith("apps.")
        )
    )

    def __call__(self, execute: Callable[..., Any], sql: Any, *rest: Any) -> Any:
        text = str(sql)
        done = execute(sql, *rest)
        if text.startswith("SAVEPOINT"):
            self.open.append(Transaction(of_test=not callers()))
        elif text.startswith("ROLLBACK TO SAVEPOINT") and self.open:
            self.open[-1] = Transaction(of_test=self.open[-1].of_test)
        elif text.startswith("RELEASE SAVEPOINT") and self.open:
            self._close(self.open.pop())
        elif (found := WRITE.match(text)) and rest[-1]["cursor"].rowcount > 0:
            self._note(found[2], text, rest[0])
        return done

    def _note(self, table: str, sql: str, parameters: Any) -> None:
        functions = callers()
        if not functions or table not in self.ours or table in TABLES:
            return
        if functions & FUNCTIONS.keys() or any(re.match(known, sql) for known in STATEMENTS):
            return
        statement = Transaction(of_test=False)
        if table == EVENT:
            values = dict(zip(EVENT_COLUMNS, parameters, strict=True))
            told = [values[name] for name in ("tag", "subject_kind", "subject_id")]
            rows = [told]
            if "string_to_array" in sql:  # events_record
                lines = [text.split("\n") for text in told]
                rows = [
                    (tag, json.loads(kind), json.loads(name))
                    for tag, kind, name in zip(*lines, strict=True)
                ]
            for row in rows:
                statement.events[str(connection.schema_name), *map(str, row)] += 1
        else:
            statement.tables[table] += 1
            statement.functions |= functions
        self._close(statement, alone=True)

    def _close(self, done: Transaction, *, alone: bool = False) -> None:
        """Into the transaction around it; judged where there is none, or only a test's own."""
        around = self.open[-1] if self.open else None
        if around is not None and (alone or not around.of_test):
            around.take(done)
            return
        problem = None if alone and done.functions & STEPS else done.problem()
        outward = self.problems if around is None else around.problems
        outward += [*done.problems, *([problem] if problem else [])]


def callers() -> set[str]:
    """The project's functions that lead here; none if a test's own line does it."""
    frame, found = sys._getframe(2), set()
    while frame is not None:
        file = frame.f_code.co_filename
        if (decorated := _decorated(frame)) is not None:
            found.add(decorated)
        elif file.startswith(CODE) and "/migrations/" not in file:
            found.add(frame.f_code.co_name)
        elif file.startswith(TESTS) and file != __file__:
            break
        frame = frame.f_back  # type: ignore[assignment]
    return found


def _decorated(frame: Any) -> str | None:
    """The service that ``@transaction.atomic`` is about to call, or has called."""
    if frame.f_code.co_name != "inner" or not frame.f_code.co_filename.endswith("contextlib.py"):
        return None
    function = frame.f_locals.get("func")
    code = getattr(function, "__code__", None)
    return code.co_name if code is not None and code.co_filename.startswith(CODE) else None


@contextmanager
def watched() -> Iterator[Watch]:
    watch = Watch()
    with connection.execute_wrapper(watch):
        yield watch
