"""The published numbers of a campaign: grid, codewords, one proven vote, statistics, messages.

``python -m tests.federated.crypto.vote_vectors`` writes tests/vectors/campaign.json anew; only for
a deliberate change of format.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from federated.aggregation.vote_statistics import statistics_of
from federated.aggregation.votes import edges, scaled, squared
from federated.crypto import vote_proofs
from federated.crypto.vote_proofs import Statement
from federated.wire.campaign import (
    CampaignContext,
    Metric,
    NoisedCohort,
    SubmissionCohort,
    grid_points,
)
from tests.federated.aggregation.test_votes import layout_of
from tests.federated.crypto.small_key import VECTORS, small_key

METRIC = {
    "key": "latency_ms",
    "unit": "ms",
    "lower": 2.0,
    "upper": 500.0,
    "grid": {"kind": "log", "points": 8, "bins": 4},
    "better": "lower",
    "out_of_bounds": "clamp",
    "statistics": ["mean", "std", "median", "p10", "p25", "p75", "p90"],
    "split": {"values": 0.25, "squares": 0.125, "histogram": 0.1},
}
SUMS = [31, -4, 22, 9, -5_000_000, 12_345_678]


def whole() -> dict[str, Any]:
    """Everything but the metric computed from it."""
    metric = Metric.parse(METRIC)
    layout = layout_of(metric, contributors=80, trustees=4)
    linear = Metric.parse({**METRIC, "grid": {"kind": "linear", "points": 8, "bins": 4}})
    return {
        "metric": METRIC,
        "points": list(grid_points(metric)),
        "edges": list(edges(metric)),
        "linear_points": list(grid_points(linear)),
        "scaled": [scaled(metric, j) for j in range(8)],
        "squared": [squared(scaled(metric, j)) for j in range(8)],
        "widths": list(layout.widths),
        "codewords": [f"{codeword:x}" for codeword in layout.codewords],
        "proof": _proof(list(layout.codewords)),
        "sums": SUMS,
        "statistics": {
            name: estimate.dump()
            for name, estimate in statistics_of(layout, SUMS, count=60, shares=3).items()
        },
        "digests": _digests(),
    }


def _proof(codewords: list[int]) -> dict[str, Any]:
    key = small_key().dealt.public_key
    encryption = key.encrypt(codewords[5], exponent=(1 << 500) + 12345)
    statement = Statement(encryption.ciphertext, codewords, bytes(range(32)), "northwind", 1)
    others = [((j + 3) ** 50 % 2**256, (j + 7) ** 200 % 2**1000) for j in range(8)]
    proof = vote_proofs._prove_with(
        key, statement, 5, encryption, others=others, nonce=(1 << 1000) + 99
    )
    encoded = proof.encode(key)
    return {
        "context": bytes(range(32)).hex(),
        "organization": "northwind",
        "position": 1,
        "chosen": 5,
        "ciphertext": f"{encryption.ciphertext:x}",
        "challenge": f"{statement.challenge(key, proof.commitments):x}",
        "bytes": len(encoded),
        "sha256": hashlib.sha256(encoded).hexdigest(),
        "first_answer": f"{proof.answers[0]:x}",
        "chosen_challenge": f"{proof.challenges[5]:x}",
        "chosen_answer": f"{proof.answers[5]:x}",
    }


def _digests() -> dict[str, str]:
    context = CampaignContext(
        campaign_id="12345678-1234-4234-8234-123456789abc",
        spec="ab" * 32,
        run=3,
        key_epoch="cd" * 32,
        checkpoint="00" * 32,
    )
    cohort = SubmissionCohort(
        context=context.digest(), members={"lakeside": "11" * 32, "summit": "22" * 32}
    )
    noised = NoisedCohort(
        context=context.digest(), cohort=cohort.digest(), noise={"lakeside": "33" * 32}
    )
    return {
        "context": context.digest(),
        "cohort": cohort.digest(),
        "noised": noised.digest(),
    }


def main() -> None:
    (VECTORS / "campaign.json").write_text(json.dumps(whole(), indent=1) + "\n")


if __name__ == "__main__":
    main()
