"""A saved 1,024-bit threshold key, 3-of-4, so that tests need not deal one. It protects nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from federated.crypto.paillier import PublicKey
from federated.crypto.threshold import Dealt, KeyShare, VerificationKeys

VECTORS = Path(__file__).parents[2] / "vectors"


@dataclass(frozen=True)
class SmallKey:
    p: int
    q: int
    dealt: Dealt


@cache
def small_key() -> SmallKey:
    data = json.loads((VECTORS / "crypto_test_key.json").read_text())
    p, q, v = (int(data[name], 16) for name in ("p", "q", "v"))
    quorum = {name: data[name] for name in ("threshold", "trustees")}
    shares = tuple(
        KeyShare(n=p * q, index=index, value=int(value, 16), **quorum)
        for index, value in enumerate(data["shares"], start=1)
    )
    verification = VerificationKeys(
        n=p * q,
        v=v,
        v_i=tuple(int(value, 16) for value in data["v_i"]),
        max_colluding=data["max_colluding"],
        **quorum,
    )
    return SmallKey(p, q, Dealt(PublicKey(p * q), verification, shares))
