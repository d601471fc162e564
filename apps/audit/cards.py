"""Makes a job's model card from the portal's rows; the card says that nothing was verified."""

from __future__ import annotations

from typing import Any

from apps.attempts.models import Attempt, AttemptMessage
from apps.common.coordinator import as_coordinator
from apps.training.models import Job
from apps.training.selectors.evaluations import evaluations_of
from federated.card.card import card_make
from federated.card.source import CardSource, attempt_of
from federated.errors import NotFound
from federated.wire.job import Evaluation
from federated.wire.reproducibility import ReproducibilityRecord


def card_exists(job: Job) -> bool:
    """Return whether the job trained a model and has released it."""
    if isinstance(job.wire.strategy, Evaluation):
        return False
    return job.attempts.filter(state=Attempt.State.RELEASED).exists()


def card_of(job: Job, *, organization: str) -> dict[str, Any]:
    """Return the card with the evaluations that the organization takes part in.

    The format is in docs/audit/model-card.md.

    Raises NotFound for a job that has released no model.
    """
    if not card_exists(job):
        raise NotFound("This job has released no model: there is no card.")
    evaluations = evaluations_of(job, organization=organization)
    with as_coordinator():
        made = card_make(_source(job), evaluations=[_source(one) for one in evaluations])
    return {**made, "verification": None}


def _source(job: Job) -> CardSource:
    """Reads what the card shows of a job, in a fixed number of queries; as the coordinator."""
    spec = job.wire
    closed = job.attempts.filter(cohort__isnull=False).defer("product")
    attempts, records, counts = [], [], None
    for attempt in closed.order_by("number", "attempt"):
        attempt.agreement = job
        release = attempt.wire_release
        attempts.append(
            attempt_of(
                spec,
                attempt.wire_context,
                attempt.wire_cohort,
                charged=attempt.charged_at is not None,
                release=release,
            )
        )
        if attempt.reproducibility is not None:
            records.append(ReproducibilityRecord.parse(attempt.reproducibility))
        if isinstance(spec.strategy, Evaluation):
            counts = release or counts
    sent = AttemptMessage.objects.filter(attempt__agreement_id=job.pk)
    return CardSource(
        spec=spec,
        epoch=job.terms.epoch,
        attempts=tuple(attempts),
        records=tuple(records),
        verdicts=sent.filter(name="verdict").count(),
        refusals=sent.filter(name="refusal").count(),
        counts=counts,
    )
