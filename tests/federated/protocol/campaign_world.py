"""One small campaign of the test consortium, played by hand message by message."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

import pytest

from federated.protocol.agreement import CampaignAgreement
from federated.protocol.campaign_propose import MetricDraft, campaign_make
from federated.protocol.checks import charges_check
from federated.protocol.kinds.benchmark import submission_make
from federated.protocol.noise import noise_make, noised_cohort_check
from federated.protocol.refused import Refused
from federated.protocol.release import release_make
from federated.protocol.share import product_of, share_check, share_make
from federated.protocol.transcript import transcript_check
from federated.wire.base import Signed
from federated.wire.campaign import (
    CampaignApproval,
    CampaignContext,
    CampaignSpec,
    CampaignTranscript,
    Measured,
    Submission,
)
from federated.wire.job import Participant
from federated.wire.round import ChargeReceipt, Reason

from .conftest import CAST, Consortium, with_

LATENCY = MetricDraft(
    key="latency_ms",
    unit="ms",
    lower=1.0,
    upper=1000.0,
    grid="log",
    points=8,
    bins=4,
    statistics=("mean", "std", "median", "p90"),
)
THROUGHPUT = MetricDraft(
    key="throughput_ops",
    unit="ops/s",
    lower=0.0,
    upper=1000.0,
    points=5,
    bins=5,
    better="higher",
    out_of_bounds="refuse",
    statistics=("mean",),
)
MEASURED = {
    "lakeside": (12.0, 240.0),
    "northwind": (90.0, 510.0),
    "summit": (410.0, 730.0),
    "westbrook": (45.0, 1000.0),
}


@dataclass
class Campaign:
    """A consortium's campaign; ``submissions`` are made once and kept, as a site keeps them."""

    consortium: Consortium
    spec: CampaignSpec
    submissions: dict[tuple[str, str], Signed[Submission]] = field(default_factory=dict)

    @property
    def agreement(self) -> CampaignAgreement:
        return CampaignAgreement(self.spec, self.consortium.epoch)

    def context(self, run: int = 1, **changes: object) -> CampaignContext:
        body = {
            "campaign_id": self.spec.campaign_id,
            "spec": self.spec.digest(),
            "run": run,
            "key_epoch": self.consortium.epoch.digest(),
            "checkpoint": "0" * 64,
            **changes,
        }
        return CampaignContext.parse(body)

    def measured(self, name: str) -> dict[str, Measured]:
        latency, throughput = MEASURED[name]
        return {
            "latency_ms": Measured(value=latency, unit="ms"),
            "throughput_ops": Measured(value=throughput, unit="ops/s"),
        }

    def submit(self, name: str, context: CampaignContext) -> Signed[Submission]:
        kept = self.submissions.get((name, context.digest()))
        if kept is None:
            kept = submission_make(
                agreement=self.agreement,
                context=context,
                identity=self.consortium.identities[name],
                measured=self.measured(name),
            )
            self.submissions[name, context.digest()] = kept
        return kept

    def approve(self, name: str) -> Signed[CampaignApproval]:
        return self.consortium.identities[name].sign(self.agreement.approval(name))

    def closed(
        self, context: CampaignContext | None = None, members: tuple[str, ...] = CAST
    ) -> CampaignTranscript:
        context = context or self.context()
        return CampaignTranscript(
            spec=self.spec,
            approvals=tuple(self.approve(name) for name in members),
            context=context,
            submissions=tuple(self.submit(name, context) for name in members),
        )

    def receipt(self, name: str, transcript: CampaignTranscript) -> Signed[ChargeReceipt]:
        cohort = transcript.cohort()
        return self.consortium.identities[name].sign(
            ChargeReceipt(
                context=cohort.context,
                cohort=cohort.digest(),
                organization=name,
                cost=self.agreement.cost,
            )
        )

    def noise(self, name: str, transcript: CampaignTranscript):
        return noise_make(
            agreement=self.agreement,
            cohort=transcript.cohort(),
            identity=self.consortium.identities[name],
        )

    def noised(self, transcript: CampaignTranscript, quorum: tuple[str, ...] = CAST[:3]):
        return with_(
            transcript,
            receipts=tuple(
                self.receipt(s.body.organization, transcript) for s in transcript.submissions
            ),
            noise=tuple(self.noise(name, transcript) for name in quorum),
        )

    def share(self, name: str, transcript: CampaignTranscript):
        return share_make(
            transcript,
            agreement=self.agreement,
            share=self.consortium.shares[name],
            identity=self.consortium.identities[name],
        )

    def share_check(self, signed, transcript: CampaignTranscript) -> None:
        agreement = self.agreement
        product = product_of(transcript, agreement=agreement)
        share_check(signed, agreement=agreement, cohort=transcript.decrypted(), product=product)

    def released(self, transcript: CampaignTranscript | None = None) -> CampaignTranscript:
        transcript = self.noised(transcript or self.closed())
        names = [signed.body.organization for signed in transcript.noise]
        transcript = with_(transcript, shares=tuple(self.share(name, transcript) for name in names))
        release, _ = release_make(transcript, agreement=self.agreement)
        return with_(transcript, release=release)


def make_campaign(consortium: Consortium, **changes: object) -> Campaign:
    options = {
        "campaign_id": str(uuid.uuid4()),
        "consortium": "test",
        "creator": "northwind",
        "created_at": "2026-01-01T00:00:00Z",
        "title": "Scoring one model",
        "metrics": (LATENCY, THROUGHPUT),
        "epsilon": 2.0,
        "participants": [
            Participant(organization=name, public_key=consortium.identities[name].public_key)
            for name in CAST
        ],
        "key_epoch": consortium.epoch.digest(),
        "schedule": "0 6 * * 1",
        "runs": 4,
        **changes,
    }
    return Campaign(consortium, campaign_make(**options))


def refusal(campaign, transcript, own=None) -> Reason:
    """The reason that a trustee refuses to decrypt a transcript for."""
    with pytest.raises(Refused) as caught:
        cohort = transcript_check(transcript, agreement=campaign.agreement)
        charges_check(transcript.receipts, cohort=cohort, agreement=campaign.agreement)
        noised_cohort_check(transcript, own=own, agreement=campaign.agreement)
    return caught.value.reason
