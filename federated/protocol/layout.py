"""How a job's vectors are laid out in ciphertexts: from the spec and the key, nothing else."""

from __future__ import annotations

from federated.aggregation.packed import PackedAggregator
from federated.crypto.packing import SlotLayout
from federated.protocol.keys import public_key_of
from federated.wire.job import JobSpec
from federated.wire.key import KeyEpoch


def layout_of(spec: JobSpec, *, modulus_bits: int) -> SlotLayout:
    """The slots of a job: S is ``max_records`` records of integer norm ``units`` each.

    Raises InvalidInput for a job that does not fit the key.
    """
    return SlotLayout(
        contributors=len(spec.participants),
        clamp=spec.data.max_records * spec.privacy.units,
        sigma=spec.privacy.noise_sigma,
        modulus_bits=modulus_bits,
    )


def aggregator_of(spec: JobSpec, epoch: KeyEpoch) -> PackedAggregator:
    """The job's aggregator. Raises InvalidInput for a job that does not fit the key."""
    key = public_key_of(epoch)
    return PackedAggregator(key, layout_of(spec, modulus_bits=key.bits), spec.model.parameters)
