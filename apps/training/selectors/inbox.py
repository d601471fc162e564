"""All that a site must do now."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from django.db.models import Exists, OuterRef
from django_tenants.utils import schema_context

from apps.budgets.selectors import requests_pending
from apps.common.coordinator import as_coordinator
from apps.keys.selectors import keys_to_confirm, keys_to_retire
from apps.provenance.witnesses import checkpoint_to_cosign
from apps.training.models import (
    Contribution,
    Job,
    JobParticipant,
    Receipt,
    Refusal,
    Round,
    Share,
    Verdict,
)
from apps.training.selectors.attempts import SOURCE
from apps.training.selectors.jobs import jobs_of
from federated.wire.site import Inbox, Task, Work

WAIT_ROUND_MS = 75
WAIT_JOB_MS = 250
WAIT_IDLE_MS = 1000
TASKS_MOST = 100
SENT = ("contribution", "receipt", "share", "refusal")


Source = Callable[[str], tuple[list[Task], int]]
_sources: list[Source] = []


def tasks_from(source: Source) -> None:
    """Register what else asks things of sites: their tasks, milliseconds until the next look."""
    if source not in _sources:
        _sources.append(source)


def inbox_of(organization: str) -> Inbox:
    """The site's tasks, those that others wait for first, and when to ask again."""
    rounds = list(_rounds_with_answers(organization))
    tasks = [Task(kind=Work.KEY, epoch=d) for d in keys_to_confirm(organization=organization)]
    tasks += [Task(kind=Work.ALLOT, request=str(pk)) for pk in requests_pending()]
    tasks += _approvals(organization)
    tasks += [task for found in rounds for task in _round_tasks(found, organization)]
    tasks += _verdicts(organization)
    tasks += _cosignatures(organization)
    tasks += [Task(kind=Work.RETIRE, epoch=d) for d in keys_to_retire(organization=organization)]
    # A site trains from a model it has verified.
    tasks.sort(key=lambda task: task.kind is Work.TRAIN)
    wait_ms = _wait_ms(organization, rounds)
    for source in _sources:
        more, soon = source(organization)
        tasks, wait_ms = more + tasks, min(wait_ms, soon)
    return Inbox(tasks=tuple(tasks[:TASKS_MOST]), wait_ms=wait_ms)


def _wait_ms(organization: str, rounds: list[Round]) -> int:
    if rounds:
        return WAIT_ROUND_MS
    lively = jobs_of(organization).exclude(state__in=Job.ENDED)
    return WAIT_JOB_MS if lively.exists() else WAIT_IDLE_MS


def _approvals(organization: str) -> list[Task]:
    pending = JobParticipant.objects.filter(
        organization=organization,
        state=JobParticipant.State.PENDING,
        job__state=Job.State.PROPOSED,
    ).order_by("created_at")
    return [Task(kind=Work.APPROVE, job_id=str(part.job_id)) for part in pending[:TASKS_MOST]]


def _rounds_with_answers(organization: str) -> Iterator[Round]:
    """Open attempts, each annotated with what the organization has already sent."""

    def sent(model: type, **more: object) -> Exists:
        return Exists(
            model.objects.filter(round=OuterRef("pk"), organization=organization, **more)  # type: ignore[attr-defined]
        )

    yield from (
        Round.objects.filter(job__in=jobs_of(organization), state__in=Round.OPEN)
        .select_related("job")
        .defer("product")
        .annotate(
            sent_contribution=sent(Contribution),
            sent_receipt=sent(Receipt),
            sent_share=sent(Share),
            sent_refusal=sent(Refusal, counts=True),
        )
        .order_by("opened_at")
    )


def _round_tasks(found: Round, organization: str) -> Iterator[Task]:
    sent = {message for message in SENT if getattr(found, f"sent_{message}")}
    kind = SOURCE.work(found, organization, sent=sent)
    if kind is not None:
        yield _task(kind, found)


def _verdicts(organization: str) -> list[Task]:
    missing = (
        Round.objects.filter(
            job__in=jobs_of(organization), job__expired_at=None, state=Round.State.RELEASED
        )
        .exclude(Exists(Verdict.objects.filter(round=OuterRef("pk"), organization=organization)))
        .only("id", "job_id", "number", "attempt")
        .order_by("released_at")
    )
    return [_task(Work.VERIFY, found) for found in missing[:TASKS_MOST]]


def _cosignatures(organization: str) -> Iterator[Task]:
    with as_coordinator():
        size = checkpoint_to_cosign(organization)
    if size is not None:
        yield Task(kind=Work.COSIGN, log="consortium", size=size)
    with schema_context(f"t_{organization}"):
        size = checkpoint_to_cosign(organization)
    if size is not None:
        yield Task(kind=Work.COSIGN, log="own", size=size)


def _task(kind: Work, found: Round) -> Task:
    return Task(kind=kind, job_id=str(found.job_id), round=found.number, attempt=found.attempt)
