"""Making a spec: solve the noise, pin the keys, choose the smallest cohort."""

from __future__ import annotations

import math
from collections.abc import Iterable

from federated.errors import InvalidInput
from federated.privacy.config import PrivacyConfig
from federated.wire.job import (
    DataDictionary,
    JobSpec,
    ModelSpec,
    Participant,
)


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
    rounds: int,
    participants: Iterable[Participant],
    privacy: PrivacyConfig,
    key_epoch: str,
    learning_rate: float = 1.0,
    momentum: float = 0.9,
    minimum_cohort: int | None = None,
    round_seconds: int = 120,
    aggregation: str = "packed",
) -> JobSpec:
    """A whole job spec; see JobSpec for the fields.

    Raises InvalidInput for combinations that the spec refuses.
    """
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
    body = {
        "job_id": job_id,
        "consortium": consortium,
        "proposer": proposer,
        "proposed_at": proposed_at,
        "data": data.dump(),
        "model": model.dump(),
        "initial_state": initial_state,
        "strategy": {
            "rounds": rounds,
            "learning_rate": learning_rate,
            "momentum": momentum,
            "average_from": rounds // 2,
        },
        "privacy": privacy.spec(
            rounds=rounds, minimum_cohort=minimum, dimension=model.parameters
        ).dump(),
        "participants": [participant.dump() for participant in ordered],
        "minimum_cohort": minimum,
        "aggregation": aggregation,
        "round_seconds": round_seconds,
        "key_epoch": key_epoch,
    }
    return JobSpec.parse(body)
