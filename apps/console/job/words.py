"""A job's summary, times and retention in words."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from apps.training.models import Job
from federated.wire.job import Evaluation, FedProx, FedSGD, JobSpec


def job_summary(spec: JobSpec) -> str:
    if isinstance(spec.strategy, Evaluation):
        return _counts(spec, spec.strategy)
    whose = {
        "record": "each record's gradient",
        "organization": "each organization's whole update",
    }[spec.privacy.unit]
    noise = (
        f"{whose} clipped to norm {spec.privacy.clipping_norm:g}"
        if spec.privacy.mechanism != "none"
        else "without noise, for synthetic data only"
    )
    return (
        f"{spec.model.parameters} parameters over {len(spec.data.features)} columns, "
        f"{_rounds(spec)}, {noise}."
    )


def _counts(spec: JobSpec, evaluation: Evaluation) -> str:
    bins = {
        "binary": f"class and {evaluation.bins} score bins",
        "multiclass": "true and predicted class",
        "regression": f"{evaluation.bins} error bins",
    }[spec.data.target.kind]
    return (
        f"Held-out records counted once by {bins}, each in one cell, of the model that "
        f"round {evaluation.round} released."
    )


def _rounds(spec: JobSpec) -> str:
    strategy = spec.training
    if isinstance(strategy, FedSGD):
        return f"{strategy.rounds} full-batch rounds"
    name = "FedProx" if isinstance(strategy, FedProx) else "FedAvg"
    passes = "pass" if strategy.local_epochs == 1 else "passes"
    return f"{strategy.rounds} {name} rounds of {strategy.local_epochs} {passes}"


def job_when(job: Job) -> str:
    if job.ended_at is not None and job.started_at is not None:
        return f"{_clock(job.started_at)} to {_clock(job.ended_at)}"
    if job.ended_at is not None:
        return f"ended {_clock(job.ended_at)}, before it started"
    if job.started_at is not None:
        return f"running since {_clock(job.started_at)}"
    return f"proposed {_clock(job.created_at)}"


def job_retention(job: Job, attempts: Sequence[Any]) -> str:
    """Until when the ciphertexts of an ended job stay, or since when they are gone."""
    if job.ended_at is None or not any(
        message.name == "contribution" for attempt in attempts for message in attempt.told
    ):
        return ""
    if job.expired_at is not None:
        return (
            f"The sites' ciphertexts were deleted on {_day(job.expired_at)}, by retention; their "
            "digests and the released models stay."
        )
    until = job.ended_at + timedelta(days=settings.FSC_CONFIG.jobs.retention_days)
    return f"The sites' ciphertexts are kept until {_day(until)}, then only their digests."


def _day(moment: datetime) -> str:
    return moment.strftime("%b %-d, %Y")


def _clock(moment: datetime) -> str:
    return moment.strftime("%b %-d, %H:%M:%S")
