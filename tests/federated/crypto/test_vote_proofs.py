"""One-of-K proofs: complete, of fixed length, bound to all of their statement, sound in squares."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federated.crypto import vote_proofs
from federated.crypto.vote_proofs import Statement, VoteProof, find_invalid, prove, verify
from federated.errors import InvalidInput, ProofInvalid

from .small_key import small_key

KEY = small_key().dealt.public_key
PLAINTEXTS = (0, 1, -7, 1 << 90, -(1 << 200))


def claim(chosen: int, plaintexts=PLAINTEXTS, organization="northwind", position=2):
    encryption = KEY.encrypt(plaintexts[chosen])
    statement = Statement(encryption.ciphertext, plaintexts, b"c" * 32, organization, position)
    return statement, prove(KEY, statement, chosen, encryption)


@pytest.fixture(scope="module")
def made():
    return claim(1)


@pytest.mark.parametrize("chosen", range(len(PLAINTEXTS)))
def test_every_branch_can_be_proven(chosen):
    statement, proof = claim(chosen)
    verify(KEY, statement, proof)


@given(
    plaintexts=st.lists(st.integers(-(2**900), 2**900), min_size=1, max_size=6, unique=True),
    data=st.data(),
)
@settings(max_examples=15, deadline=None)
def test_any_plaintexts_and_their_encoding(plaintexts, data):
    chosen = data.draw(st.integers(0, len(plaintexts) - 1))
    statement, proof = claim(chosen, tuple(plaintexts))
    encoded = proof.encode(KEY)
    assert len(encoded) == vote_proofs.vote_proof_bytes(KEY, len(plaintexts))
    verify(KEY, statement, VoteProof.decode(KEY, encoded, len(plaintexts)))


@pytest.mark.parametrize(
    "change",
    [
        {"context": b"d" * 32},
        {"organization": "summit"},
        {"position": 3},
        {"plaintexts": (0, 1, -7, 1 << 90, 5)},
        {"plaintexts": (1, 0, -7, 1 << 90, -(1 << 200))},
        {"plaintexts": PLAINTEXTS[:4]},
    ],
)
def test_a_proof_is_bound_to_its_statement(made, change):
    statement, proof = made
    with pytest.raises(ProofInvalid):
        verify(KEY, replace(statement, **change), proof)


def test_every_number_of_a_proof_counts(made):
    statement, proof = made
    for name in ("commitments", "challenges", "answers"):
        for at in range(len(PLAINTEXTS)):
            values = list(getattr(proof, name))
            values[at] += 1
            assert find_invalid(KEY, [(statement, replace(proof, **{name: tuple(values)}))]) == [0]


def test_numbers_out_of_range(made):
    statement, proof = made
    n2 = KEY.n_squared
    for name, value in (
        ("commitments", 0),
        ("commitments", n2),
        ("commitments", proof.commitments[0] + n2),
        ("commitments", KEY.n),
        ("challenges", 1 << 256),
        ("challenges", -1),
        ("answers", -1),
        ("answers", 1 << (KEY.exponent_bits + 513)),
    ):
        wrong = replace(proof, **{name: (value, *getattr(proof, name)[1:])})
        assert find_invalid(KEY, [(statement, wrong)]) == [0], (name, value)


def test_an_impossible_ciphertext(made):
    statement, proof = made
    for ciphertext in (0, KEY.n_squared, KEY.n):
        with pytest.raises(InvalidInput, match="ciphertext"):
            find_invalid(KEY, [(replace(statement, ciphertext=ciphertext), proof)])


def test_another_length(made):
    _, proof = made
    data = proof.encode(KEY)
    for wrong in (data[:-1], data + b"\0", b""):
        with pytest.raises(ProofInvalid, match="bytes"):
            VoteProof.decode(KEY, wrong, len(PLAINTEXTS))


def test_the_wrong_ones_of_a_batch_are_found():
    claims = [claim(at % 5, organization=f"org_{at}") for at in range(9)]
    assert find_invalid(KEY, claims) == []
    for at in (0, 4, 8):
        statement, proof = claims[at]
        claims[at] = statement, replace(proof, answers=(proof.answers[0] + 1, *proof.answers[1:]))
    claims[5] = (claims[5][0], claims[6][1])
    assert find_invalid(KEY, claims) == [0, 4, 5, 8]


def test_an_element_of_order_two_neither_breaks_nor_makes_a_proof(made):
    """-a in place of a commitment: another hash, so another sum of challenges, each time."""
    statement, proof = made
    minus = (KEY.n_squared - proof.commitments[0], *proof.commitments[1:])
    for _ in range(8):
        assert find_invalid(KEY, [(statement, replace(proof, commitments=minus))]) == [0]


def test_a_commitment_off_by_a_root_of_one_shows_the_same_vote_each_time():
    """Made before the hash it passes always, not in half of all batches: squares decide, and the
    ciphertext still encrypts a plaintext of the list."""
    encryption = KEY.encrypt(PLAINTEXTS[0])
    statement = Statement(encryption.ciphertext, PLAINTEXTS[:1], b"c" * 32, "northwind", 0)
    nonce = 12345
    commitment = KEY.n_squared - KEY.h0_power(nonce)
    x = statement.challenge(KEY, [commitment])
    proof = VoteProof((commitment,), (x,), (nonce + x * encryption.exponent,))
    assert {tuple(find_invalid(KEY, [(statement, proof)])) for _ in range(16)} == {()}


def test_a_branch_that_does_not_exist():
    encryption = KEY.encrypt(1)
    statement = Statement(encryption.ciphertext, PLAINTEXTS, b"c" * 32, "northwind", 0)
    with pytest.raises(InvalidInput, match="branch 5 of 5"):
        prove(KEY, statement, 5, encryption)
