"""Virtual organizations of a campaign: real keys, messages and proofs, invented measurements."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from federated.crypto import envelope, signatures
from federated.crypto.threshold import KeyShare
from federated.errors import InvalidInput
from federated.protocol.agreement import CampaignAgreement
from federated.protocol.campaign_propose import DEFAULT_STATISTICS, MetricDraft, campaign_make
from federated.protocol.identity import SiteIdentity
from federated.protocol.keys import ceremony, open_share
from federated.protocol.kinds.benchmark import submission_make
from federated.protocol.transcript import cohort_check
from federated.simulation.world import CAST, CONSORTIUM, FaultShares
from federated.wire.base import Signed, encode_bytes
from federated.wire.campaign import (
    CampaignApproval,
    CampaignContext,
    CampaignSpec,
    Measured,
    Submission,
    SubmissionCohort,
)
from federated.wire.job import Participant
from federated.wire.key import KeyEpoch, Roster, RosterSite
from federated.wire.round import ChargeReceipt

Positive = Annotated[float, Field(gt=0)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Draw(_Part):
    """How a metric's measurements are spread over organizations.

    ``lognormal`` has ``middle`` as its median and ``spread`` as the standard deviation of the
    logarithm; ``normal`` has them as mean and standard deviation.
    """

    kind: Literal["lognormal", "normal"] = "lognormal"
    middle: Positive
    spread: Positive

    def value(self, rng: random.Random) -> float:
        if self.kind == "normal":
            return rng.gauss(self.middle, self.spread)
        return self.middle * rng.lognormvariate(0, self.spread)


class ScenarioMetric(_Part):
    """A metric of a simulated campaign; fields as in MetricDraft, and how it is measured."""

    key: str
    unit: str
    lower: float
    upper: float
    grid: Literal["linear", "log"] = "linear"
    points: int = 64
    bins: int = 16
    better: Literal["lower", "higher"] = "lower"
    statistics: tuple[str, ...] = DEFAULT_STATISTICS
    draw: Draw

    def draft(self) -> MetricDraft:
        return MetricDraft(**self.model_dump(exclude={"draw"}))


class CampaignScenario(_Part):
    """What a simulated campaign's file says; only the metrics have no default."""

    metrics: Annotated[tuple[ScenarioMetric, ...], Field(min_length=1, max_length=16)]
    epsilon: Annotated[float, Field(gt=0, le=10)] = 3.0
    noise: Literal["laplace", "gaussian"] = "laplace"
    delta: Annotated[float, Field(gt=0, le=0.01)] | None = None
    runs: Annotated[int, Field(ge=1, le=100)] = 1
    minimum_cohort: Annotated[int, Field(ge=3)] | None = None
    key_bits: Annotated[int, Field(ge=512, le=4096)] = 768
    drop: Annotated[float, Field(ge=0, le=0.9)] = 0.1
    faults: FaultShares | None = None
    run_seconds: Annotated[int, Field(ge=10, le=3600)] = 120

    @model_validator(mode="after")
    def _delta(self) -> CampaignScenario:
        if (self.noise == "gaussian") != (self.delta is not None):
            raise ValueError("delta belongs to gaussian noise, and only to it")
        return self


