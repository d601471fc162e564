"""Secure aggregation: encode, encrypt, combine, decrypt, decode.

packed   small vectors, whole in Paillier ciphertexts
masked   vectors of any length under an additive mask; only the mask's key is in ciphertexts
"""

from federated.aggregation.base import Aggregator, Sealed, Sink, Total, Vector
from federated.aggregation.masked import MaskedAggregator, MaskedTotal
from federated.aggregation.packed import PackedAggregator

__all__ = [
    "Aggregator",
    "MaskedAggregator",
    "MaskedTotal",
    "PackedAggregator",
    "Sealed",
    "Sink",
    "Total",
    "Vector",
]
