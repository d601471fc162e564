"""Secure aggregation: encode, encrypt, combine, decrypt, decode."""

from federated.aggregation.base import Aggregator
from federated.aggregation.packed import PackedAggregator

__all__ = ["Aggregator", "PackedAggregator"]
