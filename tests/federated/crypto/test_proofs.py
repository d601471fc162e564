"""What an attacker may try with another's ciphertexts, one test each."""

from dataclasses import replace

import gmpy2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federated.crypto import proofs
from federated.crypto.paillier import PublicKey
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
    assert len(encoded) == proofs.proof_bytes(KEY, 3)
    decoded = PlaintextProof.decode(KEY, encoded, 3)
    assert decoded == PROOF
    proofs.verify(KEY, CIPHERTEXTS, decoded, **BOUND)


@given(st.integers())
@settings(max_examples=20)
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
        tuple(pow(a, k, KEY.n_squared) for a in PROOF.commitments),
        tuple(z * k % KEY.n for z in PROOF.plaintext_responses),
        tuple(z * k % (1 << 700) for z in PROOF.exponent_responses),
    )
    refused([pow(c, k, KEY.n_squared) for c in CIPHERTEXTS], scaled_proof)


def test_a_simulated_proof_is_refused():
    # Responses first, the challenge of any commitments, then the commitments that would fit it.
    x = proofs._challenge(KEY, CIPHERTEXTS, PROOF.commitments, *BOUND.values())
    fitted = tuple(
        KEY.plaintext_power(5) * KEY.h0_power(7) * pow(c, -x, KEY.n_squared) % KEY.n_squared
        for c in CIPHERTEXTS
    )
    refused(proof=PlaintextProof(fitted, (5, 5, 5), (7, 7, 7)))


def test_a_copied_contribution_is_refused_for_another_organization():
    assert refused(organization="lakeside").fields["organization"] == "lakeside"


def test_another_context_is_refused():
    refused(context=b"round 2")


def test_swapped_positions_are_refused():
    swapped = [CIPHERTEXTS[1], CIPHERTEXTS[0], CIPHERTEXTS[2]]
    refused(swapped)

    def swap(values):
        return (values[1], values[0], values[2])

    refused(
        swapped,
        PlaintextProof(
            swap(PROOF.commitments),
            swap(PROOF.plaintext_responses),
            swap(PROOF.exponent_responses),
        ),
    )


def test_a_ciphertext_more_or_less_is_refused():
    refused(CIPHERTEXTS[:2])
    refused([*CIPHERTEXTS, CIPHERTEXTS[0]])
    shorter = PlaintextProof(
        PROOF.commitments[:2], PROOF.plaintext_responses[:2], PROOF.exponent_responses[:2]
    )
    refused(CIPHERTEXTS[:2], shorter)


def test_a_rerandomized_ciphertext_is_refused():
    refused([KEY.multiply([CIPHERTEXTS[0], KEY.encrypt(0).ciphertext]), *CIPHERTEXTS[1:]])


def test_the_position_of_the_broken_part_is_named():
    broken = list(PROOF.plaintext_responses)
    broken[1] = (broken[1] + 1) % KEY.n
    assert refused(proof=replace(PROOF, plaintext_responses=tuple(broken))).fields["position"] == 1


@given(st.integers(0, 8 * proofs.proof_bytes(KEY, 3) - 1))
@settings(max_examples=60)
def test_flipped_proof_bits_are_refused(bit):
    encoded = bytearray(PROOF.encode(KEY))
    encoded[bit // 8] ^= 1 << (bit % 8)
    refused(proof=PlaintextProof.decode(KEY, bytes(encoded), 3))


def test_equal_responses_in_another_representation_are_refused():
    shifted = tuple(z + KEY.n for z in PROOF.plaintext_responses)
    refused(proof=replace(PROOF, plaintext_responses=shifted))
    shifted = tuple(a + KEY.n_squared for a in PROOF.commitments)
    refused(proof=replace(PROOF, commitments=shifted))


@pytest.mark.parametrize("change", [lambda b: b[:-1], lambda b: b + b"\0", lambda b: b""])
def test_a_proof_of_another_length_is_refused(change):
    with pytest.raises(ProofInvalid, match="bytes"):
        PlaintextProof.decode(KEY, change(PROOF.encode(KEY)), 3)


@pytest.mark.parametrize("c", [0, KEY.n, small_key().p, KEY.n_squared + CIPHERTEXTS[0]])
def test_an_impossible_ciphertext_is_refused(c):
    with pytest.raises(InvalidInput):
        proofs.verify(KEY, [c, *CIPHERTEXTS[1:]], PROOF, **BOUND)


def test_nothing_proves_nothing():
    with pytest.raises(InvalidInput):
        proofs.prove(KEY, [], [], **BOUND)
    with pytest.raises(ProofInvalid):
        proofs.verify(KEY, [], PlaintextProof((), (), ()), **BOUND)


def test_a_proof_under_another_key_is_refused():
    other = PublicKey(int(gmpy2.next_prime(KEY.n)))
    with pytest.raises(ProofInvalid):
        proofs.verify(other, CIPHERTEXTS, PROOF, **BOUND)
