"""Messages of a benchmark campaign: spec, votes, trustees' noise, release.

Every organization votes for one public grid point a metric. The votes are summed under
encryption, the trustees add the noise, and all statistics follow from the noisy sum.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from decimal import Context, Decimal, localcontext
from functools import lru_cache
from itertools import pairwise
from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints, model_validator

from federated.wire.base import Bytes, Digest, Identifier, Message, Name, Signed, Slug
from federated.wire.job import Cost, Finite, Participant, participants_check
from federated.wire.key import KeyEpoch
from federated.wire.round import (
    ChargeReceipt,
    Count,
    DecryptionShare,
    Refusal,
    Verdict,
    digests_of,
)

MetricKey = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
"""A metric's name in specs, results and pages, with its unit as suffix by custom."""
Unit = Annotated[str, StringConstraints(pattern=r"^[A-Za-z%][A-Za-z0-9%/. -]{0,19}$")]
Statistic = Literal["mean", "std", "median", "p10", "p25", "p75", "p90"]
QUANTILES: dict[str, float] = {"p10": 0.1, "p25": 0.25, "median": 0.5, "p75": 0.75, "p90": 0.9}
LARGEST_COHORT = 1000
# Digits of a grid point: what a double carries, one less for its rounding.
_DIGITS = 12


class Grid(Message):
    """K public points between a metric's bounds, both ends included.

    ``log`` spaces them by one ratio, so that the relative error of rounding is the same everywhere.
    ``bins`` is the number of histogram slots: runs of neighbouring points that quantiles are read
    from. Fewer bins take less noise, more resolve finer.
    """

    kind: Literal["linear", "log"] = "linear"
    points: Annotated[int, Field(ge=2, le=256)] = 64
    bins: Annotated[int, Field(ge=2, le=256)] = 16

    @model_validator(mode="after")
    def _divides(self) -> Grid:
        if self.points % self.bins:
            raise ValueError(f"bins: {self.bins} do not divide the {self.points} points evenly")
        return self


class Split(Message):
    """The epsilon or rho that one metric's sums take: of values, of squares, of votes.

    Pure epsilon under Laplace noise, zCDP rho under Gaussian noise; 0 where a sum is not released.
    """

    values: Annotated[float, Field(strict=False, ge=0, le=100)] = 0.0
    squares: Annotated[float, Field(strict=False, ge=0, le=100)] = 0.0
    histogram: Annotated[float, Field(strict=False, ge=0, le=100)] = 0.0

    def total(self) -> float:
        return math.fsum((self.values, self.squares, self.histogram))


class Metric(Message):
    """One measured quantity: unit, public bounds, grid, and what is released of it.

    ``better`` says which direction ranks first. ``out_of_bounds`` says what a site does with a
    measurement outside the bounds: take the nearer bound, or refuse to submit.
    """

    key: MetricKey
    unit: Unit
    lower: Finite
    upper: Finite
    grid: Grid = Grid()
    better: Literal["lower", "higher"] = "lower"
    out_of_bounds: Literal["clamp", "refuse"] = "clamp"
    statistics: Annotated[tuple[Statistic, ...], Field(min_length=1)]
    split: Split

    @model_validator(mode="after")
    def _whole(self) -> Metric:
        if not self.lower < self.upper:
            raise ValueError(f"bounds of {self.key}: lower must be below upper")
        if self.grid.kind == "log" and not self.lower > 0:
            raise ValueError(f"bounds of {self.key}: a log grid needs lower above 0")
        if len(set(self.statistics)) != len(self.statistics):
            raise ValueError(f"statistics of {self.key}: one is listed twice")
        points = grid_points(self)
        if any(a >= b for a, b in pairwise(points)):
            raise ValueError(f"bounds of {self.key}: too close together for this many grid points")
        for name, needed in self.sums().items():
            given = getattr(self.split, name)
            if needed != (given > 0):
                fault = "needs a share above 0" if needed else "is not released and must be 0"
                raise ValueError(f"split of {self.key}: {name} {fault}")
        return self

    def sums(self) -> dict[str, bool]:
        """Which sums the statistics need: of values, of squares, of votes (the histogram)."""
        return sums_needed(self.statistics)


def sums_needed(statistics: Iterable[str]) -> dict[str, bool]:
    """Which sums those statistics are computed from."""
    asked = set(statistics)
    return {
        "values": bool(asked & {"mean", "std"}),
        "squares": "std" in asked,
        "histogram": bool(asked & set(QUANTILES)),
    }


def grid_points(metric: Metric) -> tuple[float, ...]:
    """The metric's K points in its unit, ascending; the same doubles on every machine."""
    grid = metric.grid
    return _points(grid.kind, grid.points, float(metric.lower), float(metric.upper))


