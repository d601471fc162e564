"""A campaign's runs for the services that jobs and campaigns share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django_tenants.utils import schema_context

from apps.attempts.steps import Played
from apps.benchmarks.models import Campaign, Run, SubmissionReceipt
from apps.benchmarks.selectors.attempts import RunSource
from apps.benchmarks.selectors.transcripts import run_transcript
from apps.benchmarks.services import lifecycle
from apps.benchmarks.services.runs import run_event
from apps.common.actor import COORDINATOR
from apps.provenance.tags import Tag
from apps.training.queue import enqueue
from federated.protocol.attempt import Abandon, Charged, Noised, Release, Step
from federated.protocol.campaign_release import campaign_product
from federated.wire.base import Signed


class Runs(RunSource, Played):
    accepted = {
        "submission": Tag.SUBMISSION_ACCEPTED,
        "receipt": Tag.RUN_RECEIPT_ACCEPTED,
        "noise": Tag.NOISE_ACCEPTED,
        "share": Tag.RUN_SHARE_ACCEPTED,
        "verdict": Tag.RUN_VERDICT_ACCEPTED,
    }
    refused = Tag.RUN_REFUSED
    replaced = Tag.SUBMISSION_REPLACED
    steps = {Charged: Tag.RUN_CHARGED, Noised: Tag.RUN_NOISED, Abandon: Tag.RUN_ABANDONED}

    def lock(self, row: Run) -> Campaign:
        return lifecycle.campaign_lock(row.campaign_id)

    def running(self, owner: Campaign) -> bool:
        """A run goes on to its end where the campaign's end did not abandon it."""
        return True

    def event(self, tag: Tag, row: Run, **fields: Any) -> None:
        run_event(tag, row, **fields)

    def closed(self, row: Run, members: Mapping[str, str]) -> None:
        self.event(Tag.RUN_CLOSED, row, data={"submissions": len(members)})

    def ended(self, owner: Campaign) -> None:
        """The next run opens when it is due."""

    def later(self, row: Run, step: Step) -> None:
        if isinstance(step, Release):
            enqueue("benchmarks.run_release", row.pk)
        else:
            enqueue("benchmarks.campaign_advance", row.campaign_id)

    def product(self, row: Run) -> list[int]:
        return campaign_product(run_transcript(row), agreement=row.agreement)

    def beside_check(self, row: Run, message: str, signed: Signed[Any]) -> None:
        """A run's messages are whole."""

    def receipt_keep(self, row: Run, organization: str, **fields: Any) -> None:
        with schema_context(f"t_{organization}"):
            SubmissionReceipt.objects.create(campaign_id=row.campaign_id, run=row.number, **fields)

    def disagreed(self, owner: Campaign, reason: str) -> None:
        lifecycle.campaign_end(
            owner, state=Campaign.State.CANCELLED, reason=reason, actor=COORDINATOR
        )


RUNS = Runs()
