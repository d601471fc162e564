"""Paillier's public key with the encryption of Damgard, Jurik and Nielsen.

c = (1 + m n) h0^e mod n^2, with e of half the modulus' length ("A generalization of Paillier's
public-key system with applications to electronic voting", IJIS 2010, section 4.2, s = 1). The
ciphertexts are ordinary Paillier ciphertexts: phe decrypts them, and they add by multiplication.
"""

from __future__ import annotations

import hashlib
import math
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import gmpy2

from federated.crypto.fixed_base import FixedBase
from federated.crypto.transcript import PROTOCOL
from federated.errors import InvalidInput
from federated.extras import needs

MIN_BITS = 512
# A proof's nonce is this much longer than the secret it hides; one bit more holds the sum.
NONCE_SLACK = 256


@dataclass(frozen=True)
class Encryption:
    """A ciphertext and the exponent that made it; the exponent stays with whoever encrypted."""

    ciphertext: int
    exponent: int = field(repr=False)


@dataclass(frozen=True)
class PublicKey:
    """A Paillier modulus ``n``; InvalidInput if it is even or shorter than 512 bits."""

    n: int

    def __post_init__(self) -> None:
        if self.n.bit_length() < MIN_BITS or self.n % 2 == 0:
            raise InvalidInput(f"Paillier modulus must be odd and of at least {MIN_BITS} bits")

    @property
    def bits(self) -> int:
        return self.n.bit_length()

    @cached_property
    def n_squared(self) -> int:
        return self.n * self.n

    @property
    def exponent_bits(self) -> int:
        """Length of an encryption exponent: half the modulus (DJN, section 4.2)."""
        return self.bits // 2

    @property
    def plaintext_bytes(self) -> int:
        return (self.bits + 7) // 8

    @property
    def ciphertext_bytes(self) -> int:
        return (2 * self.bits + 7) // 8

    def encode(self) -> bytes:
        """n, big-endian, as long as it needs to be."""
        return self.n.to_bytes(self.plaintext_bytes, "big")

    @classmethod
    def decode(cls, data: bytes) -> PublicKey:
        """The inverse of encode; InvalidInput for leading zeros or an impossible modulus."""
        if data[:1] == b"\0":
            raise InvalidInput("Paillier modulus is encoded with leading zeros")
        return cls(int.from_bytes(data, "big"))

    def fingerprint(self) -> str:
        """Hex SHA-256 of the tagged encoding; people compare it out of band."""
        return hashlib.sha256(PROTOCOL + b"\0paillier-public-key\0" + self.encode()).hexdigest()

    @property
    def h0(self) -> int:
        """The n-th residue that encryptions randomize with; anyone derives it from n alone."""
        return _derive_h0(self.n)

    def h0_power(self, exponent: int) -> int:
        """h0**exponent mod n^2, for exponents as long as a proof's response."""
        return _proving_comb(self.n).power(exponent)

    def encrypt(self, m: int, *, exponent: int | None = None) -> Encryption:
        """Encrypt the integer m modulo n (negative values wrap).

        ``exponent`` is for known-answer tests; by default it comes from the system's randomness.
        Raises InvalidInput for an exponent out of range.
        """
        if exponent is None:
            exponent = secrets.randbits(self.exponent_bits)
        elif exponent < 0 or exponent.bit_length() > self.exponent_bits:
            raise InvalidInput(f"exponent out of range: 0 to {self.exponent_bits} bits are allowed")
        ciphertext = self.plaintext_power(m) * _encrypting_comb(self.n).power(exponent)
        return Encryption(ciphertext % self.n_squared, exponent)

    def plaintext_power(self, m: int) -> int:
        """(1 + n)**m mod n^2, which is 1 + m n."""
        return (1 + m % self.n * self.n) % self.n_squared

    def check_ciphertext(self, c: int) -> None:
        """InvalidInput unless 0 < c < n^2 and c is invertible."""
        if not 0 < c < self.n_squared:
            raise InvalidInput("ciphertext out of range: between 1 and n^2 - 1 is allowed")
        if math.gcd(c, self.n) != 1:
            raise InvalidInput("ciphertext shares a factor with the modulus")

    def multiply(self, ciphertexts: Iterable[int]) -> int:
        """The ciphertext of the sum of the plaintexts; InvalidInput when there is none."""
        product: Any = None
        modulus = gmpy2.mpz(self.n_squared)
        for ciphertext in ciphertexts:
            product = gmpy2.mpz(ciphertext) if product is None else product * ciphertext % modulus
        if product is None:
            raise InvalidInput("there is no ciphertext to add up")
        return int(product)

    def encode_ciphertext(self, c: int) -> bytes:
        """c big-endian in ``ciphertext_bytes`` bytes."""
        return c.to_bytes(self.ciphertext_bytes, "big")

    def decode_ciphertext(self, data: bytes) -> int:
        """The checked ciphertext; InvalidInput for another length or an impossible value."""
        if len(data) != self.ciphertext_bytes:
            raise InvalidInput(
                f"ciphertext has {len(data)} bytes: {self.ciphertext_bytes} are allowed"
            )
        ciphertext = int.from_bytes(data, "big")
        self.check_ciphertext(ciphertext)
        return ciphertext

    def to_phe(self) -> Any:
        """The key as a ``phe.PaillierPublicKey``. Raises MissingExtra without [train]."""
        return _phe().PaillierPublicKey(self.n)

    @classmethod
    def from_phe(cls, key: Any) -> PublicKey:
        """The key of a ``phe.PaillierPublicKey``.

        Raises InvalidInput for anything else or an impossible modulus, MissingExtra without
        [train].
        """
        if not isinstance(key, _phe().PaillierPublicKey):
            raise InvalidInput(f"key: {type(key).__name__} is not a phe PaillierPublicKey")
        return cls(int(key.n))

    def number_to_phe(self, ciphertext: int, *, exponent: int = 0) -> Any:
        """A ciphertext of the integer m as a ``phe.EncryptedNumber`` of m * 16**exponent.

        phe decodes m up to n/3 as m, from 2n/3 as m - n, and raises OverflowError between them:
        read a plaintext of packed slots with ``raw_decrypt``. Raises InvalidInput for what is no
        ciphertext under this key, MissingExtra without [train].
        """
        self.check_ciphertext(ciphertext)
        return _phe().EncryptedNumber(self.to_phe(), ciphertext, exponent)

    def number_from_phe(self, number: Any, *, exponent: int = 0) -> int:
        """The ciphertext of a ``phe.EncryptedNumber`` whose exponent is the one that is expected.

        A ciphertext here has no exponent of its own, so every number of a sum must have the same:
        phe gives an int 0, and a float one that depends on its size unless ``precision`` is set.
        A sum or product that phe has not randomized again is randomized here, so the integer may
        differ from the one that went out. Raises InvalidInput for another type, key or exponent,
        or an impossible ciphertext; MissingExtra without [train].
        """
        if not isinstance(number, _phe().EncryptedNumber):
            raise InvalidInput(f"number: {type(number).__name__} is not a phe EncryptedNumber")
        if number.public_key.n != self.n:
            raise InvalidInput("number: encrypted under another key")
        if number.exponent != exponent:
            raise InvalidInput(
                f"number: its exponent is {number.exponent}, {exponent} is allowed; encrypt with "
                f"precision=16**{exponent}, or call decrease_exponent_to({exponent})"
            )
        self.check_ciphertext(int(number.ciphertext(be_secure=False)))  # phe checks none itself
        return int(number.ciphertext())


def _phe() -> Any:
    with needs("train"):
        from phe import paillier
    return paillier


@lru_cache(maxsize=8)
def _derive_h0(n: int) -> int:
    """x from SHAKE256(n), then (x^2)^n mod n^2; x is 128 bits longer than n to be uniform."""
    length = (n.bit_length() + 7) // 8
    seed = PROTOCOL + b"\0paillier-h0\0" + n.to_bytes(length, "big")
    x = int.from_bytes(hashlib.shake_256(seed).digest(length + 16), "big") % n
    if math.gcd(x, n) != 1:
        raise InvalidInput("Paillier modulus has a factor that can be found: refuse this key")
    return int(gmpy2.powmod(x * x % n, n, n * n))


@lru_cache(maxsize=8)
def _encrypting_comb(n: int) -> FixedBase:
    key = PublicKey(n)
    return FixedBase(key.h0, key.n_squared, key.exponent_bits, rows=9)


@lru_cache(maxsize=8)
def _proving_comb(n: int) -> FixedBase:
    key = PublicKey(n)
    return FixedBase(key.h0, key.n_squared, key.exponent_bits + NONCE_SLACK + 1)
