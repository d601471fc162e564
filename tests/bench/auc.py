"""What epsilon 1 costs in AUC: the demonstration's job over many seeds, with noise and without.

Computed outside a federation by an experimenter who holds the public data: the same clipping,
rounding, server steps and noise shares as a job's, without encryption. A seed splits the rows; the
noise comes from the operating system.
"""

from __future__ import annotations

import statistics

import numpy as np
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from federated.crypto.signatures import generate_private_key
from federated.privacy.config import PrivacyConfig
from federated.privacy.discrete_gaussian import sample
from federated.protocol.propose import spec_make
from federated.protocol.strategy import strategy_make
from federated.training.server import ServerState
from federated.wire.base import encode_bytes
from federated.wire.job import (
    DataDictionary,
    JobSpec,
    LinearLayer,
    ModelSpec,
    Participant,
    Strategy,
)
from portal.demo.experiment import ALL, federated
from portal.demo.hospitals import NAMES, dictionary, hospitals
from tests.bench.frame import OURS, Row, spread

ROUNDS = 10
CASE = "AUC, 4 hospitals, 10 rounds"


def auc_rows(seeds: int = 20) -> list[Row]:
    """Test AUC over all hospitals' rows at epsilon 1 and without noise, and their difference."""
    spec = job()
    private, exact = [], []
    for seed in range(seeds):
        cast = hospitals(seed=seed)
        initial = ServerState.initial(np.zeros(spec.model.parameters))
        private.append(_all(federated(cast, spec, initial, sample)))
        exact.append(_all(federated(cast, spec, initial)))
    lost = [without - noisy for noisy, without in zip(private, exact, strict=True)]
    return [
        *spread(CASE, OURS, "AUC at epsilon 1", private, "AUC"),
        *spread(CASE, OURS, "AUC without noise", exact, "AUC"),
        *spread(CASE, OURS, "AUC lost to epsilon 1", lost, "AUC"),
        Row(CASE, OURS, "AUC lost to epsilon 1 (mean)", statistics.fmean(lost), "AUC"),
        Row(CASE, OURS, "seeds", seeds, "count"),
    ]


def job() -> JobSpec:
    """The demonstration's job: its data dictionary, a logistic model, epsilon 1, delta 1e-5."""
    return job_over(dictionary(), len(NAMES), PrivacyConfig(epsilon=1.0, delta=1e-5))


def job_over(
    data: DataDictionary, sites: int, privacy: PrivacyConfig, *, strategy: Strategy | None = None
) -> JobSpec:
    """A logistic model over a dictionary's features, trained by so many sites.

    ``strategy`` is the demonstration's unless given: ten rounds of FedSGD.
    """
    participants = [
        Participant(organization=f"site_{number}", public_key=_fresh_public_key())
        for number in range(sites)
    ]
    return spec_make(
        job_id="00000000-0000-4000-8000-000000000000",
        consortium="heart.bench",
        proposer=participants[0].organization,
        proposed_at="2026-01-01T00:00:00Z",
        data=data,
        model=ModelSpec(layers=(LinearLayer(in_features=data.width, out_features=1),)),
        initial_state="0" * 64,
        strategy=strategy or strategy_make(epochs=ROUNDS),
        participants=participants,
        privacy=privacy,
        key_epoch="0" * 64,
    )


def _fresh_public_key() -> str:
    key = generate_private_key().public_key()
    return encode_bytes(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def _all(found: dict[str, float | None]) -> float:
    value = found[ALL]
    if value is None:
        raise ValueError("all hospitals' test rows hold one class: the split is broken")
    return value
