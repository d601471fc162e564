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

from apps.attempts.models import Agreement, Attempt, AttemptMessage
from apps.keys.bell import bell_ring
from apps.provenance.models import Event
from federated.wire.round import Cohort, Reason, RoundContext
from portal.demo.stage import wait_for
from portal.demo.story import StepFailed

WAIT_SECONDS = 60
REFUSALS = AttemptMessage.objects.filter(name="refusal")
SHARES = AttemptMessage.objects.filter(name="share")


@dataclass(frozen=True)
class Trick:
    """A trick of the coordinator, and the reason it must be refused for."""

    name: str
    expected: Reason
    play: Callable[[Attempt], None]


def alone(attempt: Attempt) -> None:
    """Ask for the sum of Switzerland alone."""
    _sent(attempt, "contribution").exclude(organization="switzerland").delete()
    _present(attempt, Attempt.State.DECRYPTING)


def smaller(attempt: Attempt) -> None:
    """Ask to charge and decrypt the released cohort without Switzerland: their difference is
    Switzerland's contribution."""
    _sent(attempt, "contribution").filter(organization="switzerland").delete()
    _present(attempt, Attempt.State.CHARGING)


def again(attempt: Attempt) -> None:
    """Ask for a second decryption of the same contributions, as a new attempt."""
    body = attempt.context | {"attempt": attempt.attempt + 1}
    context = RoundContext.parse(body)
    rows = list(_sent(attempt, "contribution"))
    copy = Attempt.objects.create(
        agreement=attempt.agreement,
        number=attempt.number,
        attempt=attempt.attempt + 1,
        context=context.dump(),
        context_digest=context.digest(),
        opened_at=attempt.opened_at,
        deadline=attempt.deadline,
        state=Attempt.State.ABANDONED,
    )
    for row in rows:
        AttemptMessage.objects.create(
            attempt=copy,
            name=row.name,
            organization=row.organization,
            content=row.content,
            digest=row.digest,
        )
    _present(copy, Attempt.State.DECRYPTING)


def raised(attempt: Attempt) -> None:
    """Show the job with epsilon 8 instead of the approved one."""
    spec = attempt.agreement.spec
    spec["body"]["privacy"]["epsilon"] = 8.0
    Agreement.objects.filter(pk=attempt.agreement_id).update(spec=spec)
    _present(attempt, Attempt.State.DECRYPTING)


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
    attempt = (
        Attempt.objects.select_related("agreement")
        .filter(agreement_id=job_id, state=Attempt.State.RELEASED)
        .latest("number")
    )
    known = set(REFUSALS.values_list("pk", flat=True))
    shares = set(SHARES.values_list("pk", flat=True))
    asked = {"switzerland", "cleveland", "hungary", "va_long_beach"}
    if trick.play is smaller:
        asked -= {"switzerland"}
    with _restored(attempt):
        trick.play(attempt)
        bell_ring(attempt.agreement.slugs())
        refusals = wait_for(
            lambda: _all_of(REFUSALS.exclude(pk__in=known), asked),
            seconds=WAIT_SECONDS,
            what=f"refusals by {', '.join(sorted(asked))}",
        )
        if SHARES.filter(attempt__agreement_id=job_id).exclude(pk__in=shares).exists():
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


def _present(attempt: Attempt, state: str) -> None:
    """Close the attempt over the contributions that are there, without any share."""
    gone = ["share", "verdict", *(["receipt"] if state == Attempt.State.CHARGING else [])]
    attempt.messages.filter(name__in=gone).delete()
    _sent(attempt, "refusal").update(counts=False)
    members = dict(_sent(attempt, "contribution").values_list("organization", "digest"))
    cohort = Cohort(context=attempt.context_digest, members=members)
    Attempt.objects.filter(pk=attempt.pk).update(
        state=state,
        cohort=cohort.dump(),
        cohort_digest=cohort.digest(),
        product=None,
        release=None,
    )


@contextmanager
def _restored(attempt: Attempt) -> Iterator[None]:
    """Put the job, its last attempt and its messages back, whatever happened."""
    agreement = Agreement.objects.filter(pk=attempt.agreement_id)
    spec = agreement.values_list("spec", flat=True).get()
    row = Attempt.objects.filter(pk=attempt.pk).values().get()
    messages = list(attempt.messages.exclude(name="refusal"))
    try:
        yield
    finally:
        with transaction.atomic():
            others = Attempt.objects.filter(
                agreement_id=attempt.agreement_id, number=attempt.number
            )
            others.exclude(pk=attempt.pk).delete()
            agreement.update(spec=spec)
            Attempt.objects.filter(pk=attempt.pk).update(
                **{name: value for name, value in row.items() if name != "id"}
            )
            _sent(attempt, "refusal").update(counts=False)
            attempt.messages.exclude(name="refusal").delete()
            for kept in messages:
                kept.save(force_insert=True)
        bell_ring(attempt.agreement.slugs())


def _sent(attempt: Attempt, name: str) -> Any:
    return attempt.messages.filter(name=name)


def _all_of(rows: Any, asked: set[str]) -> list[AttemptMessage] | None:
    latest = {row.organization: row for row in rows}
    return list(latest.values()) if asked <= set(latest) else None
