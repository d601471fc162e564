"""One proof that whoever made a contribution's ciphertexts knew all their plaintexts.

For c_j = (1 + m_j n) h0^(e_j) mod n^2, j = 1..l, a Schnorr-like proof with one commitment
a = (1 + m' n) h0^e', a 128-bit challenge x_j a ciphertext, and two answers,
z_m = m' + sum(x_j m_j) mod n and z_e = e' + sum(x_j e_j) over the integers; accept when
(1 + z_m n) h0^z_e = a prod(c_j^x_j). Its length does not depend on l.

Why it is a proof of knowledge. Rewind a prover to the hash that gives x_j and answer that one
anew, all others the same: two accepted answers give (1 + n)^(d z_m) h0^(d z_e) = c_j^(d x_j) with
0 < |d x_j| < 2^128, smaller than any factor of n, so m_j = d z_m / d x_j modulo n; and so for
each j (coordinate-wise special soundness: Fenzi, Moghaddas and Nguyen, eprint 2023/846; the
two-answer step is Cramer, Damgard and Nielsen's, EUROCRYPT 2001, section 8.1, with DJN's h0). What
raised to d x_j gives 1 has an order prime to n and is an n-th residue: it changes no plaintext.

Why it shows nothing else. z_m is uniform; e' has 256 bits more than an exponent, 128 more than
x_j e_j, so that z_e is within l 2^-128 of independent of them.

The challenges cover the key, the context, the organization and every ciphertext at its position:
a ciphertext that was copied, scaled, moved, or made for another round fails.

What it does not prove: that a plaintext is small, was clipped, or carries honest noise; that the
randomizer is a power of h0 rather than some other n-th residue; or that the prover is the
organization named, which the signature over the contribution says.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from federated.crypto.multi_power import multi_power
from federated.crypto.paillier import NONCE_SLACK, Encryption, PublicKey
from federated.crypto.transcript import Transcript
from federated.errors import InvalidInput, ProofInvalid

_DOMAIN = b"paillier-plaintexts-knowledge"


@dataclass(frozen=True)
class PlaintextProof:
    """Commitment (mod n^2), plaintext response (mod n) and exponent response (an integer)."""

    commitment: int
    plaintext_response: int
    exponent_response: int

    def encode(self, key: PublicKey) -> bytes:
        """Commitment, plaintext response, exponent response, big-endian; fixed lengths."""
        return (
            key.encode_ciphertext(self.commitment)
            + self.plaintext_response.to_bytes(key.plaintext_bytes, "big")
            + self.exponent_response.to_bytes(_exponent_bytes(key), "big")
        )

    @classmethod
    def decode(cls, key: PublicKey, data: bytes) -> PlaintextProof:
        """The inverse of encode; ProofInvalid for any other length."""
        if len(data) != proof_bytes(key):
            raise ProofInvalid(f"proof has {len(data)} bytes: {proof_bytes(key)} are allowed")
        first = key.ciphertext_bytes
        second = first + key.plaintext_bytes
        parts = (data[:first], data[first:second], data[second:])
        return cls(*(int.from_bytes(part, "big") for part in parts))


def proof_bytes(key: PublicKey) -> int:
    """Length of an encoded proof, whatever the number of ciphertexts."""
    return key.ciphertext_bytes + key.plaintext_bytes + _exponent_bytes(key)


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
    nonce = (secrets.randbelow(key.n), secrets.randbits(key.exponent_bits + NONCE_SLACK))
    return _prove_with(
        key, plaintexts, encryptions, nonce, context=context, organization=organization
    )


def _prove_with(
    key: PublicKey,
    plaintexts: Sequence[int],
    encryptions: Sequence[Encryption],
    nonce: tuple[int, int],
    *,
    context: bytes,
    organization: str,
) -> PlaintextProof:
    if not plaintexts or len(plaintexts) != len(encryptions):
        raise InvalidInput("a proof needs one encryption for each of one or more plaintexts")
    m_nonce, e_nonce = nonce
    commitment = key.plaintext_power(m_nonce) * key.h0_power(e_nonce) % key.n_squared
    ciphertexts = [encryption.ciphertext for encryption in encryptions]
    xs = _challenges(key, ciphertexts, commitment, context, organization)
    z_m, z_e = m_nonce, e_nonce
    for x, m, encryption in zip(xs, plaintexts, encryptions, strict=True):
        z_m = (z_m + x * m) % key.n
        z_e += x * encryption.exponent
    return PlaintextProof(commitment, z_m, z_e)


def verify(
    key: PublicKey,
    ciphertexts: Sequence[int],
    proof: PlaintextProof,
    *,
    context: bytes,
    organization: str,
) -> None:
    """Check a contribution's proof; at 3072 bits about 3 ms and 0.4 ms a ciphertext.

    Raises InvalidInput for an impossible ciphertext and ProofInvalid for a proof that does not
    hold for these ciphertexts, this context and this organization.
    """
    if not ciphertexts:
        raise ProofInvalid("a proof needs one or more ciphertexts")
    for ciphertext in ciphertexts:
        key.check_ciphertext(ciphertext)
    in_range = (
        0 < proof.commitment < key.n_squared
        and 0 <= proof.plaintext_response < key.n
        and proof.exponent_response >= 0
        and proof.exponent_response.bit_length() <= key.exponent_bits + NONCE_SLACK + 1
    )
    if not in_range or not _holds(key, ciphertexts, proof, context, organization):
        raise ProofInvalid(
            f"proof of plaintext knowledge does not hold for the {len(ciphertexts)} ciphertexts of "
            f"{organization} in this context",
            organization=organization,
        )


def _holds(
    key: PublicKey,
    ciphertexts: Sequence[int],
    proof: PlaintextProof,
    context: bytes,
    organization: str,
) -> bool:
    xs = _challenges(key, ciphertexts, proof.commitment, context, organization)
    answered = key.plaintext_power(proof.plaintext_response) * key.h0_power(proof.exponent_response)
    committed = proof.commitment * multi_power(ciphertexts, xs, key.n_squared)
    return (answered - committed) % key.n_squared == 0


def _challenges(
    key: PublicKey,
    ciphertexts: Sequence[int],
    commitment: int,
    context: bytes,
    organization: str,
) -> list[int]:
    """Returns one challenge per ciphertext, each a separate hash of all that is proven."""
    transcript = Transcript(_DOMAIN)
    transcript.append("n", key.n)
    transcript.append("context", context)
    transcript.append("organization", organization)
    transcript.append("count", len(ciphertexts))
    for position, ciphertext in enumerate(ciphertexts):
        transcript.append("position", position)
        transcript.append("ciphertext", ciphertext)
    transcript.append("commitment", commitment)
    return [transcript.challenge("x") for _ in ciphertexts]


def _exponent_bytes(key: PublicKey) -> int:
    return (key.exponent_bits + NONCE_SLACK + 1 + 7) // 8
