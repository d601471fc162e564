"""Joint evaluations: what one released, and which there are of a job's model."""

from __future__ import annotations

from dataclasses import asdict
from functools import lru_cache
from typing import Any

from django.db.models import QuerySet

from apps.training.models import Job, Round
from apps.training.selectors.jobs import jobs_of
from federated.protocol.cost import sum_sigma
from federated.training.joint import JointResult, joint_result
from federated.wire.job import Evaluation, JobSpec


def evaluations_of(job: Job, *, organization: str) -> QuerySet[Job]:
    """The joint evaluations of a job's model that the organization takes part in, oldest first."""
    found = jobs_of(organization).filter(
        spec__body__strategy__kind="evaluation", spec__body__strategy__job_id=str(job.pk)
    )
    return found.order_by("created_at")


def evaluation_result(job: Job) -> JointResult | None:
    """The released results; None for a job that trains, or that has released nothing."""
    if not isinstance(job.wire.strategy, Evaluation):
        return None
    found = job.rounds.filter(state=Round.State.RELEASED).defer("product").first()
    release = None if found is None else found.wire_release
    if found is None or release is None:
        return None
    sigma = sum_sigma(
        job.wire,
        minimum_cohort=found.wire_context.minimum(job.wire),
        members=len(found.members),
    )
    return _result(job.wire, release.values, sigma)


def evaluation_members(job: Job) -> list[str]:
    """The cohort whose counts an evaluation released; empty before."""
    found = job.rounds.filter(state=Round.State.RELEASED).defer("product").first()
    return [] if found is None else found.members


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
