"""A whole masked round in process, and what may go wrong with the bytes beside its messages."""

from __future__ import annotations

import numpy as np
import pytest

from federated.aggregation import MaskedAggregator
from federated.crypto import masking
from federated.errors import InvalidInput, MaskKeyInvalid
from federated.protocol.kinds import training
from federated.protocol.kinds.training import TRAINING, contribution_make
from federated.protocol.masked import masked_bytes, total_of
from federated.protocol.refused import Refused
from federated.protocol.release import release_check, release_make
from federated.protocol.share import product_of, share_check
from federated.protocol.transcript import transcript_check
from federated.wire.base import Signed, decode_bytes, encode_bytes
from federated.wire.round import Contribution, Reason, Release, Transcript

from .conftest import CAST, make_consortium, with_


class Store(dict):
    """Masked vectors by their digests, as a coordinator keeps them."""

    def contribute(self, consortium, name, context):
        body = bytearray()
        signed = contribution_make(
            agreement=consortium.agreement,
            context=context,
            identity=consortium.identities[name],
            gradient=consortium.gradients[name],
            sink=body.extend,
        )
        self[signed.body.masked] = bytes(body)
        return signed

    def source(self, digest):
        body = self[digest]
        return (body[at : at + 13] for at in range(0, len(body), 13))


@pytest.fixture(scope="module")
def consortium():
    return make_consortium(aggregation="masked")


@pytest.fixture(scope="module")
def closed(consortium):
    """A store and a closed attempt's transcript of all four, with every trustee's share."""
    return close(consortium, CAST)


def close(consortium, members, context=None, store=None):
    store = Store() if store is None else store
    context = context or consortium.context()
    transcript = Transcript(
        spec=consortium.signed_spec,
        approvals=consortium.approvals,
        context=context,
        contributions=tuple(store.contribute(consortium, name, context) for name in members),
    )
    shares = tuple(consortium.share(name, transcript) for name in CAST[1:])
    return store, with_(transcript, shares=shares)


def totalled(consortium, store, transcript):
    return total_of(transcript, agreement=consortium.agreement, source=store.source)


@pytest.mark.parametrize("members", [CAST, CAST[:3]])
def test_release_is_the_sum_of_gradients_and_noise(consortium, monkeypatch, members):
    drawn = []

    def recorded(sigma, size):
        drawn.append(sample(sigma, size))
        return drawn[-1]

    sample = training.discrete_gaussian.sample
    monkeypatch.setattr(training.discrete_gaussian, "sample", recorded)
    store, transcript = close(consortium, members)
    cohort = transcript_check(transcript, agreement=consortium.agreement)
    product = product_of(transcript, agreement=consortium.agreement)
    for signed in transcript.shares:
        share_check(signed, agreement=consortium.agreement, cohort=cohort, product=product)
    seen = []
    decode = MaskedAggregator.decode
    monkeypatch.setattr(
        MaskedAggregator, "decode", lambda *a, **k: seen.append(decode(*a, **k)) or seen[-1]
    )
    total = totalled(consortium, store, transcript)
    release, after = release_make(
        transcript, agreement=consortium.agreement, state=consortium.state, total=total
    )
    expected = sum(consortium.gradients[name] for name in members) + sum(drawn)
    np.testing.assert_array_equal(seen[0], expected)
    assert (release.values, after.digest()) == ((), release.state)
    assert Release.parse(release.dump()) == release


def test_sites_recompute_the_release_from_the_stored_vectors(consortium, closed):
    store, transcript = closed
    total = totalled(consortium, store, transcript)
    release, after = release_make(
        transcript, agreement=consortium.agreement, state=consortium.state, total=total
    )
    again = release_check(
        with_(transcript, release=release),
        agreement=consortium.agreement,
        state=consortium.state,
        total=totalled(consortium, store, transcript),
    )
    assert again.to_bytes() == after.to_bytes()
    with pytest.raises(InvalidInput, match="sum differs"):
        release_check(
            with_(transcript, release=with_(release, sum="0" * 64)),
            agreement=consortium.agreement,
            state=consortium.state,
            total=total,
        )


def test_a_release_without_its_masked_vectors_is_refused(consortium, closed):
    with pytest.raises(InvalidInput, match="total"):
        release_make(closed[1], agreement=consortium.agreement, state=consortium.state)


