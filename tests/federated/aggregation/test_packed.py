import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federated.aggregation import PackedAggregator
from federated.crypto import threshold
from federated.crypto.packing import SlotLayout
from federated.errors import InvalidInput, ProofInvalid
from tests.federated.crypto.small_key import small_key

DEALT = small_key().dealt
KEY = DEALT.public_key
LAYOUT = SlotLayout(contributors=4, clamp=1000, sigma=20.0, modulus_bits=KEY.bits)
DIMENSION = LAYOUT.slots + 5
AGGREGATOR = PackedAggregator(KEY, LAYOUT, DIMENSION)
CONTEXT = b"round 1"
CAST = ("northwind", "lakeside", "summit", "harbor")


def decrypt(ciphertexts):
    values = [KEY.decode_ciphertext(c) for c in ciphertexts]
    partials = {s.index: threshold.partial_decrypt(s, values) for s in DEALT.shares[:3]}
    return threshold.combine(KEY, DEALT.verification, partials)


@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
@settings(max_examples=10, deadline=None)
def test_the_decoded_sum_is_the_sum(seed, contributors):
    vectors = np.random.default_rng(seed).integers(-1000, 1001, (contributors, DIMENSION))
    contributions = []
    for organization, vector in zip(CAST, vectors, strict=False):
        sealed = AGGREGATOR.encrypt(vector, context=CONTEXT, organization=organization)
        assert len(sealed.ciphertexts) == AGGREGATOR.ciphertexts_per_contribution == 2
        AGGREGATOR.verify(sealed, context=CONTEXT, organization=organization)
        contributions.append(sealed.ciphertexts)
    combined = AGGREGATOR.combine(contributions)
    assert combined == AGGREGATOR.combine(contributions[::-1])
    total = AGGREGATOR.decode(decrypt(combined), contributors)
    assert total.dtype == np.int64
    np.testing.assert_array_equal(total, vectors.sum(axis=0))


@pytest.fixture(scope="module")
def contribution():
    return AGGREGATOR.encrypt(
        np.arange(DIMENSION, dtype=np.int64), context=CONTEXT, organization="northwind"
    )


@pytest.mark.parametrize(
    "bound",
    [
        {"context": b"round 2", "organization": "northwind"},
        {"context": CONTEXT, "organization": "harbor"},
    ],
)
def test_a_copy_for_another_context_or_organization_is_refused(contribution, bound):
    with pytest.raises(ProofInvalid):
        AGGREGATOR.verify(contribution, **bound)


def test_a_broken_or_missing_proof_is_refused(contribution):
    proof = contribution.proof
    for broken in (b"", proof[:-1], proof[:-1] + bytes([proof[-1] ^ 1])):
        with pytest.raises(ProofInvalid):
            AGGREGATOR.verify(
                replace(contribution, proof=broken), context=CONTEXT, organization="northwind"
            )


def test_a_contribution_of_another_shape_is_refused(contribution):
    ciphertexts = contribution.ciphertexts
    for wrong in ((), ciphertexts[:1], (*ciphertexts, ciphertexts[0])):
        with pytest.raises(InvalidInput, match="ciphertexts"):
            AGGREGATOR.verify(
                replace(contribution, ciphertexts=wrong), context=CONTEXT, organization="northwind"
            )
        with pytest.raises(InvalidInput, match="ciphertexts"):
            AGGREGATOR.combine([ciphertexts, wrong])
    with pytest.raises(InvalidInput, match="bytes"):
        AGGREGATOR.verify(
            replace(contribution, ciphertexts=(ciphertexts[0], ciphertexts[1][1:])),
            context=CONTEXT,
            organization="northwind",
        )


def test_a_packed_contribution_has_no_masked_vector(contribution):
    with pytest.raises(InvalidInput, match="masked"):
        AGGREGATOR.verify(
            replace(contribution, masked="0" * 64), context=CONTEXT, organization="northwind"
        )


@pytest.mark.parametrize(
    "vector",
    [
        np.zeros(DIMENSION - 1, dtype=np.int64),
        np.zeros((1, DIMENSION), dtype=np.int64),
        np.zeros(DIMENSION, dtype=np.float64),
        np.full(DIMENSION, np.nan),
    ],
)
def test_a_vector_of_another_shape_or_type_is_refused(vector):
    with pytest.raises(InvalidInput, match="vector has shape"):
        AGGREGATOR.encrypt(vector, context=CONTEXT, organization="northwind")


def test_an_empty_or_too_large_cohort_is_refused(contribution):
    for count in (0, 5):
        with pytest.raises(InvalidInput, match="contributions"):
            AGGREGATOR.combine([contribution.ciphertexts] * count)


def test_an_aggregator_that_does_not_fit_its_key_is_refused():
    with pytest.raises(InvalidInput, match="bits"):
        PackedAggregator(KEY, SlotLayout(4, 1000, 20.0, 3072), DIMENSION)
    with pytest.raises(InvalidInput, match="at least 1"):
        PackedAggregator(KEY, LAYOUT, 0)


def test_a_sum_out_of_range_decodes_without_an_error():
    far = np.full(DIMENSION, np.iinfo(np.int64).max)
    sealed = AGGREGATOR.encrypt(far, context=CONTEXT, organization="northwind")
    assert AGGREGATOR.decode(decrypt(sealed.ciphertexts), 1).shape == (DIMENSION,)


def test_the_cryptography_needs_no_torch_and_no_phe():
    code = (
        "import sys, federated.aggregation, federated.crypto.share_proofs, "
        "federated.crypto.envelope, federated.crypto.signatures\n"
        "print(sorted({'torch', 'phe', 'django'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
