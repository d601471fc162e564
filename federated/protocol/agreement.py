"""The agreements of jobs and of campaigns: what a spec under a key says of cost, key and layout."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from functools import cached_property

from federated.aggregation.base import Aggregator
from federated.aggregation.votes import VoteLayout
from federated.errors import InvalidInput
from federated.privacy import accountant
from federated.protocol.agreed import Agreement, AnyAgreement
from federated.protocol.campaign_layout import gaussian_rho, vote_layout
from federated.protocol.cost import check_spec_privacy, round_cost
from federated.protocol.layout import aggregator_of
from federated.protocol.refused import Refused
from federated.wire.campaign import CampaignApproval, CampaignContext, CampaignSpec
from federated.wire.job import Approval, Cost, JobSpec
from federated.wire.round import Reason, RoundContext

_CAMPAIGNS = uuid.UUID("6f1a1c0e-9a0f-5d0b-8c57-0c8a9f0d6b11")

__all__ = ["Agreement", "AnyAgreement", "CampaignAgreement", "JobAgreement", "ledger_id"]


class JobAgreement(Agreement[JobSpec, RoundContext]):
    """A job's: training, or a joint evaluation. ``aggregator`` lays its vectors out."""

    NOUN, RELEASE, UNKNOWN = "job", "round", Reason.JOB_UNKNOWN

    @cached_property
    def aggregator(self) -> Aggregator:
        """Raises InvalidInput for a job that does not fit the key."""
        return aggregator_of(self.spec, self.key)

    @property
    def id(self) -> str:
        return self.spec.job_id

    @property
    def proposer(self) -> str:
        return self.spec.proposer

    @cached_property
    def cost(self) -> Cost:
        return round_cost(self.spec)

    @property
    def releases(self) -> int:
        return self.spec.strategy.rounds

    @property
    def seconds(self) -> int:
        return self.spec.round_seconds

    def minimum(self, context: RoundContext) -> int:
        return context.minimum(self.spec)

    def approval(self, organization: str) -> Approval:
        return Approval(
            job_id=self.id,
            spec=self.digest,
            organization=organization,
            cost=self.whole_cost,
            rounds=self.releases,
        )

    def check(self) -> None:
        colluding = self.spec.privacy.colluding
        if colluding < self.epoch.max_colluding:
            raise InvalidInput(
                f"privacy.colluding is {colluding}, the key epoch expects up to "
                f"{self.epoch.max_colluding}"
            )
        check_spec_privacy(self.spec)
        _ = self.aggregator

    def context_check(self, context: RoundContext) -> None:
        super().context_check(context)
        asked, least, most = (
            context.minimum_cohort,
            self.spec.minimum_cohort,
            len(self.participants),
        )
        if asked and not least < asked <= most:
            raise Refused(
                Reason.CONTEXT_MIXED,
                f"minimum_cohort {asked}; above the spec's {least} and at most {most} are allowed, "
                "or nothing",
            )


class CampaignAgreement(Agreement[CampaignSpec, CampaignContext]):
    """A campaign's. ``layouts`` are those of its votes, one per metric."""

    NOUN, RELEASE, UNKNOWN = "campaign", "run", Reason.CAMPAIGN_UNKNOWN

    @cached_property
    def layouts(self) -> tuple[VoteLayout, ...]:
        """The slots of each metric's vote. Raises InvalidInput where they do not fit the key."""
        return tuple(
            vote_layout(
                metric,
                kind=self.spec.noise.kind,
                honest=self.honest_trustees,
                contributors=len(self.participants),
                trustees=len(self.epoch.trustees),
                bits=self.key.bits,
            )
            for metric in self.spec.metrics
        )

    @property
    def honest_trustees(self) -> int:
        """t - f: trustees of a quorum that do not collude; Gaussian privacy rests on theirs."""
        return self.epoch.threshold - self.epoch.max_colluding

    @property
    def id(self) -> str:
        return self.spec.campaign_id

    @property
    def proposer(self) -> str:
        return self.spec.creator

    @property
    def pure_epsilon(self) -> float:
        return self.spec.noise.epsilon if self.spec.noise.delta is None else 0.0

    @property
    def ledger_id(self) -> str:
        return ledger_id(self.spec)

    @cached_property
    def cost(self) -> Cost:
        """Pure epsilon is converted to rho = epsilon^2 / 2."""
        return Cost(dataset=self.spec.dataset, unit="organization", rho=self._rho())

    @property
    def releases(self) -> int:
        return self.spec.runs

    @property
    def seconds(self) -> int:
        return self.spec.run_seconds

    def approvers(self, members: Collection[str]) -> Collection[str]:
        """Its members': who did not approve takes no part, and the others run without it."""
        return members

    def approval(self, organization: str) -> CampaignApproval:
        return CampaignApproval(
            campaign_id=self.id,
            spec=self.digest,
            organization=organization,
            cost=self.cost,
            runs=self.releases,
        )

    def check(self) -> None:
        for layout in self.layouts:
            _ = layout.widths
        noise = self.spec.noise
        if noise.delta is None:
            return
        actual = accountant.rho_to_epsilon(self._rho(), noise.delta)
        if actual > noise.epsilon:
            raise InvalidInput(
                f"split: the metrics' rho gives epsilon {actual:.4f} at delta {noise.delta:g}, "
                f"the spec claims {noise.epsilon:g}"
            )

    def _rho(self) -> float:
        if self.spec.noise.kind == "laplace":
            return accountant.pure_epsilon_to_rho(self.spec.noise.epsilon)
        return gaussian_rho(self.layouts, honest=self.honest_trustees)


def ledger_id(spec: CampaignSpec) -> str:
    """The name under which a site's ledger keeps an approved campaign: a UUID of this very spec.

    A changed campaign is approved, reserved and charged anew. Entries of the ledger name a job, a
    round and an attempt; of a campaign they name this, the run's number and 1.
    """
    return str(uuid.uuid5(_CAMPAIGNS, spec.digest()))
