"""Simulated campaigns: what is measured, and by which organizations."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from federated.crypto import signatures
from federated.crypto.threshold import KeyShare
from federated.errors import InvalidInput
from federated.protocol.agreement import CampaignAgreement
from federated.protocol.campaign_propose import DEFAULT_STATISTICS, MetricDraft, campaign_make
from federated.protocol.identity import SiteIdentity
from federated.simulation.faults import FaultShares
from federated.simulation.world import (
    CAST,
    CONSORTIUM,
    content_of,
    deal,
    participants,
    validated,
)
from federated.wire.campaign import CampaignSpec, Measured
from federated.wire.key import KeyEpoch

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

    def measure(self, name: str, *, seed: int, run: int) -> dict[str, Measured]:
        """An organization's invented measurements; the same for the same seed and run."""
        out = {}
        for metric in self.metrics:
            text = f"{seed}/{run}/{name}/{metric.key}"
            rng = random.Random(hashlib.sha256(text.encode()).digest())  # noqa: S311 - not secret
            out[metric.key] = Measured(value=round(metric.draw.value(rng), 6), unit=metric.unit)
        return out

    def spec(
        self, campaign_id: str, identities: Iterable[SiteIdentity], epoch: KeyEpoch
    ) -> CampaignSpec:
        """The campaign that everybody approves. Raises InvalidInput where it makes no sense."""
        return campaign_make(
            campaign_id=campaign_id,
            consortium=CONSORTIUM,
            creator="northwind",
            created_at="2026-01-01T00:00:00Z",
            title="A simulated campaign",
            metrics=[metric.draft() for metric in self.metrics],
            epsilon=self.epsilon,
            delta=self.delta,
            noise=self.noise,
            participants=participants(identities),
            key_epoch=epoch.digest(),
            minimum_cohort=self.minimum_cohort,
            schedule="once" if self.runs == 1 else "0 6 * * 1",
            runs=self.runs,
            run_seconds=self.run_seconds,
        )

    @model_validator(mode="after")
    def _delta(self) -> CampaignScenario:
        if (self.noise == "gaussian") != (self.delta is not None):
            raise ValueError("delta belongs to gaussian noise, and only to it")
        return self


def scenario_load(path: Path) -> CampaignScenario | None:
    """The campaign of a simulation's file; None where the file describes a job.

    Raises InvalidInput naming the line at fault.
    """
    content = content_of(path)
    if not isinstance(content, dict) or "campaign" not in content:
        return None
    if len(content) > 1:
        raise InvalidInput(f"{path}: campaign stands alone in its file")
    return validated(CampaignScenario, content["campaign"], path, "campaign")


@dataclass(frozen=True)
class CampaignWorld:
    """Organizations without sites, the first four of which are trustees of a 3-of-4 key."""

    scenario: CampaignScenario
    identities: dict[str, SiteIdentity]
    epoch: KeyEpoch
    shares: dict[str, KeyShare]
    """Every trustee's share: only a simulation holds them together, to know the truth."""

    @classmethod
    def make(cls, scenario: CampaignScenario, count: int) -> CampaignWorld:
        """Raises InvalidInput for fewer than 4 organizations or more than 1,000."""
        if not 4 <= count <= 1000:
            raise InvalidInput(f"sites: {count}; 4 to 1000 organizations are allowed")
        names = [*CAST, *(f"virtual_{number:03}" for number in range(5, count + 1))]
        identities = {name: SiteIdentity(name, signatures.generate_private_key()) for name in names}
        trustees = {name: identities[name] for name in CAST}
        dealt = deal(trustees, threshold=3, bits=scenario.key_bits)
        return cls(scenario, identities, dealt.epoch, dealt.opened())

    def agreement(self, campaign_id: str) -> CampaignAgreement:
        """The campaign under the world's key."""
        spec = self.scenario.spec(campaign_id, self.identities.values(), self.epoch)
        return CampaignAgreement(spec, self.epoch)