@lru_cache(maxsize=256)
def _points(kind: str, count: int, lower: float, upper: float) -> tuple[float, ...]:
    # Decimal arithmetic is correctly rounded everywhere; a C library's pow is not.
    with localcontext(Context(prec=40)):
        low, high, steps = Decimal(lower), Decimal(upper), count - 1
        if kind == "log":
            rate = (high / low).ln() / steps
            exact = [low * (rate * step).exp() for step in range(count)]
        else:
            exact = [low + (high - low) * step / steps for step in range(count)]
        inner = [float(f"{point:.{_DIGITS}g}") for point in exact[1:-1]]
    return (lower, *inner, upper)


class CampaignNoise(Message):
    """The noise that each of the trustees' shares is, and what one run of the campaign costs.

    laplace   every share is a full discrete Laplace: one honest trustee is enough; pure epsilon
    gaussian  every share has sigma / sqrt(t - f): t - f honest trustees are needed; epsilon at
              delta, accounted in zCDP
    """

    kind: Literal["laplace", "gaussian"] = "laplace"
    epsilon: Annotated[float, Field(strict=False, gt=0, le=10)]
    delta: Annotated[float, Field(strict=False, gt=0, le=0.01)] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> CampaignNoise:
        if (self.kind == "gaussian") != (self.delta is not None):
            raise ValueError("delta belongs to gaussian noise, and only to it")
        return self


class CampaignSpec(Message):
    """Everything that a campaign's organizations approve and countersign.

    ``creator`` is an organization, or the consortium's operator. ``participants`` may submit;
    those that approve do. ``runs`` is how many runs an approval pays for, ``schedule`` when they
    are due (five cron fields, or ``once``). ``dataset`` is the account that is charged.
    """

    TAG: ClassVar[str] = "campaign-spec"

    version: Literal[1] = 1
    campaign_id: Identifier
    consortium: Name
    creator: Slug
    created_at: str
    title: Annotated[str, Field(min_length=1, max_length=120)]
    metrics: Annotated[tuple[Metric, ...], Field(min_length=1, max_length=16)]
    noise: CampaignNoise
    dataset: Name = "benchmarks"
    participants: Annotated[tuple[Participant, ...], Field(min_length=3, max_length=LARGEST_COHORT)]
    minimum_cohort: Annotated[int, Field(ge=3)]
    schedule: Annotated[str, Field(min_length=1, max_length=80)] = "once"
    runs: Annotated[int, Field(ge=1, le=1000)] = 1
    run_seconds: Annotated[int, Field(ge=1, le=30 * 86_400)]
    key_epoch: Digest

    @model_validator(mode="after")
    def _whole(self) -> CampaignSpec:
        participants_check(self.participants, self.minimum_cohort)
        metrics = [metric.key for metric in self.metrics]
        if len(set(metrics)) != len(metrics):
            raise ValueError("metrics: one is listed twice")
        if self.schedule != "once" and len(self.schedule.split()) != 5:
            raise ValueError("schedule: five cron fields or once is allowed")
        if self.schedule == "once" and self.runs != 1:
            raise ValueError("runs: a campaign that is due once has one run")
        if self.noise.kind == "laplace":
            given = math.fsum(metric.split.total() for metric in self.metrics)
            if given > self.noise.epsilon:
                raise ValueError(
                    f"split: the metrics take epsilon {given:g}, the run has {self.noise.epsilon:g}"
                )
        return self

    def participant(self, organization: str) -> Participant | None:
        """The participant of that organization, if it may take part."""
        return next((p for p in self.participants if p.organization == organization), None)

    def metric(self, key: str) -> Metric | None:
        """The metric of that key, if the campaign has it."""
        return next((metric for metric in self.metrics if metric.key == key), None)


class CampaignApproval(Message):
    """A site's countersignature: its ledger reserved the cost of all runs. ``cost`` is of one."""

    TAG: ClassVar[str] = "campaign-approval"

    campaign_id: Identifier
    spec: Digest
    organization: Slug
    cost: Cost
    runs: Count


class CampaignDecline(Message):
    """A site's signed no to a campaign, with its reason."""

    TAG: ClassVar[str] = "campaign-decline"

    campaign_id: Identifier
    spec: Digest
    organization: Slug
    reason: Annotated[str, Field(max_length=500)]


class CampaignContext(Message):
    """The context that everything signed or proven in one run is bound to."""

    TAG: ClassVar[str] = "campaign-context"

    campaign_id: Identifier
    spec: Digest
    run: Count
    key_epoch: Digest
    checkpoint: Digest

    @property
    def subject(self) -> str:
        """The campaign's identifier; contexts of every kind have one."""
        return self.campaign_id

    @property
    def number(self) -> int:
        """The release's number; contexts of every kind have one."""
        return self.run

    @property
    def attempt(self) -> int:
        """The first: a run is tried once."""
        return 1


class Measured(Message):
    """One metric's measurement at a site; it never leaves the site in clear."""

    value: Annotated[float, Field(strict=True, ge=-(2.0**53), le=2.0**53)]
    unit: Unit


