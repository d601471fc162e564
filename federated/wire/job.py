"""What a job is: data, model, training, privacy and who takes part.

An approved spec fixes everything that costs privacy or could be swapped later: bounds,
denominators, noise, pinned site keys and the key epoch. Its digest is what sites countersign.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from federated.wire.base import Bytes, Digest, Identifier, Message, Name, Slug

# From 2^53 on a whole float is written as an integer that JSON cannot carry back.
_LARGEST = 2.0**53 - 1
Finite = Annotated[float, Field(strict=False, ge=-_LARGEST, le=_LARGEST)]
Positive = Annotated[float, Field(strict=False, gt=0, le=_LARGEST)]


class NumericFeature(Message):
    """One column scaled from its public bounds to [-1, 1].

    Values out of bounds are clamped. Missing values (null, or listed in ``missing_values``)
    become the middle of the bounds, that is 0 after scaling.
    """

    kind: Literal["numeric"] = "numeric"
    name: Name
    lower: Finite
    upper: Finite
    missing_values: tuple[Finite, ...] = ()

    @model_validator(mode="after")
    def _ordered(self) -> NumericFeature:
        if not self.lower < self.upper:
            raise ValueError(f"bounds of {self.name}: lower must be below upper")
        return self

    @property
    def width(self) -> int:
        return 1


class CategoricalFeature(Message):
    """One column as an indicator a public category; a missing or unlisted value is all zeros."""

    kind: Literal["categorical"] = "categorical"
    name: Name
    categories: Annotated[tuple[str, ...], Field(min_length=2, max_length=256)]

    @model_validator(mode="after")
    def _distinct(self) -> CategoricalFeature:
        if len(set(self.categories)) != len(self.categories):
            raise ValueError(f"categories of {self.name} repeat")
        return self

    @property
    def width(self) -> int:
        return len(self.categories)


Feature = Annotated[NumericFeature | CategoricalFeature, Field(discriminator="kind")]


class Target(Message):
    """A binary target: positive where the column exceeds ``positive_above``.

    A row whose target is missing is left out at the site, before anything is computed.
    """

    name: Name
    positive_above: Finite = 0.0


class DataDictionary(Message):
    """Public facts of a dataset that every site holds in the same form.

    ``nominal_records`` is the public denominator of the whole consortium; ``max_records`` bounds
    the records of one site (a site with more uses its first ``max_records``).
    """

    TAG: ClassVar[str] = "data-dictionary"

    dataset: Name
    features: Annotated[tuple[Feature, ...], Field(min_length=1, max_length=4096)]
    target: Target
    nominal_records: Annotated[int, Field(ge=1, le=10**9)]
    max_records: Annotated[int, Field(ge=1, le=10**8)] = 20_000

    @model_validator(mode="after")
    def _columns(self) -> DataDictionary:
        names = [feature.name for feature in self.features]
        if len(set(names)) != len(names):
            raise ValueError("features: a column is listed twice")
        if self.target.name in names:
            raise ValueError(f"features: the target {self.target.name} is among them")
        return self

    @property
    def width(self) -> int:
        """Inputs of a model over these features."""
        return sum(feature.width for feature in self.features)


class LinearLayer(Message):
    kind: Literal["linear"] = "linear"
    in_features: Annotated[int, Field(ge=1, le=65_536)]
    out_features: Annotated[int, Field(ge=1, le=65_536)]


class ActivationLayer(Message):
    kind: Literal["relu", "tanh", "sigmoid"]


Layer = Annotated[LinearLayer | ActivationLayer, Field(discriminator="kind")]


class ModelSpec(Message):
    """A feed-forward model of whitelisted layers that ends in one logit.

    Parameters are ordered layer by layer, each weight (out x in, row-major) before its bias.
    """

    TAG: ClassVar[str] = "model-spec"

    layers: Annotated[tuple[Layer, ...], Field(min_length=1, max_length=64)]

    @model_validator(mode="after")
    def _chained(self) -> ModelSpec:
        width: int | None = None
        for position, layer in enumerate(self.layers):
            if not isinstance(layer, LinearLayer):
                continue
            if width is not None and layer.in_features != width:
                raise ValueError(
                    f"layers.{position}: takes {layer.in_features} inputs, is given {width}"
                )
            width = layer.out_features
        if not isinstance(self.layers[-1], LinearLayer) or width != 1:
            raise ValueError("layers: the last one must be linear with one output (a logit)")
        if not isinstance(self.layers[0], LinearLayer):
            raise ValueError("layers: the first one must be linear")
        return self

    @property
    def inputs(self) -> int:
        first = self.layers[0]
        assert isinstance(first, LinearLayer)
        return first.in_features

    @property
    def parameters(self) -> int:
        """The number of parameters: the dimension d of a contribution."""
        return sum(
            layer.out_features * (layer.in_features + 1)
            for layer in self.layers
            if isinstance(layer, LinearLayer)
        )


class Strategy(Message):
    """FedSGD: one full-batch gradient a round, momentum at the server.

    The released model is the mean of the iterates after round ``average_from``.
    """

    kind: Literal["fedsgd"] = "fedsgd"
    rounds: Annotated[int, Field(ge=1, le=10_000)]
    learning_rate: Positive = 1.0
    momentum: Annotated[float, Field(strict=False, ge=0, lt=1)] = 0.9
    average_from: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _averages(self) -> Strategy:
        if self.average_from >= self.rounds:
            raise ValueError("average_from must be below rounds")
        return self


LARGEST_EPSILON = 10.0
"""Above it a guarantee says next to nothing: e^10 is a likelihood ratio of 22,000."""


class PrivacySpec(Message):
    """The privacy of one job, in the grid that contributions live on.

    A record's gradient is clipped to ``clipping_norm`` and rounded to a grid of
    ``clipping_norm / units``, so its integer L2 norm is at most ``units``. Every site adds a
    discrete Gaussian share of standard deviation ``noise_sigma`` grid units. ``epsilon`` is the
    target against the coordinator with ``colluding`` sites; sites recompute it from the rest.
    An epsilon above 10 carries the reason that its proposer gave for it.
    """

    unit: Literal["record"] = "record"
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


class JobSpec(Message):
    """Everything that a job's sites approve and countersign.

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
    strategy: Strategy
    privacy: PrivacySpec
    participants: Annotated[tuple[Participant, ...], Field(min_length=3, max_length=1000)]
    minimum_cohort: Annotated[int, Field(ge=3)]
    aggregation: Literal["packed", "masked"] = "packed"
    round_seconds: Annotated[int, Field(ge=1, le=86_400)]
    key_epoch: Digest

    @model_validator(mode="after")
    def _whole(self) -> JobSpec:
        names = [participant.organization for participant in self.participants]
        if len(set(names)) != len(names):
            raise ValueError("participants: an organization is listed twice")
        if names != sorted(names):
            raise ValueError("participants must be sorted by organization")
        keys = [participant.public_key for participant in self.participants]
        if len(set(keys)) != len(keys):
            raise ValueError("participants: two organizations share a site key")
        if self.proposer not in names:
            raise ValueError(f"proposer {self.proposer} is not among the participants")
        if self.minimum_cohort > len(names):
            raise ValueError("minimum_cohort is above the number of participants")
        if self.honest < 2:
            raise ValueError("minimum_cohort - colluding must leave at least 2 honest sites")
        if self.model.inputs != self.data.width:
            raise ValueError(
                f"model takes {self.model.inputs} inputs, the features make {self.data.width}"
            )
        return self

    @property
    def honest(self) -> int:
        """h: honest contributions in the smallest cohort, whose noise is counted."""
        return self.minimum_cohort - self.privacy.colluding

    def participant(self, organization: str) -> Participant | None:
        """The participant of that organization, if it takes part."""
        return next((p for p in self.participants if p.organization == organization), None)


class Cost(Message):
    """What a job, a round or a campaign's run charges an account, in zCDP (arXiv 1605.02065)."""

    dataset: Name
    unit: Literal["record", "organization"]
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
