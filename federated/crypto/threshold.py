"""Threshold decryption of Paillier ciphertexts: the dealer, partial decryptions, combining.

Damgard and Jurik (PKC 2001, section 4.1, s = 1) after Shoup (EUROCRYPT 2000) and Fouque, Poupard
and Stern (FC 2000). n = p q of safe primes, m = (p-1)(q-1)/4; the secret d is 0 modulo m and 1
modulo n, shared by a polynomial of degree t - 1 modulo n m. Trustee i answers
c_i = c^(2 D s_i) with D = k!; any t answers give c^(4 D^2 d) = (1 + n)^(4 D^2 plaintext).

The proofs that answers are right are in share_proofs.
"""

from __future__ import annotations

import hashlib
import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import gmpy2

from federated.crypto.paillier import PublicKey
from federated.crypto.safe_primes import Progress, is_safe_prime, safe_prime
from federated.crypto.square_power import square_power
from federated.crypto.transcript import PROTOCOL
from federated.errors import InvalidInput, ProofInvalid

MAX_TRUSTEES = 255


@dataclass(frozen=True)
class VerificationKeys:
    """The public keys that check partial decryptions: v and v_i = v^(D s_i), squares mod n^2.

    ``v_i[i - 1]`` belongs to trustee i of 1..trustees; ``max_colluding`` is the design's f.
    InvalidInput for a quorum that check_quorum refuses or keys that are no units.
    """

    n: int
    v: int
    v_i: tuple[int, ...]
    threshold: int
    trustees: int
    max_colluding: int

    def __post_init__(self) -> None:
        check_quorum(self.threshold, self.trustees, self.max_colluding)
        if len(self.v_i) != self.trustees:
            raise InvalidInput(f"{len(self.v_i)} verification keys for {self.trustees} trustees")
        for value in (self.v, *self.v_i):
            self.public_key.check_ciphertext(value)

    @property
    def public_key(self) -> PublicKey:
        return PublicKey(self.n)

    @property
    def delta(self) -> int:
        return math.factorial(self.trustees)

    def of(self, index: int) -> int:
        """v_i of trustee ``index`` (from 1); InvalidInput when there is no such trustee."""
        if not 1 <= index <= self.trustees:
            raise InvalidInput(f"trustee {index} does not exist: 1 to {self.trustees} are allowed")
        return self.v_i[index - 1]

    def fingerprint(self) -> str:
        """Hex SHA-256 over the key, the quorum and every v_i; a job's spec pins it."""
        digest = hashlib.sha256(PROTOCOL + b"\0threshold-verification-keys\0")
        quorum = (self.threshold, self.trustees, self.max_colluding)
        for value in (*quorum, self.n, self.v, *self.v_i):
            encoded = value.to_bytes((value.bit_length() + 7) // 8, "big")
            digest.update(len(encoded).to_bytes(8, "big") + encoded)
        return digest.hexdigest()


@dataclass(frozen=True)
class KeyShare:
    """One trustee's share s_i of the decryption key. ``value`` is secret."""

    n: int
    threshold: int
    trustees: int
    index: int
    value: int = field(repr=False)

    @property
    def delta(self) -> int:
        return math.factorial(self.trustees)

    def encode(self) -> bytes:
        """threshold, trustees, index (2 bytes each), |n| in bytes (4), n, value in 2|n| bytes."""
        length = (self.n.bit_length() + 7) // 8
        numbers = (self.threshold, self.trustees, self.index)
        header = b"".join(number.to_bytes(2, "big") for number in numbers)
        return (
            header
            + length.to_bytes(4, "big")
            + self.n.to_bytes(length, "big")
            + self.value.to_bytes(2 * length, "big")
        )

    @classmethod
    def decode(cls, data: bytes) -> KeyShare:
        """The inverse of encode; InvalidInput for another length."""
        length = int.from_bytes(data[6:10], "big")
        if len(data) != 10 + 3 * length:
            raise InvalidInput("key share has the wrong length")
        threshold, trustees, index = (int.from_bytes(data[at : at + 2], "big") for at in (0, 2, 4))
        n = PublicKey.decode(data[10 : 10 + length]).n
        if not (1 <= index <= trustees <= MAX_TRUSTEES and 1 <= threshold <= trustees):
            raise InvalidInput("key share names an impossible trustee or quorum")
        return cls(n, threshold, trustees, index, int.from_bytes(data[10 + length :], "big"))


@dataclass(frozen=True)
class Dealt:
    """A dealt key: ``shares[i - 1]`` is for trustee i alone."""

    public_key: PublicKey
    verification: VerificationKeys
    shares: tuple[KeyShare, ...] = field(repr=False)


def check_quorum(threshold: int, trustees: int, max_colluding: int) -> None:
    """InvalidInput unless the quorum withstands ``max_colluding`` dishonest trustees.

    f trustees must not reach the threshold (t > f), and two quorums must share an honest trustee
    (2t - k > f), or a dishonest coordinator gets two cohorts of one attempt decrypted by two
    quorums that each saw one: 3-of-4 and 5-of-7 with f = 1 or 2 hold, 2-of-3 does not.
    """
    if not 1 <= threshold <= trustees <= MAX_TRUSTEES or max_colluding < 0:
        raise InvalidInput(
            f"{threshold}-of-{trustees} is no quorum: 1 <= threshold <= trustees <= "
            f"{MAX_TRUSTEES} and max_colluding >= 0 are allowed"
        )
    if threshold <= max_colluding:
        raise InvalidInput(
            f"{max_colluding} colluding trustees could decrypt alone: the threshold must exceed "
            f"max_colluding, and is {threshold}"
        )
    if 2 * threshold - trustees <= max_colluding:
        least = (trustees + max_colluding) // 2 + 1
        raise InvalidInput(
            f"{threshold}-of-{trustees} lets two quorums meet in colluding trustees only: with "
            f"max_colluding = {max_colluding} the threshold must be at least {least}"
            + (f" of {trustees}" if least <= trustees else ", so there are too few trustees")
        )


def deal(
    *,
    bits: int = 3072,
    threshold: int,
    trustees: int,
    max_colluding: int,
    progress: Progress | None = None,
) -> Dealt:
    """Make a key and its shares; the factors are dropped before it returns.

    Takes about 2 to 10 s at 3072 bits. ``progress(primes_found, candidates_tested)`` is called a
    few times a second. The caller sees all shares: run it in a ceremony on a separate machine.
    Raises InvalidInput for a quorum that check_quorum refuses or an odd number of bits.
    """
    check_quorum(threshold, trustees, max_colluding)
    if bits % 2 or bits < 512:
        raise InvalidInput(f"a key of {bits} bits: an even number from 512 on is allowed")
    p = safe_prime(bits // 2, done=0, progress=progress)
    q = p
    while q == p:
        q = safe_prime(bits // 2, done=1, progress=progress)
    if progress is not None:
        progress(2, 0)
    return deal_with_primes(
        p, q, threshold=threshold, trustees=trustees, max_colluding=max_colluding
    )


def deal_with_primes(p: int, q: int, *, threshold: int, trustees: int, max_colluding: int) -> Dealt:
    """Deal shares of the key with the safe primes p and q (else InvalidInput)."""
    check_quorum(threshold, trustees, max_colluding)
    if p == q or not (is_safe_prime(p) and is_safe_prime(q)):
        raise InvalidInput("a threshold key needs two different safe primes")
    key = PublicKey(p * q)
    m = (p - 1) // 2 * ((q - 1) // 2)
    order = key.n * m
    d = m * int(gmpy2.invert(m, key.n))
    coefficients = [d] + [secrets.randbelow(order) for _ in range(threshold - 1)]
    shares = tuple(
        KeyShare(key.n, threshold, trustees, index, _evaluate(coefficients, index, order))
        for index in range(1, trustees + 1)
    )
    # A random square generates the squares modulo n^2 but for a chance of about 2 / p.
    v = pow(_random_unit(key), 2, key.n_squared)
    delta = math.factorial(trustees)
    v_i = tuple(int(gmpy2.powmod(v, delta * share.value, key.n_squared)) for share in shares)
    return Dealt(key, VerificationKeys(key.n, v, v_i, threshold, trustees, max_colluding), shares)


def check_share(share: KeyShare, verification: VerificationKeys) -> None:
    """ProofInvalid unless the share is the one its verification key was made from."""
    quorum = (share.n, share.threshold, share.trustees)
    if quorum != (verification.n, verification.threshold, verification.trustees):
        raise ProofInvalid("key share and verification keys are of different keys or quorums")
    expected = verification.of(share.index)
    n_squared = verification.public_key.n_squared
    if gmpy2.powmod(verification.v, share.delta * share.value, n_squared) != expected:
        raise ProofInvalid(f"key share of trustee {share.index} does not match its key")


def partial_decrypt(share: KeyShare, ciphertexts: Sequence[int]) -> list[int]:
    """c^(2 D s_i) for each ciphertext, in order; InvalidInput for an impossible ciphertext."""
    key = PublicKey(share.n)
    for ciphertext in ciphertexts:
        key.check_ciphertext(ciphertext)
    exponent = 2 * share.delta * share.value
    return [square_power(ciphertext, exponent, key.n) for ciphertext in ciphertexts]


def combine(
    public_key: PublicKey,
    verification: VerificationKeys,
    partials: Mapping[int, Sequence[int]],
) -> list[int]:
    """The plaintexts, modulo n, from the partial decryptions of at least t trustees by index.

    Verify the shares first. Uses the t lowest indices. Raises InvalidInput with fewer than t, an
    unknown trustee, or different numbers of values; ProofInvalid when they do not fit together.
    """
    if public_key.n != verification.n:
        raise InvalidInput("public key and verification keys are of different keys")
    for index in partials:
        verification.of(index)
    if len(partials) < verification.threshold:
        raise InvalidInput(
            f"{len(partials)} partial decryptions: at least {verification.threshold} are needed"
        )
    indices = sorted(partials)[: verification.threshold]
    if len({len(partials[index]) for index in indices}) != 1:
        raise InvalidInput("trustees decrypted different numbers of ciphertexts")
    for index in indices:
        for value in partials[index]:
            public_key.check_ciphertext(value)
    exponents = [2 * _lagrange(index, indices, verification.delta) for index in indices]
    return [
        _recover(public_key, verification.delta, exponents, column)
        for column in zip(*(partials[index] for index in indices), strict=True)
    ]


def _recover(key: PublicKey, delta: int, exponents: Sequence[int], column: Sequence[int]) -> int:
    modulus = gmpy2.mpz(key.n_squared)
    product = gmpy2.mpz(1)
    for value, exponent in zip(column, exponents, strict=True):
        product = product * gmpy2.powmod(value, exponent, modulus) % modulus
    if product % key.n != 1:
        raise ProofInvalid("partial decryptions do not fit together: verify each share's proof")
    scaled = (product - 1) // key.n
    return int(scaled * gmpy2.invert(4 * delta * delta, key.n) % key.n)


def _lagrange(index: int, indices: Sequence[int], delta: int) -> int:
    """D * prod(-j / (index - j)), an integer (Shoup, section 2)."""
    numerator = delta
    denominator = 1
    for other in indices:
        if other != index:
            numerator *= -other
            denominator *= index - other
    return numerator // denominator


def _evaluate(coefficients: Sequence[int], at: int, modulus: int) -> int:
    result = 0
    for coefficient in reversed(coefficients):
        result = (result * at + coefficient) % modulus
    return result


def _random_unit(key: PublicKey) -> int:
    while True:
        candidate = secrets.randbelow(key.n_squared)
        if math.gcd(candidate, key.n) == 1:
            return candidate
