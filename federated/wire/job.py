"""Messages of a job: data, model, training, privacy and participants.

An approved spec fixes everything that costs privacy or could be swapped later: bounds,
denominators, noise, pinned site keys and the key epoch. Its digest is what sites countersign.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from federated.errors import InvalidInput
from federated.wire.base import Bytes, Digest, Identifier, Message, Name, Slug
from federated.wire.data import (
    BinaryTarget,
    CategoricalFeature,
    DataDictionary,
    Feature,
    Finite,
    MulticlassTarget,
    NumericFeature,
    Positive,
    RegressionTarget,
    Target,
)
from federated.wire.evaluation import Evaluation
from federated.wire.model import (
    ActivationLayer,
    Conv2dLayer,
    FlattenLayer,
    Layer,
    LinearLayer,
    ModelSpec,
    PoolLayer,
    UnflattenLayer,
)
from federated.wire.strategy import (
    FedAvg,
    FedProx,
    FedSGD,
    ServerAdam,
    ServerMomentum,
    ServerOptimizer,
    ServerSGD,
    Strategy,
)

__all__ = [
    "ActivationLayer",
    "Approval",
    "BinaryTarget",
    "Cancel",
    "CategoricalFeature",
    "Conv2dLayer",
    "Cost",
    "DataDictionary",
    "Decline",
    "Evaluation",
    "Feature",
    "FedAvg",
    "FedProx",
    "FedSGD",
    "Finite",
    "FlattenLayer",
    "JobSpec",
    "Layer",
    "LinearLayer",
    "ModelSpec",
    "MulticlassTarget",
    "NumericFeature",
    "Participant",
    "PoolLayer",
    "PrivacySpec",
    "RegressionTarget",
    "ServerAdam",
    "ServerMomentum",
    "ServerOptimizer",
    "ServerSGD",
    "Strategy",
    "Target",
    "UnflattenLayer",
    "Unit",
]

Unit = Literal["record", "organization"]
"""Whose influence a job bounds: one record's gradient, or one organization's whole update."""


LARGEST_EPSILON = 10.0
"""Above it a guarantee says next to nothing: e^10 is a likelihood ratio of 22,000."""


class PrivacySpec(Message):
    """The privacy of one job, in the grid that contributions live on.

    The unit's vector (a record's gradient, or an organization's whole update) is clipped to
    ``clipping_norm`` and rounded to a grid of ``clipping_norm / units``, so its integer L2 norm is
    at most ``units``. Every site adds a discrete Gaussian share of standard deviation
    ``noise_sigma`` grid units. ``epsilon`` is the target against the coordinator with
    ``colluding`` sites; sites recompute it from the rest. An epsilon above 10 carries the reason
    that its proposer gave for it.
    """

    unit: Unit = "record"
    mechanism: Literal["gaussian", "none"] = "gaussian"
    epsilon: Annotated[float, Field(strict=False, gt=0)] | None
    delta: Annotated[float, Field(strict=False, gt=0, lt=1)] | None
    clipping_norm: Positive
    units: Annotated[int, Field(ge=1, le=2**20)]
    colluding: Annotated[int, Field(ge=1)]
    noise_sigma: Annotated[float, Field(strict=False, ge=0, le=1e15)]
    high_epsilon_reason: Annotated[str, Field(min_length=1, max_length=300)] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> PrivacySpec:
        high = self.epsilon is not None and self.epsilon > LARGEST_EPSILON
        if high != (self.high_epsilon_reason is not None):
            raise ValueError(
                f"an epsilon above {LARGEST_EPSILON:g}, and no other, needs high_epsilon_reason"
            )
        if self.mechanism == "gaussian":
            if self.noise_sigma < 3:
                raise ValueError("noise_sigma must be at least 3 grid units")
            if self.epsilon is None or self.delta is None:
                raise ValueError("a gaussian mechanism needs epsilon and delta")
        elif self.noise_sigma != 0 or self.epsilon is not None or self.delta is not None:
            raise ValueError("mechanism none means no noise and no finite epsilon")
        return self


class Participant(Message):
    """An organization of the job with its site's pinned signing key (SPKI DER)."""

    organization: Slug
    public_key: Bytes


def participants_check(participants: Sequence[Participant], minimum: int) -> None:
    """Raises ValueError for participants that are not sorted, each once, and enough."""
    names = [participant.organization for participant in participants]
    if len(set(names)) != len(names):
        raise ValueError("participants: an organization is listed twice")
    if names != sorted(names):
        raise ValueError("participants must be sorted by organization")
    if len({participant.public_key for participant in participants}) != len(names):
        raise ValueError("participants: two organizations share a site key")
    if minimum > len(names):
        raise ValueError("minimum_cohort is above the number of participants")


Purpose = Annotated[
    str, Field(min_length=1, max_length=500, pattern=r"^[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$")
]
"""What a model is to be used for, in one line of text."""


