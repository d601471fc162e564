"""What a job's spec and times are in words."""

from __future__ import annotations

from datetime import datetime

from apps.federation.models import Job
from federated.wire.job import JobSpec, LinearLayer


def job_title(spec: JobSpec) -> str:
    return f"{spec.data.dataset}, {_model_name(spec)}"


def _model_name(spec: JobSpec) -> str:
    widths = [layer.out_features for layer in spec.model.layers if isinstance(layer, LinearLayer)]
    if len(widths) == 1:
        return "logistic regression"
    return f"MLP {'-'.join(map(str, widths[:-1]))}"


def job_summary(spec: JobSpec) -> str:
    noise = (
        f"each record's gradient clipped to norm {spec.privacy.clipping_norm:g}"
        if spec.privacy.mechanism != "none"
        else "without noise, for synthetic data only"
    )
    return (
        f"{spec.model.parameters} parameters over {len(spec.data.features)} columns, "
        f"{spec.strategy.rounds} full-batch rounds, {noise}."
    )


def job_when(job: Job) -> str:
    if job.ended_at is not None and job.started_at is not None:
        return f"{_clock(job.started_at)} to {_clock(job.ended_at)}"
    if job.ended_at is not None:
        return f"ended {_clock(job.ended_at)}, before it started"
    if job.started_at is not None:
        return f"running since {_clock(job.started_at)}"
    return f"proposed {_clock(job.created_at)}"


def _clock(moment: datetime) -> str:
    return moment.strftime("%b %-d, %H:%M:%S")
