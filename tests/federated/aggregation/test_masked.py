"""Sums through masks equal plain sums; what an attacker may change is refused by name."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phe import paillier

from federated.aggregation import MaskedAggregator
from federated.crypto import masking, threshold
from federated.crypto.masking import CHUNK_BLOCKS, MaskLayout
from federated.crypto.negacyclic import DEGREE, SmallFactor
from federated.errors import InvalidInput, MaskKeyInvalid, ProofInvalid
from tests.federated.crypto.small_key import small_key

DEALT = small_key().dealt
KEY = DEALT.public_key
WHOLE = paillier.PaillierPrivateKey(KEY.to_phe(), small_key().p, small_key().q)
CONTEXT = b"round 1"
CAST = ("northwind", "lakeside", "summit", "harbor")
NARROW = MaskLayout(contributors=4, clamp=1000, sigma=20.0)
WIDE = MaskLayout(contributors=4, clamp=10**9, sigma=1e6)
AGGREGATOR = MaskedAggregator(KEY, NARROW, 50)


def decrypt(ciphertexts):
    """With the whole key, by phe: quicker than three trustees, and independent."""
    return [WHOLE.raw_decrypt(KEY.decode_ciphertext(c)) for c in ciphertexts]


def decrypt_by_trustees(ciphertexts):
    values = [KEY.decode_ciphertext(c) for c in ciphertexts]
    partials = {s.index: threshold.partial_decrypt(s, values) for s in DEALT.shares[1:]}
    return threshold.combine(KEY, DEALT.verification, partials)


def seal(aggregator, vector, organization="northwind", context=CONTEXT):
    body = bytearray()
    sealed = aggregator.encrypt(
        vector, context=context, organization=organization, sink=body.extend
    )
    return sealed, bytes(body)


def release(aggregator, sealed, context=CONTEXT):
    """The decoded sum of (sealed, body) pairs."""
    total = aggregator.total()
    for one, body in sealed:
        total.add([body], one.masked)
    combined = aggregator.combine([one.ciphertexts for one, _ in sealed])
    return aggregator.decode(decrypt(combined), len(sealed), context=context, total=total)


SHAPES = st.one_of(
    st.integers(1, 9),
    st.sampled_from([DEGREE - 1, DEGREE, 2 * DEGREE + 1, 2 * CHUNK_BLOCKS * DEGREE + 3]),
)


@given(SHAPES, st.sampled_from([NARROW, WIDE]), st.integers(0, 2**32 - 1), st.integers(0, 3))
@settings(max_examples=12, deadline=None)
def test_the_decoded_sum_is_the_sum_of_those_that_did_not_drop_out(dimension, layout, seed, drop):
    aggregator = MaskedAggregator(KEY, layout, dimension)
    rng = np.random.default_rng(seed)
    # Values up to the clamp, and noise out to nine standard deviations of the sum.
    vectors = rng.integers(-layout.clamp, layout.clamp + 1, (4, dimension))
    vectors += rng.choice([-1, 1], (4, dimension)) * int(4.5 * layout.sigma)
    sealed = []
    for organization, vector in zip(CAST[drop:], vectors[drop:], strict=True):
        one, body = seal(aggregator, vector, organization)
        assert len(body) == aggregator.masked_bytes
        assert len(one.ciphertexts) == aggregator.ciphertexts_per_contribution
        aggregator.verify(one, context=CONTEXT, organization=organization)
        sealed.append((one, body))
    total = release(aggregator, sealed)
    assert total.dtype == np.int64
    np.testing.assert_array_equal(total, vectors[drop:].sum(axis=0))


def test_pieces_of_any_lengths_make_the_same_sum():
    dimension = 5 * DEGREE
    aggregator = MaskedAggregator(KEY, NARROW, dimension)
    vector = np.random.default_rng(3).integers(-1000, 1001, dimension)
    sealed, body = seal(aggregator, iter(np.split(vector, [1, 1, 7, 9000])))
    total = aggregator.total()
    total.add((body[at : at + 1021] for at in range(0, len(body), 1021)), sealed.masked)
    plaintexts = decrypt_by_trustees(sealed.ciphertexts)
    assert plaintexts == decrypt(sealed.ciphertexts)
    decoded = aggregator.decode(plaintexts, 1, context=CONTEXT, total=total)
    np.testing.assert_array_equal(decoded, vector)


def test_a_million_parameters_take_four_bytes_each():
    aggregator = MaskedAggregator(KEY, NARROW, 1_000_000)
    assert aggregator.masked_bytes == 4_000_000
    assert MaskedAggregator(KEY, WIDE, 1_000_000).masked_bytes == 8_000_000


def test_a_masked_vector_looks_uniform():
    aggregator = MaskedAggregator(KEY, NARROW, 2 * CHUNK_BLOCKS * DEGREE)
    _, body = seal(aggregator, np.zeros(aggregator.dimension, dtype=np.int64))
    ones = np.bincount(np.frombuffer(body, dtype=np.uint8), minlength=256)
    expected = len(body) / 256
    assert np.abs(ones - expected).max() < 6 * expected**0.5


@pytest.fixture(scope="module")
def contribution():
    return seal(AGGREGATOR, np.arange(50, dtype=np.int64))


def refused(sealed, error=ProofInvalid, context=CONTEXT, organization="northwind", match=None):
    with pytest.raises(error, match=match):
        AGGREGATOR.verify(sealed, context=context, organization=organization)


def test_a_copy_for_another_attempt_or_organization_is_refused(contribution):
    sealed, _ = contribution
    AGGREGATOR.verify(sealed, context=CONTEXT, organization="northwind")
    refused(sealed, context=b"round 1, attempt 2")
    refused(sealed, organization="harbor")


def test_a_scaled_mask_key_is_refused(contribution):
    sealed, _ = contribution
    scaled = tuple(
        KEY.encode_ciphertext(pow(KEY.decode_ciphertext(c), 200, KEY.n_squared))
        for c in sealed.ciphertexts
    )
    refused(replace(sealed, ciphertexts=scaled))


def test_another_masked_vector_under_the_same_proof_is_refused(contribution):
    sealed, _ = contribution
    refused(replace(sealed, masked=hashlib.sha256(b"other").hexdigest()))
    refused(replace(sealed, masked=None), error=InvalidInput, match="digest")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda b: b[:-1], "bytes, not"),
        (lambda b: b[:-8], "bytes, not"),
        (lambda b: b + b"\0", "bytes, not"),
        (lambda b: b + bytes(8), "longer"),
        (lambda b: b"", "bytes, not"),
        (lambda b: bytes([b[0] ^ 1]) + b[1:], "digest"),
        (lambda b: b[8:] + b[:8], "digest"),
    ],
)
def test_changed_bytes_are_refused_and_spoil_their_total(contribution, change, match):
    sealed, body = contribution
    total = AGGREGATOR.total()
    with pytest.raises(InvalidInput, match=match):
        total.add([change(body)], sealed.masked)
    with pytest.raises(InvalidInput, match="anew"):
        total.add([body], sealed.masked)
    with pytest.raises(InvalidInput, match="total"):
        AGGREGATOR.decode(decrypt(sealed.ciphertexts), 1, context=CONTEXT, total=total)


def test_a_source_that_breaks_off_spoils_its_total(contribution):
    sealed, body = contribution
    total = AGGREGATOR.total()

    def broken():
        yield body[:40]
        raise ConnectionError

    with pytest.raises(ConnectionError):
        total.add(broken(), sealed.masked)
    with pytest.raises(InvalidInput, match="anew"):
        total.add([body], sealed.masked)


def test_a_total_of_another_number_of_vectors_is_refused(contribution):
    sealed, body = contribution
    total = AGGREGATOR.total()
    plaintexts = decrypt(sealed.ciphertexts)
    for wrong in (total, None):
        with pytest.raises(InvalidInput, match="total"):
            AGGREGATOR.decode(plaintexts, 1, context=CONTEXT, total=wrong)
    total.add([body], sealed.masked)
    with pytest.raises(InvalidInput, match="total"):
        AGGREGATOR.decode(plaintexts, 2, context=CONTEXT, total=total)


@pytest.mark.parametrize("value", [200 * 64, -300])
def test_a_mask_key_out_of_range_is_refused_at_release(monkeypatch, contribution, value):
    def forged(**_):
        key = np.zeros(DEGREE, dtype=np.int64)
        key[5] = value
        return key

    monkeypatch.setattr(masking, "fresh_key", forged)
    attack, body = seal(AGGREGATOR, np.zeros(50, dtype=np.int64), "harbor")
    AGGREGATOR.verify(attack, context=CONTEXT, organization="harbor")  # nothing proves its range
    with pytest.raises(MaskKeyInvalid):
        release(AGGREGATOR, [contribution, (attack, body)])


def test_the_largest_keys_in_range_cannot_stop_a_release(monkeypatch):
    # All sites but one agree on keys at the limit, to push the float product past its bound.
    vectors = np.random.default_rng(4).integers(-1000, 1001, (4, 50))
    sealed = [seal(AGGREGATOR, vectors[0], CAST[0])]
    monkeypatch.setattr(masking, "fresh_key", lambda: np.full(DEGREE, 64, dtype=np.int64))
    sealed += [seal(AGGREGATOR, v, c) for v, c in zip(vectors[1:], CAST[1:], strict=True)]
    np.testing.assert_array_equal(release(AGGREGATOR, sealed), vectors.sum(axis=0))


def test_a_vector_masked_for_another_attempt_does_not_decode():
    # Mixed contexts, had verification been left out: the sum is noise, and nobody's vector shows.
    vector = np.zeros(50, dtype=np.int64)
    mixed = [seal(AGGREGATOR, vector), seal(AGGREGATOR, vector, "lakeside", b"round 2")]
    assert np.abs(release(AGGREGATOR, mixed)).max() > 10**5


def test_every_contribution_has_a_key_of_its_own():
    vector = np.zeros(50, dtype=np.int64)
    (first, one), (second, other) = (seal(AGGREGATOR, vector) for _ in range(2))
    assert not set(first.ciphertexts) & set(second.ciphertexts)
    difference = np.frombuffer(one, dtype="<u8") - np.frombuffer(other, dtype="<u8")
    # With one key the masks would cancel to errors below 2^8.
    assert np.abs(difference.view(np.int64)).min() > 2**40


@pytest.mark.parametrize(
    "vector",
    [
        np.zeros(49, dtype=np.int64),
        np.zeros(51, dtype=np.int64),
        np.zeros(5 * CHUNK_BLOCKS * DEGREE, dtype=np.int64),
        np.zeros((1, 50), dtype=np.int64),
        np.zeros(50, dtype=np.float64),
        np.zeros(0, dtype=np.int64),
    ],
)
def test_a_vector_of_another_shape_or_type_is_refused(vector):
    with pytest.raises(InvalidInput, match="vector has"):
        seal(AGGREGATOR, vector)


def test_impossible_aggregators_and_sinks_are_refused():
    with pytest.raises(InvalidInput, match="at least 1"):
        MaskedAggregator(KEY, NARROW, 0)
    with pytest.raises(InvalidInput, match="sink"):
        AGGREGATOR.encrypt(np.zeros(50, dtype=np.int64), context=CONTEXT, organization="northwind")


def test_an_empty_or_too_large_cohort_is_refused(contribution):
    for count in (0, 5):
        with pytest.raises(InvalidInput, match="contributions"):
            AGGREGATOR.combine([contribution[0].ciphertexts] * count)


def test_released_errors_reach_a_known_key_only_through_the_sum():
    # What a release shows of one site among two: the sum of keys, never its own.
    pair = [seal(AGGREGATOR, np.zeros(50, dtype=np.int64), name) for name in CAST[:2]]
    combined = decrypt(AGGREGATOR.combine([one.ciphertexts for one, _ in pair]))
    keys = [AGGREGATOR._keys.decode(decrypt(one.ciphertexts), 1) for one, _ in pair]
    shown = AGGREGATOR._keys.decode(combined, 2)
    np.testing.assert_array_equal(shown, keys[0] + keys[1])
    factor, public = SmallFactor(shown), masking.PublicPart(CONTEXT)
    words = np.frombuffer(pair[0][1], dtype="<u8")
    left = np.concatenate(list(masking.unmasked(words, factor, public))).view(np.int64)
    assert np.abs(left).min() > 2**40
