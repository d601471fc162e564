"""All that a site must do now."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from django.db.models import Exists, OuterRef, QuerySet
from django_tenants.utils import schema_context

from apps.attempts.models import Agreement, Attempt, AttemptMessage, Participant
from apps.attempts.played import Played, all_played, played_of
from apps.attempts.selectors.agreements import agreements_of
from apps.attempts.selectors.view import work_of
from apps.budgets.selectors import requests_pending
from apps.common.coordinator import as_coordinator
from apps.keys.selectors import keys_to_confirm, keys_to_retire
from apps.provenance.witnesses import checkpoint_to_cosign
from federated.wire.site import AllotTask, CosignTask, Inbox, KeyTask, Task, Work

WAIT_IDLE_MS = 1000
TASKS_MOST = 100
FIRST_MOST = 50
"""Of the kinds whose tasks stand first, so that they leave room for the others'."""

Tasks = list[tuple[Played, Task]]


def inbox_of(organization: str) -> Inbox:
    """The site's tasks, those that others wait for first, and when to ask again."""
    attempts = _open_attempts(organization)
    asked = [
        *_approvals(organization),
        *_attempt_tasks(attempts, organization),
        *_verdicts(organization),
    ]
    first = [task for played, task in asked if played.inbox_first][:FIRST_MOST]
    tasks: list[Task] = [
        KeyTask(kind=Work.KEY, epoch=d) for d in keys_to_confirm(organization=organization)
    ]
    tasks += [AllotTask(request=str(pk)) for pk in requests_pending()]
    tasks += [task for played, task in asked if not played.inbox_first]
    tasks += _cosignatures(organization)
    tasks += [KeyTask(kind=Work.RETIRE, epoch=d) for d in keys_to_retire(organization=organization)]
    # A site trains from a model it has verified.
    tasks.sort(key=lambda task: task.kind is Work.TRAIN)
    wait_ms = _wait_ms(organization, attempts)
    return Inbox(tasks=tuple([*first, *tasks][:TASKS_MOST]), wait_ms=wait_ms)


def _wait_ms(organization: str, attempts: list[Attempt]) -> int:
    """The shortest of what its kinds say for the attempts and agreements that have not ended."""
    waits = [WAIT_IDLE_MS]
    for attempt in attempts:
        collecting, later, _ = attempt.agreement.played.wait_ms
        waits.append(collecting if attempt.state == Attempt.State.COLLECTING else later)
    lively: QuerySet[Agreement] = agreements_of(organization).filter(ended_at=None).order_by()
    kinds = lively.values_list("kind", flat=True).distinct()
    return min([*waits, *(played_of(kind).wait_ms[2] for kind in kinds)])


def _approvals(organization: str) -> Tasks:
    """The oldest of each kind's, so that no kind's number delays another's."""
    pending = Participant.objects.filter(
        organization=organization, state=Participant.State.PENDING, agreement__ended_at=None
    ).order_by("created_at")
    return [
        (played, played.task(Work.APPROVE, pk))
        for played, kinds in all_played().items()
        for pk in pending.filter(agreement__kind__in=kinds).values_list("agreement_id", flat=True)[
            :TASKS_MOST
        ]
    ]


def _open_attempts(organization: str) -> list[Attempt]:
    return list(
        Attempt.objects.filter(agreement__in=agreements_of(organization), state__in=Attempt.OPEN)
        .select_related("agreement")
        .defer("product")
        .order_by("opened_at")
    )


def _attempt_tasks(attempts: list[Attempt], organization: str) -> Iterator[tuple[Played, Task]]:
    sent: dict[object, set[str]] = defaultdict(set)
    mine = AttemptMessage.objects.filter(attempt__in=attempts, organization=organization)
    # A refusal of something else that the site was shown is no answer.
    counting = mine.exclude(name="refusal", counts=False)
    for pk, name in counting.order_by().values_list("attempt_id", "name") if attempts else ():
        sent[pk].add(name)
    for attempt in attempts:
        work = work_of(attempt, organization, sent=sent[attempt.pk])
        if work is not None:
            played = attempt.agreement.played
            yield (
                played,
                played.task(work, attempt.agreement_id, attempt.number, attempt.attempt),
            )


def _verdicts(organization: str) -> Tasks:
    """Likewise."""
    given = AttemptMessage.objects.filter(
        attempt=OuterRef("pk"), name="verdict", organization=organization
    )
    missing = (
        Attempt.objects.filter(
            agreement__in=agreements_of(organization),
            state=Attempt.State.RELEASED,
            expired_at=None,
        )
        .exclude(Exists(given))
        .order_by("released_at")
        .values_list("agreement_id", "number", "attempt")
    )
    return [
        (played, played.task(Work.VERIFY, pk, number, attempt))
        for played, kinds in all_played().items()
        for pk, number, attempt in missing.filter(
            played.judged_by(organization), agreement__kind__in=kinds
        )[:TASKS_MOST]
    ]


def _cosignatures(organization: str) -> Iterator[Task]:
    with as_coordinator():
        size = checkpoint_to_cosign(organization)
    if size is not None:
        yield CosignTask(log="consortium", size=size)
    with schema_context(f"t_{organization}"):
        size = checkpoint_to_cosign(organization)
    if size is not None:
        yield CosignTask(log="own", size=size)
