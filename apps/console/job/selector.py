"""One job's page."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from itertools import groupby
from operator import attrgetter
from typing import Any

from django.utils import timezone

from apps.accounts.models import Membership
from apps.attempts.models import Attempt, Participant
from apps.attempts.selectors.agreements import attempts_told
from apps.budgets.selectors import cost_outlook
from apps.common.coordinator import as_coordinator
from apps.console.job import page as pages
from apps.console.job.evaluation import evaluation_panel, evaluation_rows
from apps.console.job.words import job_retention, job_summary, job_when
from apps.console.shared.access import ACTING
from apps.console.shared.charts import StepChart, step_chart
from apps.console.shared.events import EventRow, log_note, logged_rows
from apps.console.shared.words import job_title
from apps.provenance import selectors as provenance
from apps.training.models import Job
from apps.training.selectors.jobs import epsilons, job_get_for
from federated.protocol.cost import job_cost, privacy_warnings
from federated.wire.base import decode_bytes
from federated.wire.job import Evaluation, JobSpec

JOB_EVENTS_SHOWN = 18


def job_page(*, membership: Membership, job_id: Any) -> pages.JobPage:
    """A job as a member sees it. Raises NotFound for a job of others, too."""
    slug = membership.organization.slug
    job = job_get_for(organization=slug, job_id=job_id)
    spec = job.wire
    participants = list(job.participants.all())
    own = next((p for p in participants if p.organization == slug), None)
    attempts = attempts_told(job)
    charged = sum(attempt.charged_at is not None for attempt in attempts)
    spent = epsilons(spec, charged)
    released = [attempt for attempt in attempts if attempt.state == Attempt.State.RELEASED]
    acting = membership.role in ACTING
    events, events_all = job_event_rows(job)
    return pages.JobPage(
        id=str(job.pk),
        title=job_title(spec),
        summary=job_summary(spec),
        proposer=job.proposer,
        state=job.state,
        reason=job.reason,
        when=job_when(job),
        retention=job_retention(job, attempts),
        over=job.ended,
        rounds_planned=spec.strategy.rounds,
        rounds_done=len(released),
        epsilon_target=spec.privacy.epsilon,
        epsilon_coordinator=spent["coordinator"],
        epsilon_insiders=spent["insiders"],
        delta=spec.privacy.delta,
        purpose=spec.purpose,
        high_epsilon_reason=spec.privacy.high_epsilon_reason or "",
        warnings=privacy_warnings(spec),
        colluding=spec.privacy.colluding,
        insiders=len(spec.participants) - 1,
        minimum_cohort=spec.minimum_cohort,
        participants=[_participant(p, spec) for p in participants],
        rounds=[_round(attempt, job.slugs()) for attempt in attempts],
        chart=_epsilon_chart(spec, charged),
        model_digest=job.model_digest if released else "",
        model_step=_step(spec, len(released)),
        spec_digest=job.spec_digest,
        key_epoch=spec.key_epoch,
        events=events,
        events_all=events_all,
        log_note=log_note(),
        evaluation=evaluation_panel(job),
        evaluations=evaluation_rows(job, organization=slug),
        evaluates=spec.strategy.job_id if isinstance(spec.strategy, Evaluation) else "",
        cost=cost_row(spec) if own and _undecided(job, own) else None,
        may_decide=acting and _waits_for(job, own),
        may_cancel=acting and not job.ended,
    )


def _step(spec: JobSpec, released: int) -> int:
    """The round that the shown model was released in; an evaluation's is its job's."""
    return spec.strategy.round if isinstance(spec.strategy, Evaluation) else released


def page_fingerprint(page: pages.JobPage) -> str:
    """Changes when anything on the page does: an unchanged page is not sent again."""
    return hashlib.sha256(repr(page).encode()).hexdigest()[:16]


def job_event_rows(job: Job) -> tuple[list[EventRow], int]:
    """The newest events of a job that the caller was found to take part in, and how many it has.

    They are in the consortium's log, which an organization's role cannot read by itself.
    """
    with as_coordinator():
        found = provenance.events(subject=("job", job.pk))
        return logged_rows(found[:JOB_EVENTS_SHOWN]), found.count()


def cost_row(spec: JobSpec) -> pages.CostRow | None:
    """A job's cost and what it would leave; None for a job without noise."""
    if spec.privacy.delta is None:
        return None
    return pages.CostRow(**cost_outlook(job_cost(spec), delta=spec.privacy.delta))


def _undecided(job: Job, own: Participant) -> bool:
    return job.state == Job.State.PROPOSED and own.state == Participant.State.PENDING


def _waits_for(job: Job, own: Participant | None) -> bool:
    """Whether a person of the organization can still answer."""
    return (
        job.state == Job.State.PROPOSED
        and own is not None
        and own.state == Participant.State.PENDING
        and own.endorsed_by is None
    )


def _participant(one: Participant, spec: JobSpec) -> pages.ParticipantRow:
    pinned = spec.participant(one.organization)
    approval = one.approval
    reason = one.reason
    if one.state == Participant.State.PENDING and one.endorsed_by is not None:
        reason = f"approved by {one.endorsed_by.get('name', 'a person')}; its site signs next"
    return pages.ParticipantRow(
        organization=one.organization,
        state=one.state,
        reason=reason,
        key_id="" if pinned is None else _key_id(pinned.public_key),
        approval_digest="" if approval is None else approval.digest(),
    )


def _key_id(public_key: str) -> str:
    return hashlib.sha256(decode_bytes(public_key)).hexdigest()


def _round(attempt: Any, participants: Iterable[str]) -> pages.RoundRow:
    told = {name: list(rows) for name, rows in groupby(attempt.told, attrgetter("name"))}
    members = set(attempt.members) or {c.organization for c in told.get("contribution", [])}
    verdicts, refusals = told.get("verdict", []), told.get("refusal", [])
    return pages.RoundRow(
        number=attempt.number,
        attempt=attempt.attempt,
        state=attempt.state,
        reason=attempt.reason.partition(":")[0] if refusals else attempt.reason,
        cohort=[(name, name in members) for name in participants],
        phase_seconds=_phases(attempt),
        refusals=[
            pages.RefusalRow(organization=r.organization, reason=r.reason, detail=r.detail)
            for r in refusals
        ],
        agree=sum(verdict.agrees is True for verdict in verdicts),
        disagree=[verdict.organization for verdict in verdicts if not verdict.agrees],
    )


def _phases(attempt: Attempt) -> dict[str, float]:
    """The ended phases, and whole seconds of the one that runs or was cut short."""
    phases = dict(attempt.phase_seconds)
    name, began = "collecting", attempt.opened_at
    if attempt.closed_at is not None:
        name, began = "charging", attempt.closed_at
    if attempt.charged_at is not None:
        name, began = "decrypting", attempt.charged_at
    if attempt.open:
        phases[name] = float(int((timezone.now() - began).total_seconds()))
    elif attempt.abandoned_at is not None:
        phases[name] = (attempt.abandoned_at - began).total_seconds()
    return phases


def _epsilon_chart(spec: JobSpec, charged: int) -> StepChart | None:
    if spec.privacy.epsilon is None:
        return None
    after = [epsilons(spec, number) for number in range(1, charged + 1)]
    return step_chart(
        [
            ("to the coordinator", [one["coordinator"] for one in after], 1),
            ("to insiders", [one["insiders"] for one in after], 2),
        ],
        rounds=max(spec.strategy.rounds, charged),
        target=spec.privacy.epsilon,
    )
