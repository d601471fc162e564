"""One lock an agreement, and a claim is one conditional UPDATE, although a job is two rows."""

from __future__ import annotations

from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from apps.attempts.played import all_played
from apps.attempts.services.agreements import agreement_end, agreement_lock, attempt_abandon
from apps.common.actor import COORDINATOR
from apps.common.coordinator import as_coordinator
from apps.training.models import Job
from federated.protocol.kinds import KINDS
from tests.training.world import World, current


def statements(queries: CaptureQueriesContext, word: str) -> list[str]:
    """What begins with the word, of tables of agreements and jobs."""
    tables = ("attempts_agreement", "training_job", "attempts_attempt")
    return [
        query["sql"]
        for query in queries.captured_queries
        if query["sql"].startswith(word) and any(f'"{name}"' in query["sql"] for name in tables)
    ]


def test_the_lock_is_taken_on_one_row_before_the_other_is_read(world: World) -> None:
    job = world.propose()
    with as_coordinator(), transaction.atomic(), CaptureQueriesContext(connection) as queries:
        locked = agreement_lock(job.pk)
    lock, read = statements(queries, "SELECT")
    assert lock.endswith("FOR UPDATE")
    assert '"training_job"' not in lock, "a join shows the job as it was before the wait"
    assert '"training_job"' in read
    assert "FOR UPDATE" not in read
    assert isinstance(locked, Job)


def test_an_end_is_claimed_by_one_conditional_update(world: World) -> None:
    job = world.propose()
    end = {"state": Job.State.CANCELLED, "reason": "enough", "actor": COORDINATOR}
    with as_coordinator(), transaction.atomic(), CaptureQueriesContext(connection) as queries:
        assert agreement_end(agreement_lock(job.pk), **end)
    claim = statements(queries, "UPDATE")[0]
    assert claim.startswith('UPDATE "attempts_agreement"')
    assert '"ended_at" IS NULL' in claim
    with as_coordinator(), transaction.atomic(), CaptureQueriesContext(connection) as queries:
        assert not agreement_end(agreement_lock(job.pk), **end)
    assert len(statements(queries, "UPDATE")) == 1


def test_a_step_is_claimed_by_one_conditional_update(world: World) -> None:
    attempt = current(world.start())
    with as_coordinator(), transaction.atomic(), CaptureQueriesContext(connection) as queries:
        assert attempt_abandon(attempt, reason="lost")
        assert not attempt_abandon(attempt, reason="lost again")
    first, second = statements(queries, "UPDATE")
    assert first.startswith('UPDATE "attempts_attempt"')
    assert all("\"state\" IN ('collecting', " in claim for claim in (first, second))


def test_every_kind_of_the_protocol_is_played() -> None:
    played = [name for kinds in all_played().values() for name in kinds]
    assert sorted(played) == sorted(kind.name for kind in KINDS)
    for kind in KINDS:
        (messages,) = [one.messages for one, names in all_played().items() if kind.name in names]
        assert set(messages) == {*kind.taken, "refusal"}
