"""Jobs, models and rounds as one organization may see them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from django.db.models import QuerySet

from apps.attempts.models import Attempt
from apps.attempts.selectors.agreements import agreement_get_for, agreements_of, time_text
from apps.budgets.selectors import cost_outlook
from apps.common.selectors import get_for
from apps.training.models import DataDictionary, Job, ModelState
from federated.protocol.cost import job_cost, job_epsilons, privacy_warnings
from federated.wire.job import JobSpec


def jobs_of(organization: str) -> QuerySet[Job]:
    """The jobs that an organization takes part in, newest first."""
    return agreements_of(organization, Job)


def job_get_for(*, organization: str, job_id: Any) -> Job:
    """Raises NotFound for a job of others, too."""
    return agreement_get_for(Job, organization=organization, pk=job_id)


def model_get_for(*, organization: str, digest: str) -> ModelState:
    """A server state of a job that the organization takes part in. Raises NotFound."""
    found = ModelState.objects.filter(job__in=jobs_of(organization), digest=digest)
    # Two jobs may have begun with the same state: the bytes are the same.
    return get_for(ModelState.objects.filter(pk__in=found.values("pk")[:1]))


def dictionary_get(*, name: str) -> DataDictionary:
    """Raises NotFound."""
    return get_for(DataDictionary.objects.all(), name=name)


@lru_cache(maxsize=1024)
def epsilons(spec: JobSpec, rounds: int) -> dict[str, float]:
    """Epsilon at the spec's delta after so many charged attempts (see job_epsilons)."""
    return job_epsilons(spec, rounds=rounds)


def job_describe(job: Job, *, organization: str) -> dict[str, Any]:
    """The job as the API shows it to a participant."""
    participants = list(job.participants.all())
    own = next((p for p in participants if p.organization == organization), None)
    attempts = list(job.attempts.defer("product", "release"))
    charged = sum(1 for a in attempts if a.charged_at is not None)
    return {
        **job_summary(job),
        "spec": job.spec,
        "participants": [
            {
                "organization": p.organization,
                "state": p.state,
                "reason": p.reason,
                "answered_at": time_text(p.answered_at),
            }
            for p in participants
        ],
        "approvals": [p.answer for p in participants if p.state == p.State.APPROVED],
        "approved_by_person": own is not None and own.endorsed_by is not None,
        "cost": cost_describe(job.wire),
        "warnings": privacy_warnings(job.wire),
        "rounds": [round_summary(attempt) for attempt in attempts],
        "epsilons": {
            "target": job.wire.privacy.epsilon,
            "delta": job.wire.privacy.delta,
            "whole": epsilons(job.wire, job.wire.strategy.rounds),
            "charged": epsilons(job.wire, charged),
            "attempts_charged": charged,
        },
    }


def cost_describe(spec: JobSpec) -> dict[str, Any] | None:
    """What the job would take of the caller's mirrored account and leave, as if it began now.

    Under the organization's role. None for a job without noise: it has no finite cost.
    """
    if spec.privacy.delta is None:
        return None
    return cost_outlook(job_cost(spec), delta=spec.privacy.delta)


def job_summary(job: Job) -> dict[str, Any]:
    """A job's line in a list."""
    return {
        "job_id": str(job.pk),
        "state": job.state,
        "reason": job.reason,
        "proposer": job.proposer,
        "kind": job.kind,
        "dataset": job.wire.data.dataset,
        "rounds_total": job.wire.strategy.rounds,
        "spec_digest": job.spec_digest,
        "model": job.model_digest,
        "created_at": time_text(job.created_at),
        "started_at": time_text(job.started_at),
        "ended_at": time_text(job.ended_at),
    }


def round_summary(attempt: Attempt) -> dict[str, Any]:
    """An attempt's line in a job."""
    return {
        "number": attempt.number,
        "attempt": attempt.attempt,
        "state": attempt.state,
        "reason": attempt.reason,
        "cohort": attempt.members,
        "cohort_digest": attempt.cohort_digest or None,
        "context_digest": attempt.context_digest,
        "deadline": time_text(attempt.deadline),
        "phase_seconds": attempt.phase_seconds,
    }
