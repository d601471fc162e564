"""What an attacker may try with another's ciphertexts, one test each."""

from dataclasses import replace

import gmpy2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federated.crypto import proofs
from federated.crypto.paillier import Encryption, PublicKey
from federated.crypto.proofs import PlaintextProof
from federated.errors import InvalidInput, ProofInvalid
from tests.federated.crypto.small_key import small_key

KEY = small_key().dealt.public_key
PLAINTEXTS = [17, -4, 0]
ENCRYPTIONS = [KEY.encrypt(m) for m in PLAINTEXTS]
CIPHERTEXTS = [encryption.ciphertext for encryption in ENCRYPTIONS]
BOUND = {"context": b"round 1", "organization": "northwind"}
PROOF = proofs.prove(KEY, PLAINTEXTS, ENCRYPTIONS, **BOUND)


def refused(ciphertexts=CIPHERTEXTS, proof=PROOF, **changed):
    with pytest.raises(ProofInvalid) as caught:
        proofs.verify(KEY, ciphertexts, proof, **{**BOUND, **changed})
    return caught.value


def test_an_honest_proof_holds_after_encoding():
    encoded = PROOF.encode(KEY)
    assert len(encoded) == proofs.proof_bytes(KEY)
    decoded = PlaintextProof.decode(KEY, encoded)
    assert decoded == PROOF
    proofs.verify(KEY, CIPHERTEXTS, decoded, **BOUND)


@given(st.integers())
@settings(max_examples=20, deadline=None)
def test_any_plaintext_can_be_proven(m):
    encryption = KEY.encrypt(m)
    proof = proofs.prove(KEY, [m], [encryption], **BOUND)
    proofs.verify(KEY, [encryption.ciphertext], proof, **BOUND)


def test_a_wrong_plaintext_cannot_be_proven():
    refused(proof=proofs.prove(KEY, [18, -4, 0], ENCRYPTIONS, **BOUND))


def test_a_scaled_ciphertext_with_the_victims_proof_is_refused():
    scaled = [pow(c, 200, KEY.n_squared) for c in CIPHERTEXTS]
    refused(scaled)


def test_a_scaled_ciphertext_with_a_scaled_proof_is_refused():
    # Without the ciphertext in the challenge, scaling everything by k would verify.
    k = 200
    scaled_proof = PlaintextProof(
        pow(PROOF.commitment, k, KEY.n_squared),
        PROOF.plaintext_response * k % KEY.n,
        PROOF.exponent_response * k,
    )
    refused([pow(c, k, KEY.n_squared) for c in CIPHERTEXTS], scaled_proof)


def test_a_simulated_proof_is_refused():
    # Responses first, the challenges of any commitment, then the commitment that would fit them.
    xs = proofs._challenges(KEY, CIPHERTEXTS, PROOF.commitment, *BOUND.values())
    fitted = KEY.plaintext_power(5) * KEY.h0_power(7)
    for c, x in zip(CIPHERTEXTS, xs, strict=True):
        fitted = fitted * pow(c, -x, KEY.n_squared) % KEY.n_squared
    refused(proof=PlaintextProof(fitted, 5, 7))


def test_errors_that_cancel_under_equal_coefficients_are_refused():
    # One factor moved from a ciphertext to the next leaves the product of all as it was.
    factor = KEY.encrypt(3).ciphertext
    moved = [
        CIPHERTEXTS[0] * factor % KEY.n_squared,
        CIPHERTEXTS[1] * pow(factor, -1, KEY.n_squared) % KEY.n_squared,
        CIPHERTEXTS[2],
    ]
    refused(moved)
    encryptions = [Encryption(c, e.exponent) for c, e in zip(moved, ENCRYPTIONS, strict=True)]
    refused(moved, proofs.prove(KEY, PLAINTEXTS, encryptions, **BOUND))


@pytest.mark.parametrize("position", [0, 1, 2])
def test_two_accepted_answers_to_one_commitment_give_the_plaintext(monkeypatch, position):
    # The extractor of the docstring: the challenge of one position answered anew, all else equal.
    first = [11, 22, 33]
    second = [x + 777 * (j == position) for j, x in enumerate(first)]
    answers = []
    for challenges in (first, second):
        monkeypatch.setattr(proofs, "_challenges", lambda *_, given=challenges: given)
        proof = proofs._prove_with(KEY, PLAINTEXTS, ENCRYPTIONS, (99, 1 << 700), **BOUND)
        proofs.verify(KEY, CIPHERTEXTS, proof, **BOUND)
        answers.append(proof)
    assert answers[0].commitment == answers[1].commitment
    difference = answers[1].plaintext_response - answers[0].plaintext_response
    extracted = difference * pow(777, -1, KEY.n) % KEY.n
    assert extracted == PLAINTEXTS[position] % KEY.n


def test_a_copied_contribution_is_refused_for_another_organization():
    assert refused(organization="lakeside").fields["organization"] == "lakeside"


def test_another_context_is_refused():
    refused(context=b"round 2")


def test_swapped_positions_are_refused():
    refused([CIPHERTEXTS[1], CIPHERTEXTS[0], CIPHERTEXTS[2]])


def test_a_ciphertext_more_or_less_is_refused():
    refused(CIPHERTEXTS[:2])
    refused([*CIPHERTEXTS, CIPHERTEXTS[0]])
    refused([*CIPHERTEXTS, 1])


def test_a_rerandomized_ciphertext_is_refused():
    refused([KEY.multiply([CIPHERTEXTS[0], KEY.encrypt(0).ciphertext]), *CIPHERTEXTS[1:]])


@given(st.integers(0, 8 * proofs.proof_bytes(KEY) - 1))
@settings(max_examples=60, deadline=None)
def test_flipped_proof_bits_are_refused(bit):
    encoded = bytearray(PROOF.encode(KEY))
    encoded[bit // 8] ^= 1 << (bit % 8)
    refused(proof=PlaintextProof.decode(KEY, bytes(encoded)))


def test_equal_responses_in_another_representation_are_refused():
    refused(proof=replace(PROOF, plaintext_response=PROOF.plaintext_response + KEY.n))
    refused(proof=replace(PROOF, commitment=PROOF.commitment + KEY.n_squared))
    refused(proof=replace(PROOF, exponent_response=-PROOF.exponent_response))


@pytest.mark.parametrize("change", [lambda b: b[:-1], lambda b: b + b"\0", lambda b: b""])
def test_a_proof_of_another_length_is_refused(change):
    with pytest.raises(ProofInvalid, match="bytes"):
        PlaintextProof.decode(KEY, change(PROOF.encode(KEY)))


@pytest.mark.parametrize("c", [0, KEY.n, small_key().p, KEY.n_squared + CIPHERTEXTS[0]])
def test_an_impossible_ciphertext_is_refused(c):
    with pytest.raises(InvalidInput):
        proofs.verify(KEY, [c, *CIPHERTEXTS[1:]], PROOF, **BOUND)


def test_nothing_proves_nothing():
    with pytest.raises(InvalidInput):
        proofs.prove(KEY, [], [], **BOUND)
    with pytest.raises(ProofInvalid):
        proofs.verify(KEY, [], PROOF, **BOUND)


def test_a_proof_under_another_key_is_refused():
    other = PublicKey(int(gmpy2.next_prime(KEY.n)))
    with pytest.raises(ProofInvalid):
        proofs.verify(other, CIPHERTEXTS, PROOF, **BOUND)
