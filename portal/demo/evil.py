"""Tricks of a dishonest coordinator that controls its own database.

Each trick edits the portal's own tables as their owner, lets the sites' real agents see it, and
waits for their signed refusals. The tables are put back after; the refusals stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction

from apps.keys.bell import bell_ring
from apps.provenance.models import Event
from apps.training.models import Contribution, Job, Receipt, Refusal, Round, Share, Verdict
from federated.wire.round import Cohort, Reason, RoundContext
from portal.demo.stage import wait_for
from portal.demo.story import StepFailed

WAIT_SECONDS = 60
MESSAGES = (Contribution, Receipt, Share, Verdict)


@dataclass(frozen=True)
class Trick:
    """A trick of the coordinator, and the reason it must be refused for."""

    name: str
    expected: Reason
    play: Callable[[Round], None]


def alone(found: Round) -> None:
    """Ask for the sum of Switzerland alone."""
    found.contributions.exclude(organization="switzerland").delete()
    _present(found, Round.State.DECRYPTING)


def smaller(found: Round) -> None:
    """Ask to charge and decrypt the released cohort without Switzerland: their difference is
    Switzerland's contribution."""
    found.contributions.filter(organization="switzerland").delete()
    _present(found, Round.State.CHARGING)


def again(found: Round) -> None:
    """Ask for a second decryption of the same contributions, as a new attempt."""
    body = found.context | {"attempt": found.attempt + 1}
    context = RoundContext.parse(body)
    rows = list(found.contributions.all())
    copy = Round.objects.create(
        job_id=found.job_id,
        number=found.number,
        attempt=found.attempt + 1,
        context=context.dump(),
        context_digest=context.digest(),
        opened_at=found.opened_at,
        deadline=found.deadline,
        state=Round.State.ABANDONED,
    )
    for row in rows:
        Contribution.objects.create(
            round=copy, organization=row.organization, content=row.content, digest=row.digest
        )
    _present(copy, Round.State.DECRYPTING)


def raised(found: Round) -> None:
    """Show the job with epsilon 8 instead of the approved one."""
    spec = found.job.spec
    spec["body"]["privacy"]["epsilon"] = 8.0
    Job.objects.filter(pk=found.job_id).update(spec=spec)
    _present(found, Round.State.DECRYPTING)


TRICKS = (
    Trick("asks for Switzerland alone", Reason.COHORT_BELOW_MINIMUM, alone),
    Trick("asks for a cohort smaller by one", Reason.COHORT_BELOW_MINIMUM, smaller),
    Trick("asks for a second decryption", Reason.CONTEXT_MIXED, again),
    Trick("asks with a raised epsilon", Reason.SPEC_CHANGED, raised),
)


def play(trick: Trick, job_id: str) -> list[dict[str, Any]]:
    """The trick's refusals, each as the organization signed it.

    Raises StepFailed if a site answers with anything but the expected refusal.
    """
    found = (
        Round.objects.select_related("job")
        .filter(job_id=job_id, state=Round.State.RELEASED)
        .latest("number")
    )
    known = set(Refusal.objects.values_list("pk", flat=True))
    shares = set(Share.objects.values_list("pk", flat=True))
    asked = {"switzerland", "cleveland", "hungary", "va_long_beach"}
    if trick.play is smaller:
        asked -= {"switzerland"}
    with _restored(found):
        trick.play(found)
        bell_ring(found.job.slugs())
        refusals = wait_for(
            lambda: _all_of(Refusal.objects.exclude(pk__in=known), asked),
            seconds=WAIT_SECONDS,
            what=f"refusals by {', '.join(sorted(asked))}",
        )
        if Share.objects.filter(round__job_id=job_id).exclude(pk__in=shares).exists():
            raise StepFailed("a trustee gave a share")
        shown = [
            {
                "organization": row.organization,
                "reason": row.reason,
                "detail": row.detail,
                "signed": row.digest,
            }
            for row in refusals
        ]
    unexpected = [row for row in shown if row["reason"] != trick.expected.value]
    if unexpected:
        raise StepFailed(f"expected {trick.expected.value}, got {unexpected[0]}")
    return shown


def log_row_edit(job_id: str) -> dict[str, Any]:
    """Edit one released round's event as the database's owner, its trigger switched off."""
    event = Event.objects.filter(
        subject_kind="job", subject_id=job_id, tag="federation:round:released"
    ).earliest("created_at")
    index = event.leaf.log_index
    before = bytes(event.canonical)
    after = before.replace(b'"round":1', b'"round":7', 1)
    if after == before:
        raise StepFailed("the event does not name its round")
    table = Event._meta.db_table
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        cursor.execute(f"UPDATE {table} SET canonical = %s WHERE id = %s", [after, event.pk])
        cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
    return {"event": str(event.pk), "tag": event.tag, "index": index}


def _present(found: Round, state: str) -> None:
    """Close the attempt over the contributions that are there, without any share."""
    found.shares.all().delete()
    found.verdicts.all().delete()
    found.refusals.update(counts=False)
    if state == Round.State.CHARGING:
        found.receipts.all().delete()
    members = dict(found.contributions.values_list("organization", "digest"))
    cohort = Cohort(context=found.context_digest, members=members)
    Round.objects.filter(pk=found.pk).update(
        state=state,
        cohort=cohort.dump(),
        cohort_digest=cohort.digest(),
        product=None,
        release=None,
    )


@contextmanager
def _restored(found: Round) -> Iterator[None]:
    """Put the job, its last attempt and its messages back, whatever happened."""
    spec = Job.objects.values_list("spec", flat=True).get(pk=found.job_id)
    row = Round.objects.filter(pk=found.pk).values().get()
    messages = [(model, list(model.objects.filter(round=found))) for model in MESSAGES]
    try:
        yield
    finally:
        with transaction.atomic():
            Round.objects.filter(job_id=found.job_id, number=found.number).exclude(
                pk=found.pk
            ).delete()
            Job.objects.filter(pk=found.job_id).update(spec=spec)
            Round.objects.filter(pk=found.pk).update(**{k: v for k, v in row.items() if k != "id"})
            found.refusals.update(counts=False)
            for model, rows in messages:
                model.objects.filter(round=found).delete()
                for kept in rows:
                    kept.save(force_insert=True)
        bell_ring(found.job.slugs())


def _all_of(rows: Any, asked: set[str]) -> list[Refusal] | None:
    latest = {row.organization: row for row in rows}
    return list(latest.values()) if asked <= set(latest) else None
