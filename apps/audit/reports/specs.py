"""The specs that a report's lines are about: what they cost, which keys they pin."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from apps.attempts.models import Attempt
from apps.audit.reports.values import Line
from apps.benchmarks.models import Campaign
from apps.benchmarks.selectors.campaigns import campaigns_of
from apps.common.coordinator import as_coordinator
from apps.training.models import Job
from apps.training.selectors.jobs import jobs_of
from federated.privacy.accountant import rho_to_epsilon
from federated.protocol.agreement import AnyAgreement, CampaignAgreement, ledger_id
from federated.protocol.cost import round_cost
from federated.protocol.identity import key_id
from federated.wire.job import Cost


@dataclass(frozen=True, slots=True)
class Specs:
    """Jobs and campaigns by id; of the campaigns' runs those that lines name, by number."""

    jobs: dict[str, Job]
    campaigns: dict[str, Campaign]
    runs: dict[tuple[str, int], Attempt]

    @classmethod
    def read(cls, lines: Iterable[Line], organization: str | None) -> Specs:
        """Those that the organization takes part in; an operator's are all."""
        ids: dict[str, set[str]] = {"job": set(), "campaign": set()}
        numbers: set[int] = set()
        for line in lines:
            kind, identifier = line.subject
            if kind in ids and _is_uuid(identifier):
                ids[kind].add(identifier)
            if kind == "campaign":
                numbers.add(line.where[1])
        jobs = Job.objects.all() if organization is None else jobs_of(organization)
        campaigns = Campaign.objects.all() if organization is None else campaigns_of(organization)
        found = {str(one.pk): one for one in campaigns.filter(pk__in=ids["campaign"])}
        with as_coordinator():
            runs = Attempt.objects.filter(agreement_id__in=list(found), number__in=numbers)
            rows = runs.select_related("agreement").defer(
                "approvals", "product", "cohort", "noised", "context"
            )
            by_number = {(str(run.agreement_id), run.number): run for run in rows}
        return cls({str(job.pk): job for job in jobs.filter(pk__in=ids["job"])}, found, by_number)

    def cost(self, where: tuple[str, int, int]) -> tuple[Cost, float] | None:
        """Returns the charge of one attempt or run, and its pure epsilon (0 where it is not pure).

        None for what has no finite cost, and for what is not known here.
        """
        identifier, number, _ = where
        if identifier in self.jobs:
            spec = self.jobs[identifier].wire
            return None if spec.privacy.delta is None else (round_cost(spec), 0.0)
        run = self.runs.get((identifier, number))
        return None if run is None else campaign_cost(run.terms)

    def delta(self, where: tuple[str, int, int]) -> float | None:
        """The spec's own; None for pure epsilon."""
        identifier, number, _ = where
        if identifier in self.jobs:
            of_job: float | None = self.jobs[identifier].wire.privacy.delta
            return of_job
        run = self.runs.get((identifier, number))
        delta: float | None = None if run is None else run.wire.noise.delta
        return delta

    def campaign(self, line: Line) -> CampaignAgreement | None:
        """What an event of a campaign names by its spec's digest, if that is kept."""
        digest, identifier = line.body.digests.get("spec"), line.subject[1]
        campaign = self.campaigns.get(identifier)
        if campaign is not None and campaign.spec_digest == digest:
            terms: CampaignAgreement = campaign.terms
            return terms
        kept = (run for (of, _), run in self.runs.items() if of == identifier)
        return next((run.terms for run in kept if run.wire.digest() == digest), None)

    def pinned(self, line: Line, organization: str) -> str:
        """SHA-256 of the key that the line's spec pins for an organization's site; or empty."""
        kind, identifier = line.subject
        agreement: AnyAgreement | None = None
        if identifier in self.jobs:
            agreement = self.jobs[identifier].terms
        elif kind == "campaign":
            agreement = self.campaign(line)
        part = None if agreement is None else agreement.participant(organization)
        return "" if part is None else key_id(part.public_key)

    def ledger_ids(self) -> dict[str, tuple[str, str]]:
        """``{name in a site's ledger: (kind, id)}``: a campaign's spec has a name of its own."""
        names = {identifier: ("job", identifier) for identifier in self.jobs}
        for identifier, campaign in self.campaigns.items():
            names[ledger_id(campaign.wire)] = ("campaign", identifier)
        for (identifier, _), run in self.runs.items():
            names[ledger_id(run.wire)] = ("campaign", identifier)
        return names


def _is_uuid(text: str) -> bool:
    """Return whether a primary key may be so written; an edited event names anything."""
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def campaign_cost(agreement: CampaignAgreement) -> tuple[Cost, float]:
    """Of one run, and its epsilon where that is pure."""
    noise = agreement.spec.noise
    return agreement.cost, noise.epsilon if noise.delta is None else 0.0


def epsilon_of(rho: float, pure: float, delta: float | None) -> float | None:
    """A cost's epsilon: pure as it is, else at ``delta``; None where neither says one."""
    if pure > 0:
        return pure
    return None if delta is None or math.isinf(rho) else rho_to_epsilon(rho, delta)
