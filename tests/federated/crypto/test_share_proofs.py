"""What a dishonest trustee, or whoever carries its answers, may try."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federated.crypto import share_proofs, threshold
from federated.crypto.threshold import KeyShare, VerificationKeys
from federated.errors import InvalidInput, ProofInvalid
from tests.federated.crypto.small_key import small_key

DEALT = small_key().dealt
KEY, VERIFICATION = DEALT.public_key, DEALT.verification
SHARE = DEALT.shares[1]
CIPHERTEXTS = [KEY.encrypt(m).ciphertext for m in (5, -6, 7)]
PARTIALS = threshold.partial_decrypt(SHARE, CIPHERTEXTS)
PROOF = share_proofs.prove_shares(SHARE, VERIFICATION, CIPHERTEXTS, PARTIALS, context=b"cohort")


def refused(ciphertexts=CIPHERTEXTS, partials=PARTIALS, proof=PROOF, index=2, context=b"cohort"):
    with pytest.raises(ProofInvalid):
        share_proofs.verify_shares(
            VERIFICATION, index, ciphertexts, partials, proof, context=context
        )


@pytest.mark.parametrize("count", [1, 2, 3])
def test_honest_answers_hold(count):
    ciphertexts, partials = CIPHERTEXTS[:count], PARTIALS[:count]
    proof = share_proofs.prove_shares(SHARE, VERIFICATION, ciphertexts, partials, context=b"c")
    assert len(proof) == share_proofs.share_proof_bytes(VERIFICATION)
    share_proofs.verify_shares(VERIFICATION, 2, ciphertexts, partials, proof, context=b"c")


@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_wrong_partial_at_any_position_is_refused_even_with_a_new_proof(position):
    wrong = list(PARTIALS)
    wrong[position] = wrong[position] * 4 % KEY.n_squared
    refused(partials=wrong)
    proof = share_proofs.prove_shares(SHARE, VERIFICATION, CIPHERTEXTS, wrong, context=b"cohort")
    refused(partials=wrong, proof=proof)


def test_errors_that_cancel_in_a_plain_product_are_refused():
    wrong = list(PARTIALS)
    wrong[0] = wrong[0] * 4 % KEY.n_squared
    wrong[1] = wrong[1] * pow(4, -1, KEY.n_squared) % KEY.n_squared
    proof = share_proofs.prove_shares(SHARE, VERIFICATION, CIPHERTEXTS, wrong, context=b"cohort")
    refused(partials=wrong, proof=proof)


def test_errors_that_cancel_under_the_honest_answers_coefficients_are_refused():
    statement = share_proofs._statement(VERIFICATION, 2, CIPHERTEXTS, PARTIALS, b"cohort")
    _, known, _ = share_proofs._coefficients(statement, 3)
    wrong = list(PARTIALS)
    wrong[0] = wrong[0] * pow(4, known, KEY.n_squared) % KEY.n_squared
    wrong[1] = wrong[1] * pow(4, -1, KEY.n_squared) % KEY.n_squared
    proof = share_proofs.prove_shares(SHARE, VERIFICATION, CIPHERTEXTS, wrong, context=b"cohort")
    refused(partials=wrong, proof=proof)


def test_a_wrong_share_is_refused():
    wrong = KeyShare(SHARE.n, SHARE.threshold, SHARE.trustees, 2, SHARE.value + 1)
    partials = threshold.partial_decrypt(wrong, CIPHERTEXTS)
    proof = share_proofs.prove_shares(wrong, VERIFICATION, CIPHERTEXTS, partials, context=b"cohort")
    refused(partials=partials, proof=proof)


def test_a_swapped_trustee_index_is_refused():
    refused(index=3)
    # The same with a proof that trustee 3 makes for trustee 2's answers.
    proof = share_proofs.prove_shares(
        DEALT.shares[2], VERIFICATION, CIPHERTEXTS, PARTIALS, context=b"cohort"
    )
    refused(proof=proof, index=3)
    with pytest.raises(InvalidInput, match="trustee 0"):
        share_proofs.verify_shares(VERIFICATION, 0, CIPHERTEXTS, PARTIALS, PROOF, context=b"cohort")


def test_a_share_for_another_ciphertext_is_refused():
    other = [KEY.encrypt(5).ciphertext, *CIPHERTEXTS[1:]]
    refused(ciphertexts=other)
    refused(ciphertexts=[CIPHERTEXTS[1], CIPHERTEXTS[0], CIPHERTEXTS[2]])


def test_another_context_is_refused():
    refused(context=b"another cohort")


def test_other_verification_keys_are_refused():
    v_i = list(VERIFICATION.v_i)
    v_i[3] = v_i[3] * 4 % KEY.n_squared
    other = VerificationKeys(KEY.n, VERIFICATION.v, tuple(v_i), 3, 4, 1)
    assert other.fingerprint() != VERIFICATION.fingerprint()
    with pytest.raises(ProofInvalid):
        share_proofs.verify_shares(other, 2, CIPHERTEXTS, PARTIALS, PROOF, context=b"cohort")


@given(st.integers(0, 8 * len(PROOF) - 1))
@settings(max_examples=60, deadline=None)
def test_flipped_proof_bits_are_refused(bit):
    flipped = bytearray(PROOF)
    flipped[bit // 8] ^= 1 << (bit % 8)
    refused(proof=bytes(flipped))


@pytest.mark.parametrize("proof", [b"", PROOF[:-1], PROOF + b"\0", b"\xff" * len(PROOF)])
def test_a_proof_of_another_length_or_range_is_refused(proof):
    refused(proof=proof)


@pytest.mark.parametrize("value", [0, KEY.n, small_key().p, KEY.n_squared])
def test_impossible_values_are_refused(value):
    for ciphertexts, partials in (
        ([value, *CIPHERTEXTS[1:]], PARTIALS),
        (CIPHERTEXTS, [value, *PARTIALS[1:]]),
    ):
        with pytest.raises(InvalidInput):
            share_proofs.verify_shares(
                VERIFICATION, 2, ciphertexts, partials, PROOF, context=b"cohort"
            )


def test_numbers_that_differ_are_refused():
    for ciphertexts, partials in (([], []), (CIPHERTEXTS, PARTIALS[:2])):
        with pytest.raises(InvalidInput):
            share_proofs.verify_shares(
                VERIFICATION, 2, ciphertexts, partials, PROOF, context=b"cohort"
            )
        with pytest.raises(InvalidInput):
            share_proofs.prove_shares(SHARE, VERIFICATION, ciphertexts, partials, context=b"cohort")


def test_the_sign_of_an_answer_does_not_change_the_plaintext():
    # Proofs are in squares, so -c_i verifies with a proof of its own; combining squares it too.
    negated = [KEY.n_squared - c for c in PARTIALS]
    proof = share_proofs.prove_shares(SHARE, VERIFICATION, CIPHERTEXTS, negated, context=b"cohort")
    share_proofs.verify_shares(VERIFICATION, 2, CIPHERTEXTS, negated, proof, context=b"cohort")
    partials = {s.index: threshold.partial_decrypt(s, CIPHERTEXTS) for s in DEALT.shares[2:]}
    plaintexts = threshold.combine(KEY, VERIFICATION, {2: negated, **partials})
    assert plaintexts == [5, KEY.n - 6, 7]
