"""Making a spec: solve the noise, pin the keys, choose the smallest cohort."""

from __future__ import annotations

import math
from collections.abc import Iterable

from federated.crypto.paillier import PublicKey
from federated.errors import InvalidInput
from federated.privacy.config import PrivacyConfig
from federated.protocol.cost import noise_and_signal
from federated.protocol.layout import aggregator_of
from federated.protocol.strategy import strategy_make
from federated.wire.job import (
    DataDictionary,
    Evaluation,
    JobSpec,
    ModelSpec,
    Participant,
    Strategy,
)
from federated.wire.strategy import FedSGD, ServerAdam, ServerMomentum

LARGEST_WALK = 0.3
"""How far noise alone may carry a parameter: the standard deviation after the last round."""


def default_minimum_cohort(participants: int, colluding: int) -> int:
    """Three quarters of the participants, at least 3 and at least ``colluding`` + 2.

    One dropout in four is survived; the noise that is not counted on stays small.
    """
    return min(participants, max(3, colluding + 2, math.ceil(0.75 * participants)))


def spec_make(
    *,
    job_id: str,
    consortium: str,
    proposer: str,
    proposed_at: str,
    data: DataDictionary,
    model: ModelSpec,
    initial_state: str,
    participants: Iterable[Participant],
    privacy: PrivacyConfig,
    key_epoch: str,
    rounds: int | None = None,
    strategy: Strategy | Evaluation | None = None,
    minimum_cohort: int | None = None,
    round_seconds: int = 120,
    aggregation: str = "packed",
    purpose: str | None = None,
) -> JobSpec:
    """A whole job spec; see JobSpec for the fields.

    Give ``strategy``, or ``rounds`` of FedSGD with momentum. See evaluation_make for an Evaluation.

    Raises InvalidInput for combinations that the spec refuses.
    """
    if (strategy is None) == (rounds is None):
        raise InvalidInput("strategy: give it, or rounds, and not both")
    strategy = strategy or strategy_make(epochs=rounds or 0)
    ordered = tuple(sorted(participants, key=lambda participant: participant.organization))
    if len(ordered) < 3:
        raise InvalidInput(
            f"participants: {len(ordered)} organizations; a job needs at least 3, of which "
            "2 stay honest when one colludes"
        )
    minimum = (
        default_minimum_cohort(len(ordered), privacy.colluding)
        if minimum_cohort is None
        else minimum_cohort
    )
    if minimum > len(ordered):
        raise InvalidInput(f"minimum_cohort {minimum} is above the {len(ordered)} participants")
    dimension = model.parameters
    if isinstance(strategy, Evaluation):
        dimension = strategy.classes(data.target) * strategy.bins
    body = {
        "job_id": job_id,
        "consortium": consortium,
        "proposer": proposer,
        "proposed_at": proposed_at,
        "data": data.dump(),
        "model": model.dump(),
        "initial_state": initial_state,
        "strategy": strategy.dump(),
        "privacy": privacy.spec(
            rounds=strategy.rounds, minimum_cohort=minimum, dimension=dimension
        ).dump(),
        "participants": [participant.dump() for participant in ordered],
        "minimum_cohort": minimum,
        "aggregation": aggregation,
        "round_seconds": round_seconds,
        "key_epoch": key_epoch,
    }
    return JobSpec.parse(body if purpose is None else body | {"purpose": purpose})


def aggregation_chosen(spec: JobSpec, key: PublicKey) -> JobSpec:
    """The spec with the cheaper aggregation under that key.

    That is the one with fewer ciphertexts, packed at a tie.

    Ciphertexts are what trustees decrypt and everyone proves and checks, tens of milliseconds
    each. Packed needs one for some hundred parameters; masked 13 to 25 for a mask's key however
    long the vector (and 4 or 8 bytes a parameter beside them, made and added at a thousandth of
    the cost), so that it is cheaper from some two thousand parameters on. What fits only one of
    them takes that. Raises InvalidInput for a job that fits neither.
    """
    counts: dict[str, int] = {}
    refusal = InvalidInput("aggregation: no kind is known")
    for kind in ("packed", "masked"):
        tried = spec.model_copy(update={"aggregation": kind})
        try:
            counts[kind] = aggregator_of(tried, key).ciphertexts_per_contribution
        except InvalidInput as error:
            refusal = error
    if not counts:
        raise refusal
    return spec.model_copy(update={"aggregation": min(counts, key=lambda kind: counts[kind])})


def learning_rate_chosen(spec: JobSpec) -> JobSpec:
    """The spec with the largest server learning rate, at most 1, that its noise allows.

    For FedSGD with SGD or momentum; others are returned as they are. A round adds noise of v a
    coordinate to the mean update (``noise_and_signal``); with learning rate r and momentum m, noise
    alone then carries a parameter r v sqrt(sum_{k=1}^{rounds} ((1 - m^k) / (1 - m))^2) away by
    the last round, and that is kept to ``LARGEST_WALK``. Everything in it is public: nothing is
    tuned on data, so nothing is charged. Two significant digits.
    """
    strategy = spec.strategy
    if not isinstance(strategy, FedSGD) or isinstance(strategy.server_optimizer, ServerAdam):
        return spec
    optimizer = strategy.server_optimizer
    momentum = optimizer.momentum if isinstance(optimizer, ServerMomentum) else 0.0
    carried = (
        math.fsum((1 - momentum**k) ** 2 for k in range(1, strategy.rounds + 1)) ** 0.5
        * noise_and_signal(spec)[0]
        / (1 - momentum)
    )
    rate = 1.0 if carried <= LARGEST_WALK else float(f"{LARGEST_WALK / carried:.2g}")
    stepped = optimizer.model_copy(update={"learning_rate": rate})
    return spec.model_copy(
        update={"strategy": strategy.model_copy(update={"server_optimizer": stepped})}
    )