class JobSpec(Message):
    """Everything that a job's sites approve and countersign.

    ``purpose`` is what the proposer says that the model is for. Where nothing is said it is not
    written either, so that a spec from before there was the field has the digest it had.

    ``strategy`` says what its rounds make: a model, or the counts of a joint evaluation.
    ``aggregation`` says how vectors are summed: whole in Paillier ciphertexts, or under a mask
    whose key is in them.
    """

    TAG: ClassVar[str] = "job-spec"

    version: Literal[1] = 1
    job_id: Identifier
    consortium: Name
    proposer: Slug
    proposed_at: str
    data: DataDictionary
    model: ModelSpec
    initial_state: Digest
    strategy: Annotated[Strategy | Evaluation, Field(discriminator="kind")]
    privacy: PrivacySpec
    participants: Annotated[tuple[Participant, ...], Field(min_length=3, max_length=1000)]
    minimum_cohort: Annotated[int, Field(ge=3)]
    aggregation: Literal["packed", "masked"] = "packed"
    round_seconds: Annotated[int, Field(ge=1, le=86_400)]
    key_epoch: Digest
    purpose: Purpose = ""

    @model_serializer(mode="wrap")
    def _written(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = handler(self)
        if not self.purpose:
            del written["purpose"]
        return written

    @model_validator(mode="after")
    def _whole(self) -> JobSpec:
        participants_check(self.participants, self.minimum_cohort)
        if self.participant(self.proposer) is None:
            raise ValueError(f"proposer {self.proposer} is not among the participants")
        if self.honest < 2:
            raise ValueError("minimum_cohort - colluding must leave at least 2 honest sites")
        if self.model.inputs != self.data.width:
            raise ValueError(
                f"model takes {self.model.inputs} inputs, the features make {self.data.width}"
            )
        target = self.data.target
        if self.model.outputs != target.outputs:
            raise ValueError(
                f"model has {self.model.outputs} outputs, a {target.kind} target of "
                f"{target.name} takes {target.outputs}"
            )
        if isinstance(self.strategy, Evaluation):
            self._counts(self.strategy)
        elif self.privacy.unit == "record" and self.strategy.kind != "fedsgd":
            raise ValueError(
                f"strategy {self.strategy.kind} needs privacy.unit organization: a local step "
                "mixes records, none of them can be clipped by itself; with unit record use fedsgd"
            )
        return self

    def _counts(self, evaluation: Evaluation) -> None:
        evaluation.check(self.data.target)
        if evaluation.job_id == self.job_id:
            raise ValueError("strategy.job_id: an evaluation is of another job than itself")
        if self.privacy.unit != "record" or self.privacy.clipping_norm != 1:
            raise ValueError(
                "an evaluation needs privacy.unit record and clipping_norm 1: a record adds 1 to "
                "one cell"
            )
        if self.aggregation != "packed":
            raise ValueError("an evaluation is aggregated packed")

    @property
    def training(self) -> Strategy:
        """The strategy of a job that trains. Raises InvalidInput for a joint evaluation."""
        if isinstance(self.strategy, Evaluation):
            raise InvalidInput(f"job {self.job_id} is a joint evaluation: it trains no model")
        return self.strategy

    @property
    def dimension(self) -> int:
        """d, the length of a contribution's vector: parameters, or cells of a table of counts."""
        if isinstance(self.strategy, Evaluation):
            return self.strategy.classes(self.data.target) * self.strategy.bins
        return self.model.parameters

    @property
    def honest(self) -> int:
        """h: honest contributions in the smallest cohort, whose noise is counted."""
        return self.minimum_cohort - self.privacy.colluding

    @property
    def denominator(self) -> int:
        """The number that the server divides a decoded sum by: public, whoever dropped out.

        The consortium's nominal records, or for unit organization the number of participants.
        """
        if self.privacy.unit == "organization":
            return len(self.participants)
        return self.data.nominal_records

    def participant(self, organization: str) -> Participant | None:
        """The participant of that organization, if it takes part."""
        return next((p for p in self.participants if p.organization == organization), None)


class Cost(Message):
    """The charge of a job, a round or a campaign's run, in zCDP (arXiv 1605.02065)."""

    dataset: Name
    unit: Unit
    rho: Annotated[float, Field(strict=False, ge=0)]


class Approval(Message):
    """A site's countersignature: it reserved the job's whole cost in its own ledger."""

    TAG: ClassVar[str] = "approval"

    job_id: Identifier
    spec: Digest
    organization: Slug
    cost: Cost
    rounds: Annotated[int, Field(ge=1)]


class Decline(Message):
    """A site's signed no to a job, with its reason."""

    TAG: ClassVar[str] = "decline"

    job_id: Identifier
    spec: Digest
    organization: Slug
    reason: Annotated[str, Field(max_length=500)]


class Cancel(Message):
    """A participant's request to stop a job; running attempts end, nothing more is charged."""

    TAG: ClassVar[str] = "cancel"

    job_id: Identifier
    spec: Digest
    organization: Slug
    reason: Annotated[str, Field(max_length=500)]
