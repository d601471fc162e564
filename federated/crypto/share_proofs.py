"""Proofs that a trustee's partial decryptions are right, one for all ciphertexts of a request.

Equality of discrete logarithms, log_v(v_i) = log_{c^4}(c_i^2) = D s_i, in the squares modulo n^2
(Shoup, EUROCRYPT 2000, section 2.2; Damgard and Jurik, PKC 2001, section 4.1). Several ciphertexts
are folded with 128-bit coefficients drawn after all answers are fixed. The squares have no element
of small order, so neither the folding nor the challenge can be passed by a wrong answer; and only
c_i^2 counts when shares are combined.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import gmpy2

from federated.crypto.fixed_base import FixedBase
from federated.crypto.multi_power import multi_power
from federated.crypto.paillier import NONCE_SLACK
from federated.crypto.square_power import square_power
from federated.crypto.threshold import KeyShare, VerificationKeys
from federated.crypto.transcript import Transcript
from federated.errors import InvalidInput, ProofInvalid

_DOMAIN = b"threshold-partial-decryption"
_CHALLENGE_BYTES = 16


def prove_shares(
    share: KeyShare,
    verification: VerificationKeys,
    ciphertexts: Sequence[int],
    partials: Sequence[int],
    *,
    context: bytes,
) -> bytes:
    """A proof, of fixed length, that ``partials`` is partial_decrypt(share, ciphertexts).

    It is bound to ``context``, the trustee's index and the verification keys. InvalidInput when
    there is no ciphertext, or numbers differ.
    """
    nonce = secrets.randbits(_secret_bits(verification) + NONCE_SLACK)
    return _prove_with(share, verification, ciphertexts, partials, context=context, nonce=nonce)


def _prove_with(
    share: KeyShare,
    verification: VerificationKeys,
    ciphertexts: Sequence[int],
    partials: Sequence[int],
    *,
    context: bytes,
    nonce: int,
) -> bytes:
    _check_shape(verification, ciphertexts, partials)
    transcript = _statement(verification, share.index, ciphertexts, partials, context)
    coefficients = _coefficients(transcript, len(ciphertexts))
    modulus = gmpy2.mpz(verification.public_key.n_squared)
    base = _fold(ciphertexts, coefficients, 4, modulus)
    a = _v_comb(verification).power(nonce)
    b = square_power(base, nonce, verification.n)
    challenge = _challenge(transcript, a, b)
    response = nonce + challenge * share.delta * share.value
    return challenge.to_bytes(_CHALLENGE_BYTES, "big") + response.to_bytes(
        _response_bytes(verification), "big"
    )


def verify_shares(
    verification: VerificationKeys,
    index: int,
    ciphertexts: Sequence[int],
    partials: Sequence[int],
    proof: bytes,
    *,
    context: bytes,
) -> None:
    """ProofInvalid unless ``partials`` are trustee ``index``'s answers for ``ciphertexts``.

    Raises InvalidInput for an unknown trustee, impossible values or numbers that differ.
    """
    v_i = verification.of(index)
    _check_shape(verification, ciphertexts, partials)
    if len(proof) != share_proof_bytes(verification):
        raise ProofInvalid(
            f"share proof has {len(proof)} bytes: {share_proof_bytes(verification)} are allowed"
        )
    challenge = int.from_bytes(proof[:_CHALLENGE_BYTES], "big")
    response = int.from_bytes(proof[_CHALLENGE_BYTES:], "big")
    comb = _v_comb(verification)
    if response.bit_length() > comb.bits:
        raise ProofInvalid(f"share proof of trustee {index} has a response out of range")
    transcript = _statement(verification, index, ciphertexts, partials, context)
    coefficients = _coefficients(transcript, len(ciphertexts))
    modulus = gmpy2.mpz(verification.public_key.n_squared)
    base = _fold(ciphertexts, coefficients, 4, modulus)
    answer = _fold(partials, coefficients, 2, modulus)
    a = comb.power(response) * gmpy2.powmod(v_i, -challenge, modulus) % modulus
    b = square_power(base, response, verification.n)
    b = b * gmpy2.powmod(answer, -challenge, modulus) % modulus
    if _challenge(transcript, int(a), int(b)) != challenge:
        raise ProofInvalid(
            f"partial decryption of trustee {index} is not proven for these ciphertexts in this "
            "context",
            trustee=index,
        )


def share_proof_bytes(verification: VerificationKeys) -> int:
    """Length of a proof, whatever the number of ciphertexts."""
    return _CHALLENGE_BYTES + _response_bytes(verification)


def _check_shape(
    verification: VerificationKeys, ciphertexts: Sequence[int], partials: Sequence[int]
) -> None:
    if not ciphertexts or len(ciphertexts) != len(partials):
        raise InvalidInput("a share proof needs one answer for each of one or more ciphertexts")
    key = verification.public_key
    for value in (*ciphertexts, *partials):
        key.check_ciphertext(value)


def _statement(
    verification: VerificationKeys,
    index: int,
    ciphertexts: Sequence[int],
    partials: Sequence[int],
    context: bytes,
) -> Transcript:
    transcript = Transcript(_DOMAIN)
    transcript.append("verification", verification.fingerprint())
    transcript.append("trustee", index)
    transcript.append("context", context)
    transcript.append("count", len(ciphertexts))
    for ciphertext, partial in zip(ciphertexts, partials, strict=True):
        transcript.append("ciphertext", ciphertext)
        transcript.append("partial", partial)
    return transcript


def _coefficients(transcript: Transcript, count: int) -> list[int]:
    """1 for the first ciphertext, which costs no soundness, and a random one for each other."""
    return [1] + [transcript.challenge("fold") for _ in range(count - 1)]


def _fold(values: Sequence[int], coefficients: Sequence[int], power: int, modulus: Any) -> Any:
    return gmpy2.powmod(multi_power(values, coefficients, modulus), power, modulus)


def _challenge(transcript: Transcript, a: int, b: int) -> int:
    transcript.append("a", a)
    transcript.append("b", b)
    return transcript.challenge("x", 8 * _CHALLENGE_BYTES)


def _secret_bits(verification: VerificationKeys) -> int:
    """Bits of D s_i at most: s_i is below n (p-1)(q-1)/4."""
    return 2 * verification.n.bit_length() + verification.delta.bit_length()


def _response_bytes(verification: VerificationKeys) -> int:
    return (_secret_bits(verification) + NONCE_SLACK + 1 + 7) // 8


@lru_cache(maxsize=8)
def _comb(v: int, modulus: int, bits: int) -> FixedBase:
    return FixedBase(v, modulus, bits)


def _v_comb(verification: VerificationKeys) -> FixedBase:
    bits = _secret_bits(verification) + NONCE_SLACK + 1
    return _comb(verification.v, verification.public_key.n_squared, bits)