def test_a_sum_that_leaves_one_vector_out_is_refused(consortium, closed):
    store, transcript = closed
    shorter = with_(transcript, contributions=transcript.contributions[:3])
    total = totalled(consortium, store, shorter)
    with pytest.raises(InvalidInput, match="total is of 3"):
        release_make(
            transcript, agreement=consortium.agreement, state=consortium.state, total=total
        )


def test_a_vector_that_storage_changed_is_refused(consortium, closed):
    store, transcript = closed
    digest = transcript.contributions[1].body.masked
    for body in (store[digest][:-1], store[digest] + b"\0", b"\0" * len(store[digest])):
        with pytest.raises(InvalidInput, match="masked vector"):
            totalled(consortium, Store(store, **{digest: body}), transcript)


def refusal(consortium, transcript, signed):
    rows = (signed, *transcript.contributions[1:])
    with pytest.raises(Refused) as caught:
        transcript_check(with_(transcript, contributions=rows), agreement=consortium.agreement)
    return caught.value.reason


def resigned(consortium, signed, **changes) -> Signed[Contribution]:
    identity = consortium.identities[signed.body.organization]
    return identity.sign(with_(signed.body, **changes))


def test_another_vector_under_the_same_proof(consortium, closed):
    _, transcript = closed
    signed = transcript.contributions[0]
    other = transcript.contributions[1].body.masked
    for masked in (other, None):
        changed = resigned(consortium, signed, masked=masked)
        assert refusal(consortium, transcript, changed) is Reason.PROOF_INVALID
    unsigned = with_(signed, body=with_(signed.body, masked=other))
    assert refusal(consortium, transcript, unsigned) is Reason.SIGNATURE_INVALID


def test_a_scaled_mask_key(consortium, closed):
    _, transcript = closed
    signed, victim = transcript.contributions[:2]
    key = consortium.agreement.aggregator._keys.public_key
    scaled = tuple(
        encode_bytes(
            key.encode_ciphertext(pow(key.decode_ciphertext(decode_bytes(c)), 200, key.n_squared))
        )
        for c in victim.body.ciphertexts
    )
    changed = resigned(consortium, signed, ciphertexts=scaled, proof=victim.body.proof)
    assert refusal(consortium, transcript, changed) is Reason.PROOF_INVALID


def test_a_replay_of_the_attempt_before(consortium, closed):
    _, transcript = closed
    context = consortium.context(attempt=2)
    old = transcript.contributions[0]
    _, retry = close(consortium, CAST, context)
    assert refusal(consortium, retry, old) is Reason.CONTEXT_MIXED
    moved = resigned(consortium, old, context=context.digest())
    assert refusal(consortium, retry, moved) is Reason.PROOF_INVALID


def test_a_mask_key_out_of_range_stops_the_release_by_name(consortium, monkeypatch):
    store = Store()
    context = consortium.context()
    good = [store.contribute(consortium, name, context) for name in CAST[1:]]
    forged = np.full(masking.DEGREE, 300, dtype=np.int64)
    monkeypatch.setattr(masking, "fresh_key", lambda: forged)
    bad = store.contribute(consortium, CAST[0], context)
    TRAINING.contribution_check(bad, agreement=consortium.agreement, context=context)
    transcript = Transcript(
        spec=consortium.signed_spec,
        approvals=consortium.approvals,
        context=context,
        contributions=(bad, *good),
    )
    shares = tuple(consortium.share(name, transcript) for name in CAST[1:])
    transcript = with_(transcript, shares=shares)
    with pytest.raises(MaskKeyInvalid):
        release_make(
            transcript,
            agreement=consortium.agreement,
            state=consortium.state,
            total=totalled(consortium, store, transcript),
        )


def test_a_release_holds_values_or_their_digest():
    body = {"context": "0" * 64, "cohort": "0" * 64, "state": "0" * 64}
    for wrong in ({"values": []}, {"values": [1], "sum": "0" * 64}):
        with pytest.raises(InvalidInput, match="either"):
            Release.parse(body | wrong)


def test_a_packed_job_has_no_masked_vectors():
    packed = make_consortium()
    transcript = packed.transcript()
    assert total_of(transcript, agreement=packed.agreement, source=dict().__getitem__) is None
    assert masked_bytes(agreement=packed.agreement) == 0
    changed = resigned(packed, transcript.contributions[0], masked="0" * 64)
    assert refusal(packed, transcript, changed) is Reason.PROOF_INVALID
