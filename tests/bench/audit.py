"""``make audit-privacy``: how much of epsilon an adversary can show on the code that sites run.

Two data sets of one hospital that differ in one worst-case record go through per-record clipping
and rounding, the noise shares of the honest sites and the sum; encryption is left out, because its
sum is exactly this one. The lower bound must stay under the job's claim, and with half of the
noise it must not: an audit that cannot fail would show nothing.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np

from federated.privacy import discrete_gaussian
from federated.privacy.audit import AuditResult, Share, lower_bound, scores
from federated.privacy.config import PrivacyConfig
from federated.training.data import Dataset
from federated.training.local import bounded_gradient_sum
from federated.wire.job import BinaryTarget, LinearLayer, ModelSpec

OUT = Path("var/bench/audit.json")
RECORDS = 50
COHORT = 3
CHUNK = 20_000


def audit(
    *,
    epsilon: float = 1.0,
    delta: float = 1e-5,
    rounds: int = 1,
    inputs: int = 3,
    runs: int = 400_000,
    scale: float = 1.0,
    share: Share = discrete_gaussian.sample,
) -> AuditResult:
    """The lower bound for a job of this target, ``scale`` times its noise at every site.

    The adversary is the coordinator with one of three sites; two honest shares are left.
    """
    model = ModelSpec(layers=(LinearLayer(in_features=inputs, out_features=1),))
    privacy = PrivacyConfig(epsilon=epsilon, delta=delta).spec(
        rounds=rounds, minimum_cohort=COHORT, dimension=model.parameters
    )
    parameters = np.zeros(model.parameters)
    with_record, without = (
        bounded_gradient_sum(model, parameters, data, privacy, target=BinaryTarget(name="y"))
        for data in neighbours(inputs)
    )
    found: dict[bool, list[np.ndarray]] = {True: [], False: []}
    for present, parts in found.items():
        for at in range(0, runs, CHUNK):
            parts.append(
                scores(
                    exact=with_record if present else without,
                    known=without,
                    difference=with_record - without,
                    noise_sigma=privacy.noise_sigma * scale,
                    honest=COHORT - privacy.colluding,
                    rounds=rounds,
                    runs=min(CHUNK, runs - at),
                    share=share,
                )
            )
    present, absent = (np.concatenate(found[key]) for key in (True, False))
    return lower_bound(present, absent, delta=delta, claimed=epsilon)


def neighbours(inputs: int) -> tuple[Dataset, Dataset]:
    """Rows with and without their last one, whose gradient is as long as clipping allows."""
    rng = np.random.default_rng(1)
    features = rng.uniform(-1, 1, (RECORDS, inputs))
    target = (features[:, 0] > 0).astype(np.float64)
    features[-1], target[-1] = 1.0, 1.0
    return (
        Dataset(features=features, target=target),
        Dataset(features=features[:-1], target=target[:-1]),
    )


def main() -> int:
    cases = {
        "1 round, 4 parameters": {},
        "1 round, 4 parameters, half the noise": {"scale": 0.5},
        "10 rounds, 25 parameters": {"rounds": 10, "inputs": 24, "runs": 400_000},
        "10 rounds, 25 parameters, half the noise": {
            "rounds": 10,
            "inputs": 24,
            "runs": 400_000,
            "scale": 0.5,
        },
    }
    told, wrong = {}, []
    for name, options in cases.items():
        result = audit(**options)
        told[name] = asdict(result)
        good = result.holds == ("half" not in name)
        wrong += [] if good else [name]
        verdict = "stays under" if result.holds else "exceeds"
        print(
            f"{name}: epsilon >= {result.lower_bound:.3f} at 95% {verdict} the claim of "
            f"{result.claimed:g} ({result.runs} runs of each input)"
            + ("" if good else "  UNEXPECTED"),
            flush=True,
        )
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(told, indent=2) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
