"""Proofs that whoever made a contribution's ciphertexts knew their plaintexts.

A Schnorr-like proof for c = (1 + m n) h0^e mod n^2, per ciphertext, with one Fiat-Shamir
challenge x for the whole contribution: commit a = (1 + m' n) h0^e', answer z_m = m' + x m mod n
and z_e = e' + x e over the integers; accept when (1 + z_m n) h0^z_e = a c^x. Two answers to one
commitment give x_delta * m modulo n, and x_delta is smaller than any factor of n, so m follows
(Cramer, Damgard, Nielsen, EUROCRYPT 2001, section 8.1, with DJN's h0).

The challenge covers the key, the context, the organization and every ciphertext at its position:
a ciphertext that was copied, scaled, moved, or made for another round fails.

What it does not prove: that a plaintext is small, was clipped, or carries honest noise; that the
randomizer is a power of h0 rather than some other n-th residue; or that the prover is the
organization named, which the signature over the contribution says.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

import gmpy2

from federated.crypto.paillier import NONCE_SLACK, Encryption, PublicKey
from federated.crypto.transcript import Transcript
from federated.errors import InvalidInput, ProofInvalid

_DOMAIN = b"paillier-plaintext-knowledge"


@dataclass(frozen=True)
class PlaintextProof:
    """Commitments (mod n^2) and responses, one of each a ciphertext, in the ciphertexts' order."""

    commitments: tuple[int, ...]
    plaintext_responses: tuple[int, ...]
    exponent_responses: tuple[int, ...]

    def encode(self, key: PublicKey) -> bytes:
        """For each ciphertext: commitment, plaintext response, exponent response; fixed lengths."""
        return b"".join(
            key.encode_ciphertext(a)
            + z_m.to_bytes(key.plaintext_bytes, "big")
            + z_e.to_bytes(_exponent_bytes(key), "big")
            for a, z_m, z_e in zip(
                self.commitments, self.plaintext_responses, self.exponent_responses, strict=True
            )
        )

    @classmethod
    def decode(cls, key: PublicKey, data: bytes, count: int) -> PlaintextProof:
        """The proof for ``count`` ciphertexts; ProofInvalid for any other length."""
        parts = (key.ciphertext_bytes, key.plaintext_bytes, _exponent_bytes(key))
        if len(data) != proof_bytes(key, count):
            raise ProofInvalid(
                f"proof has {len(data)} bytes: {proof_bytes(key, count)} are allowed "
                f"for {count} ciphertexts"
            )
        columns: tuple[list[int], ...] = ([], [], [])
        at = 0
        for _ in range(count):
            for column, length in zip(columns, parts, strict=True):
                column.append(int.from_bytes(data[at : at + length], "big"))
                at += length
        return cls(*(tuple(column) for column in columns))


def proof_bytes(key: PublicKey, count: int) -> int:
    """Length of an encoded proof for ``count`` ciphertexts."""
    return count * (key.ciphertext_bytes + key.plaintext_bytes + _exponent_bytes(key))


def prove(
    key: PublicKey,
    plaintexts: Sequence[int],
    encryptions: Sequence[Encryption],
    *,
    context: bytes,
    organization: str,
) -> PlaintextProof:
    """Prove knowledge of ``plaintexts`` (integers modulo n), which ``encryptions`` encrypt.

    Raises InvalidInput when there is none, or when the numbers of the two differ.
    """
    nonces = [
        (secrets.randbelow(key.n), secrets.randbits(key.exponent_bits + NONCE_SLACK))
        for _ in plaintexts
    ]
    return _prove_with(
        key, plaintexts, encryptions, nonces, context=context, organization=organization
    )


def _prove_with(
    key: PublicKey,
    plaintexts: Sequence[int],
    encryptions: Sequence[Encryption],
    nonces: Sequence[tuple[int, int]],
    *,
    context: bytes,
    organization: str,
) -> PlaintextProof:
    if not plaintexts or len(plaintexts) != len(encryptions):
        raise InvalidInput("a proof needs one encryption for each of one or more plaintexts")
    commitments = tuple(
        key.plaintext_power(m_nonce) * key.h0_power(e_nonce) % key.n_squared
        for m_nonce, e_nonce in nonces
    )
    ciphertexts = [encryption.ciphertext for encryption in encryptions]
    x = _challenge(key, ciphertexts, commitments, context, organization)
    secrets_ = zip(plaintexts, encryptions, nonces, strict=True)
    answers = [
        ((m_nonce + x * m) % key.n, e_nonce + x * encryption.exponent)
        for m, encryption, (m_nonce, e_nonce) in secrets_
    ]
    z_m, z_e = zip(*answers, strict=True)
    return PlaintextProof(commitments, z_m, z_e)


def verify(
    key: PublicKey,
    ciphertexts: Sequence[int],
    proof: PlaintextProof,
    *,
    context: bytes,
    organization: str,
) -> None:
    """Check a contribution's proof; about 4 ms a ciphertext at 3072 bits.

    Raises InvalidInput for an impossible ciphertext and ProofInvalid, naming the position, for
    a proof that does not hold for these ciphertexts, context and organization.
    """
    if not ciphertexts or not (
        len(ciphertexts)
        == len(proof.commitments)
        == len(proof.plaintext_responses)
        == len(proof.exponent_responses)
    ):
        raise ProofInvalid("a proof holds one commitment and two responses for each ciphertext")
    for ciphertext in ciphertexts:
        key.check_ciphertext(ciphertext)
    x = _challenge(key, ciphertexts, proof.commitments, context, organization)
    modulus = gmpy2.mpz(key.n_squared)
    z_e_limit = key.exponent_bits + NONCE_SLACK + 1
    for position, (c, a, z_m, z_e) in enumerate(
        zip(
            ciphertexts,
            proof.commitments,
            proof.plaintext_responses,
            proof.exponent_responses,
            strict=True,
        )
    ):
        in_range = (
            0 < a < key.n_squared
            and 0 <= z_m < key.n
            and z_e >= 0
            and z_e.bit_length() <= z_e_limit
        )
        if not in_range or (
            key.plaintext_power(z_m) * key.h0_power(z_e) % modulus
            != a * gmpy2.powmod(c, x, modulus) % modulus
        ):
            raise ProofInvalid(
                f"proof of plaintext knowledge does not hold for ciphertext {position} of "
                f"{organization} in this context",
                position=position,
                organization=organization,
            )


def _challenge(
    key: PublicKey,
    ciphertexts: Sequence[int],
    commitments: Sequence[int],
    context: bytes,
    organization: str,
) -> int:
    transcript = Transcript(_DOMAIN)
    transcript.append("n", key.n)
    transcript.append("context", context)
    transcript.append("organization", organization)
    transcript.append("count", len(ciphertexts))
    for position, (ciphertext, commitment) in enumerate(zip(ciphertexts, commitments, strict=True)):
        transcript.append("position", position)
        transcript.append("ciphertext", ciphertext)
        transcript.append("commitment", commitment)
    return transcript.challenge("x")


def _exponent_bytes(key: PublicKey) -> int:
    return (key.exponent_bits + NONCE_SLACK + 1 + 7) // 8