class Vote(Message):
    """The encrypted codeword of one metric and the proof that it is one of the K codewords."""

    ciphertext: Bytes
    proof: Bytes


class Submission(Message):
    """One organization's votes in one run, one per metric, in the spec's order."""

    TAG: ClassVar[str] = "submission"

    context: Digest
    organization: Slug
    votes: Annotated[tuple[Vote, ...], Field(min_length=1, max_length=16)]


class SubmissionCohort(Message):
    """The submissions that a closed run sums: envelope digests by organization."""

    TAG: ClassVar[str] = "submission-cohort"

    context: Digest
    members: Annotated[dict[Slug, Digest], Field(min_length=1)]


class TrusteeNoise(Message):
    """A trustee's encrypted noise share for one cohort, one ciphertext per metric, with proof.

    The proof of plaintext knowledge covers all ciphertexts: no trustee can send another's noise,
    or its inverse.
    """

    TAG: ClassVar[str] = "trustee-noise"

    context: Digest
    cohort: Digest
    organization: Slug
    index: Count
    ciphertexts: Annotated[tuple[Bytes, ...], Field(min_length=1, max_length=16)]
    proof: Bytes


class NoisedCohort(Message):
    """The decrypted cohort: submissions with the noise of at least t trustees (digests).

    Decryption shares, the release and verdicts of a run name this message's digest as ``cohort``.
    """

    TAG: ClassVar[str] = "noised-cohort"

    context: Digest
    cohort: Digest
    noise: dict[Slug, Digest]


class Estimate(Message):
    """A statistic of the cohort in the metric's unit, and its 95% interval."""

    value: Finite
    lower: Finite
    upper: Finite


class MetricRelease(Message):
    """One metric's noisy sums (integers, in layout order) and the statistics that follow.

    ``illustrative`` marks a cohort that is too small for its statistics to compare anybody: read
    the intervals.
    """

    key: MetricKey
    slots: tuple[int, ...]
    illustrative: bool
    statistics: dict[Statistic, Estimate]


class CampaignRelease(Message):
    """The result of one run. ``count`` is exact: who took part is public."""

    TAG: ClassVar[str] = "campaign-release"

    context: Digest
    cohort: Digest
    count: Count
    metrics: Annotated[tuple[MetricRelease, ...], Field(min_length=1)]


class ExpiredMessage(Message):
    """Which submission or noise share it was: its organization and its envelope's digest."""

    organization: Slug
    envelope: Digest


class ExpiredRun(Message):
    """The digests that stay of a run's ciphertexts after their retention."""

    submissions: Annotated[tuple[ExpiredMessage, ...], Field(min_length=1)]
    noise: tuple[ExpiredMessage, ...] = ()


class CampaignTranscript(Message):
    """A closed run, to be checked: nothing in it is secret. Approvals are the members'.

    Submissions and noise are all there, or all ``expired``.
    """

    TAG: ClassVar[str] = "campaign-transcript"

    spec: CampaignSpec
    approvals: tuple[Signed[CampaignApproval], ...]
    context: CampaignContext
    submissions: tuple[Signed[Submission], ...]
    expired: ExpiredRun | None = None
    receipts: tuple[Signed[ChargeReceipt], ...] = ()
    noise: tuple[Signed[TrusteeNoise], ...] = ()
    shares: tuple[Signed[DecryptionShare], ...] = ()
    release: CampaignRelease | None = None

    @model_validator(mode="after")
    def _present(self) -> CampaignTranscript:
        if bool(self.submissions) == (self.expired is not None):
            raise ValueError("submissions: none, or some of them expired and others not")
        if self.expired is not None and self.noise:
            raise ValueError("noise: kept where submissions expired")
        return self

    @property
    def agreed(self) -> CampaignSpec:
        return self.spec

    @property
    def given(self) -> tuple[Signed[Submission], ...]:
        return self.submissions

    @property
    def left(self) -> tuple[ExpiredMessage, ...]:
        return () if self.expired is None else self.expired.submissions

    @property
    def noise_left(self) -> tuple[ExpiredMessage, ...]:
        """What retention has left of the noise."""
        return () if self.expired is None else self.expired.noise

    def cohort(self) -> SubmissionCohort:
        """The cohort that these submissions make."""
        members = digests_of(self.submissions, self.left)
        return SubmissionCohort(context=self.context.digest(), members=members)

    def decrypted(self) -> NoisedCohort:
        """The cohort with the noise shares of this transcript."""
        noise = digests_of(self.noise, self.noise_left)
        cohort = self.cohort()
        return NoisedCohort(context=cohort.context, cohort=cohort.digest(), noise=noise)


class CampaignRecord(Message):
    """A campaign as a bundle carries it: its key epoch and every closed run in order."""

    TAG: ClassVar[str] = "campaign-record"

    key_epoch: KeyEpoch
    runs: tuple[CampaignTranscript, ...]
    verdicts: tuple[Signed[Verdict], ...] = ()
    refusals: tuple[Signed[Refusal], ...] = ()
