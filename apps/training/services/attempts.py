"""A job's attempts for the services that jobs and campaigns share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django_tenants.utils import schema_context

from apps.attempts.steps import Played
from apps.common.actor import COORDINATOR
from apps.provenance.tags import Tag
from apps.training.errors import VectorMissing
from apps.training.models import ContributionReceipt, Job, Round
from apps.training.queue import enqueue
from apps.training.selectors.attempts import RoundSource
from apps.training.selectors.transcripts import transcript_of
from apps.training.selectors.vectors import vectors_of
from apps.training.services import lifecycle
from apps.training.services.rounds import round_event
from apps.training.services.sums import sum_begin
from federated.protocol.attempt import Abandon, Charged, Release, Step
from federated.protocol.share import product_of
from federated.wire.base import Signed, decode_bytes


class Rounds(RoundSource, Played):
    accepted = {
        "contribution": Tag.CONTRIBUTION_ACCEPTED,
        "receipt": Tag.RECEIPT_ACCEPTED,
        "share": Tag.SHARE_ACCEPTED,
        "verdict": Tag.VERDICT_ACCEPTED,
    }
    refused = Tag.SHARE_REFUSED
    steps = {Charged: Tag.ROUND_CHARGED, Abandon: Tag.ROUND_ABANDONED}

    def lock(self, row: Round) -> Job:
        return lifecycle.job_lock(row.job_id)

    def running(self, owner: Job) -> bool:
        return owner.state == Job.State.RUNNING

    def event(self, tag: Tag, row: Round, **fields: Any) -> None:
        round_event(tag, row, **{"actor": COORDINATOR, **fields})

    def closed(self, row: Round, members: Mapping[str, str]) -> None:
        cohort = {"cohort": row.cohort_digest}
        self.event(Tag.ROUND_CLOSED, row, digests=dict(members) | cohort)
        enqueue("training.round_sum", row.pk)
        sum_begin(row)

    def ended(self, owner: Job) -> None:
        lifecycle.job_continue(owner)

    def later(self, row: Round, step: Step) -> None:
        release = isinstance(step, Release)
        enqueue("training.round_release" if release else "training.round_close", row.pk)

    def product(self, row: Round) -> list[int]:
        """Kept by the summing task, else computed here."""
        if row.product is not None:
            return [int.from_bytes(decode_bytes(item), "big") for item in row.product]
        return product_of(transcript_of(row), agreement=row.job.agreement)

    def beside_check(self, row: Round, message: str, signed: Signed[Any]) -> None:
        if message != "contribution" or signed.body.masked is None:
            return
        wanted = signed.body.masked
        mine = vectors_of(row).filter(organization=signed.body.organization, digest=wanted)
        if not mine.exists():
            raise VectorMissing(f"masked: the vector {wanted[:16]} has not arrived for {row}")

    def receipt_keep(self, row: Round, organization: str, **fields: Any) -> None:
        with schema_context(f"t_{organization}"):
            ContributionReceipt.objects.create(
                job_id=row.job_id, round=row.number, attempt=row.attempt, **fields
            )

    def disagreed(self, owner: Job, reason: str) -> None:
        lifecycle.job_end(owner, state=Job.State.FAILED, reason=reason, actor=COORDINATOR)


ROUNDS = Rounds()
