"""Joint evaluations: what one released, and which there are of a job's model."""

from __future__ import annotations

from dataclasses import asdict
from functools import lru_cache
from typing import Any

from django.db.models import QuerySet

from apps.attempts.models import Attempt
from apps.training.models import Job
from apps.training.selectors.jobs import jobs_of
from federated.protocol.cost import sum_sigma
from federated.protocol.kinds.evaluation import EVALUATION
from federated.training.joint import JointResult, joint_result
from federated.wire.job import Evaluation, JobSpec


def evaluations_of(job: Job, *, organization: str) -> QuerySet[Job]:
    """The joint evaluations of a job's model that the organization takes part in, oldest first."""
    evaluations = jobs_of(organization).filter(
        kind=EVALUATION.name, spec__body__strategy__job_id=str(job.pk)
    )
    return evaluations.order_by("created_at")


def evaluation_result(job: Job) -> JointResult | None:
    """The released results; None for a job that trains, or that has released nothing."""
    attempt = _released(job) if job.kind == EVALUATION.name else None
    if attempt is None:
        return None
    sigma = sum_sigma(
        job.wire,
        minimum_cohort=attempt.wire_context.minimum(job.wire),
        members=len(attempt.members),
    )
    return _result(job.wire, attempt.wire_release.values, sigma)


def evaluation_members(job: Job) -> list[str]:
    """The cohort whose counts an evaluation released; empty before."""
    attempt = _released(job)
    return [] if attempt is None else attempt.members


def _released(job: Job) -> Attempt | None:
    released = job.attempts.filter(state=Attempt.State.RELEASED).defer("product")
    attempt: Attempt | None = released.first()
    return attempt


@lru_cache(maxsize=256)
def _result(spec: JobSpec, values: tuple[int, ...], sigma: float) -> JointResult:
    return joint_result(spec, values, sigma=sigma)


def evaluation_describe(job: Job, *, organization: str) -> dict[str, Any]:
    """What the API says of a job's evaluations, or of what an evaluation found."""
    evaluation = job.wire.strategy
    if not isinstance(evaluation, Evaluation):
        listed = evaluations_of(job, organization=organization)
        return {"evaluations": [str(one.pk) for one in listed]}
    result = evaluation_result(job)
    return {
        "evaluates": {"job_id": evaluation.job_id, "round": evaluation.round},
        "result": None if result is None else asdict(result),
    }