def scenario_load(path: Path) -> CampaignScenario | None:
    """The campaign of a simulation's file; None where the file describes a job.

    Raises InvalidInput naming the line at fault.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidInput(f"{path}: cannot be read as YAML or JSON") from error
    if not isinstance(content, dict) or "campaign" not in content:
        return None
    if len(content) > 1:
        raise InvalidInput(f"{path}: campaign stands alone in its file")
    try:
        return CampaignScenario.model_validate(content["campaign"])
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(["campaign", *(str(part) for part in first["loc"])])
        raise InvalidInput(f"{path}: {where}: {first['msg']}") from error


@dataclass(frozen=True)
class VirtualOrganization:
    """An organization without people or machines: what its site would sign, it signs."""

    identity: SiteIdentity

    @property
    def name(self) -> str:
        return self.identity.organization

    @classmethod
    def make(cls, name: str) -> VirtualOrganization:
        """With a fresh key."""
        return cls(SiteIdentity(name, signatures.generate_private_key()))

    def participant(self) -> Participant:
        return Participant(organization=self.name, public_key=self.identity.public_key)

    def measure(
        self, metrics: Mapping[str, tuple[str, Draw]], *, seed: int, run: int
    ) -> dict[str, Measured]:
        """Invented measurements, ``{key: (unit, draw)}``; the same for the same seed and run."""
        out = {}
        for key, (unit, draw) in metrics.items():
            text = f"{seed}/{run}/{self.name}/{key}"
            rng = random.Random(hashlib.sha256(text.encode()).digest())  # noqa: S311 - not secret
            out[key] = Measured(value=round(draw.value(rng), 6), unit=unit)
        return out

    def approve(self, agreement: CampaignAgreement) -> Signed[CampaignApproval]:
        return self.identity.sign(agreement.approval(self.name))

    def submit(
        self,
        agreement: CampaignAgreement,
        context: CampaignContext,
        measured: Mapping[str, Measured],
    ) -> Signed[Submission]:
        return submission_make(
            agreement=agreement, context=context, identity=self.identity, measured=measured
        )

    def charge(
        self,
        agreement: CampaignAgreement,
        context: CampaignContext,
        cohort: SubmissionCohort,
        own: Signed[Submission],
    ) -> Signed[ChargeReceipt]:
        """The receipt, once the cohort was checked. Raises Refused."""
        cohort_check(cohort, agreement=agreement, context=context, own=own)
        return self.identity.sign(
            ChargeReceipt(
                context=cohort.context,
                cohort=cohort.digest(),
                organization=self.name,
                cost=agreement.cost,
            )
        )


@dataclass(frozen=True)
class CampaignWorld:
    """Virtual organizations, the first four of which are trustees of a 3-of-4 key."""

    scenario: CampaignScenario
    organizations: dict[str, VirtualOrganization]
    epoch: KeyEpoch
    shares: dict[str, KeyShare]
    """Every trustee's share: only a simulation holds them together, to know the truth."""

    @classmethod
    def make(cls, scenario: CampaignScenario, count: int) -> CampaignWorld:
        """Raises InvalidInput for fewer than 4 organizations or more than 1,000."""
        if not 4 <= count <= 1000:
            raise InvalidInput(f"sites: {count}; 4 to 1000 organizations are allowed")
        names = [*CAST, *(f"virtual_{number:03}" for number in range(5, count + 1))][:count]
        organizations = {name: VirtualOrganization.make(name) for name in names}
        pairs = {name: envelope.generate() for name in CAST}
        roster = Roster(
            consortium=CONSORTIUM,
            sites=tuple(
                RosterSite(
                    organization=name,
                    public_key=organizations[name].identity.public_key,
                    encryption_key=encode_bytes(pairs[name][1]),
                )
                for name in CAST
            ),
        )
        epoch, sealed = ceremony(
            roster, number=1, threshold_of=3, max_colluding=1, bits=scenario.key_bits
        )
        shares = {s.organization: open_share(s, epoch, pairs[s.organization][0]) for s in sealed}
        return cls(scenario, organizations, epoch, shares)

    @cached_property
    def draws(self) -> dict[str, tuple[str, Draw]]:
        return {metric.key: (metric.unit, metric.draw) for metric in self.scenario.metrics}

    def agreement(self, campaign_id: str) -> CampaignAgreement:
        """``spec`` under the world's key."""
        return CampaignAgreement(self.spec(campaign_id), self.epoch)

    def spec(self, campaign_id: str) -> CampaignSpec:
        """The campaign that everybody approves. Raises InvalidInput where it makes no sense."""
        scenario = self.scenario
        options: dict[str, Any] = {"minimum_cohort": scenario.minimum_cohort}
        return campaign_make(
            campaign_id=campaign_id,
            consortium=CONSORTIUM,
            creator=CAST[0],
            created_at="2026-01-01T00:00:00Z",
            title="A simulated campaign",
            metrics=[metric.draft() for metric in scenario.metrics],
            epsilon=scenario.epsilon,
            delta=scenario.delta,
            noise=scenario.noise,
            participants=[one.participant() for one in self.organizations.values()],
            key_epoch=self.epoch.digest(),
            schedule="once" if scenario.runs == 1 else "0 6 * * 1",
            runs=scenario.runs,
            run_seconds=scenario.run_seconds,
            **options,
        )
