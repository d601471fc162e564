"""What campaigns ask of a site now."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Exists, OuterRef

from apps.benchmarks.models import (
    CampaignParticipant,
    Noise,
    Run,
    RunReceipt,
    RunRefusal,
    RunShare,
    RunVerdict,
    Submission,
)
from apps.benchmarks.selectors.attempts import SOURCE
from apps.benchmarks.selectors.campaigns import campaigns_of
from federated.wire.site import CampaignTask, RunTask, Task, Work

WAIT_RUN_MS = 300
WAIT_OPEN_MS = 1000
TASKS_MOST = 50
SENT = ("submission", "receipt", "noise", "share", "refusal")


def tasks_of(organization: str) -> tuple[list[Task], int]:
    """The site's tasks for campaigns, and milliseconds until it should look again."""
    runs = list(_runs_with_answers(organization))
    tasks = _approvals(organization)
    tasks += [task for found in runs for task in _run_tasks(found, organization)]
    tasks += _verdicts(organization)
    hurry = any(found.state != Run.State.OPEN for found in runs)
    return tasks[:TASKS_MOST], WAIT_RUN_MS if hurry else WAIT_OPEN_MS


def _approvals(organization: str) -> list[Task]:
    pending = CampaignParticipant.objects.filter(
        organization=organization,
        state=CampaignParticipant.State.PENDING,
        campaign__state="active",
    ).order_by("created_at")
    found = pending.values_list("campaign_id", flat=True)[:TASKS_MOST]
    return [CampaignTask(campaign_id=str(pk)) for pk in found]


def _runs_with_answers(organization: str) -> Iterator[Run]:
    def sent(model: type, **more: object) -> Exists:
        return Exists(
            model.objects.filter(run=OuterRef("pk"), organization=organization, **more)  # type: ignore[attr-defined]
        )

    yield from (
        Run.objects.filter(campaign__in=campaigns_of(organization), state__in=Run.GOING)
        .defer("product")
        .annotate(
            sent_submission=sent(Submission),
            sent_receipt=sent(RunReceipt),
            sent_noise=sent(Noise),
            sent_share=sent(RunShare),
            sent_refusal=sent(RunRefusal, counts=True),
        )
        .order_by("opened_at")
    )


def _run_tasks(found: Run, organization: str) -> Iterator[Task]:
    sent = {message for message in SENT if getattr(found, f"sent_{message}")}
    kind = SOURCE.work(found, organization, sent=sent)
    if kind is not None:
        yield RunTask.of(kind, str(found.campaign_id), found.number)


def _verdicts(organization: str) -> list[Task]:
    """Of members of the cohort: the others have nothing at stake, and nothing to compare with."""
    judged = RunVerdict.objects.filter(run=OuterRef("pk"), organization=organization)
    missing = (
        Run.objects.filter(
            campaign__in=campaigns_of(organization),
            state=Run.State.RELEASED,
            expired_at=None,
            cohort__members__has_key=organization,
        )
        .exclude(Exists(judged))
        .order_by("released_at")
        .values_list("campaign_id", "number")
    )
    return [
        RunTask.of(Work.VERIFY, str(campaign), number) for campaign, number in missing[:TASKS_MOST]
    ]
