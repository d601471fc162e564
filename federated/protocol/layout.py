"""How a job's vectors are laid out in ciphertexts: from the spec and the key, nothing else."""

from __future__ import annotations

from federated.aggregation.base import Aggregator
from federated.aggregation.masked import MaskedAggregator
from federated.aggregation.packed import PackedAggregator
from federated.crypto.masking import MaskLayout
from federated.crypto.packing import SlotLayout
from federated.crypto.paillier import PublicKey
from federated.wire.job import JobSpec


def clamp_of(spec: JobSpec) -> int:
    """S, the largest absolute coordinate of a site before noise: vectors times integer norm.

    A site sums a vector a record; with unit organization it has one.
    """
    vectors = 1 if spec.privacy.unit == "organization" else spec.data.max_records
    return vectors * spec.privacy.units


def layout_of(spec: JobSpec, *, modulus_bits: int) -> SlotLayout:
    """The slots of a packed job. Raises InvalidInput for a job that does not fit the key."""
    return SlotLayout(
        contributors=len(spec.participants),
        clamp=clamp_of(spec),
        sigma=spec.privacy.noise_sigma,
        modulus_bits=modulus_bits,
    )


def mask_layout_of(spec: JobSpec) -> MaskLayout:
    """The slots of a masked job. Raises InvalidInput for a job that needs more than 52 bits."""
    return MaskLayout(
        contributors=len(spec.participants),
        clamp=clamp_of(spec),
        sigma=spec.privacy.noise_sigma,
    )


def aggregator_of(spec: JobSpec, key: PublicKey) -> Aggregator:
    """The job's aggregator under that key. Raises InvalidInput for a job that does not fit it."""
    if spec.aggregation == "masked":
        return MaskedAggregator(key, mask_layout_of(spec), spec.dimension)
    return PackedAggregator(key, layout_of(spec, modulus_bits=key.bits), spec.dimension)
