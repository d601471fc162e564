"""One-of-K proofs: a ciphertext encrypts one of K public plaintexts; they hide which.

Cramer, Damgard and Schoenmakers' OR composition (CRYPTO '94) of K proofs that c / (1 + n)^P_j is a
power of h0 (Damgard and Jurik's proof of an n-th power, PKC 2001, section 4.2, with DJN's h0 so
that the answer is an exponent). For c = (1 + P_i n) h0^r the prover draws s, and for every other
j an answer w_j and a challenge e_j; the commitments are

    a_i = h0^s,    a_j = h0^w_j (c / (1 + n)^P_j)^-e_j.

The 256-bit challenge x is a hash of domain, key, context, organization, metric position,
plaintexts, ciphertext and all commitments; e_i = x - sum(e_j) mod 2^256 and w_i = s + e_i r over
the integers. Accept when the e_j add up to x modulo 2^256 and, for each j,
h0^w_j = a_j (c / (1 + n)^P_j)^e_j.

Soundness. Two accepted answers to two challenges x of the same commitments differ in some e_j:
(c / (1 + n)^P_j)^d = h0^(d w_j) with 0 < |d| < 2^256, less than either factor of n (keys of
1,024 bits and more). The right side is an n-th residue, so d (m - P_j) = 0 modulo n for the
plaintext m of c, hence m = P_j. A prover that asks the random oracle Q times for a ciphertext of
another plaintext passes with probability Q / 2^256.

Zero knowledge. Given x, all but one branch are made by the simulator itself and the one is
distributed as they are: e_i is uniform because the others are, w_i is s, of 256 bits more than
e_i r, plus e_i r, so within 2^-255 of uniform. Which branch is the real one does not show, nor
does r.

Verification in squares. The equations are multiplied up with random 128-bit coefficients. The
group modulo n^2 has elements of order 2 (-1 is one): a commitment off by such a factor would
cancel out of a product whenever its coefficient is even, that is in half of all batches. Squaring
both sides removes them; the squares have order n p' q' without small factors (p, q are safe
primes), where a wrong equation passes with probability 2^-128. Soundness is as above, with 2d in
place of d.

What it does not prove: that the vote is what was measured; that the maker is the organization named
(the signature over the submission says so); or that r is short. A copied, scaled or re-randomized
ciphertext needs a proof of its own, whose making needs the exponent.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import gmpy2

from federated.crypto.fixed_base import FixedBase
from federated.crypto.multi_power import multi_power
from federated.crypto.paillier import NONCE_SLACK, Encryption, PublicKey
from federated.crypto.transcript import Transcript
from federated.errors import InvalidInput, ProofInvalid

_DOMAIN = b"campaign-vote"
CHALLENGE_BITS = 256
_COEFFICIENT_BITS = 128
_CHALLENGES = 1 << CHALLENGE_BITS


@dataclass(frozen=True)
class Statement:
    """That ``ciphertext`` encrypts one of ``plaintexts`` (integers modulo n), and for whom.

    ``position`` is the metric's place in the campaign, ``context`` the digest of the run's context.
    """

    ciphertext: int
    plaintexts: Sequence[int]
    context: bytes
    organization: str
    position: int

    def challenge(self, key: PublicKey, commitments: Iterable[int]) -> int:
        transcript = Transcript(_DOMAIN)
        transcript.append("n", key.n)
        transcript.append("context", self.context)
        transcript.append("organization", self.organization)
        transcript.append("position", self.position)
        transcript.append("count", len(self.plaintexts))
        for plaintext in self.plaintexts:
            transcript.append("plaintext", plaintext % key.n)
        transcript.append("ciphertext", self.ciphertext)
        for commitment in commitments:
            transcript.append("commitment", commitment)
        return transcript.challenge("x", CHALLENGE_BITS)


@dataclass(frozen=True)
class VoteProof:
    """K commitments (mod n^2), K challenges (256 bits), K answers (integers), in branch order."""

    commitments: tuple[int, ...]
    challenges: tuple[int, ...]
    answers: tuple[int, ...]

    def encode(self, key: PublicKey) -> bytes:
        """All commitments, all challenges, all answers; big-endian, fixed lengths."""
        return b"".join(
            value.to_bytes(length, "big")
            for values, length in zip(
                (self.commitments, self.challenges, self.answers), _lengths(key), strict=True
            )
            for value in values
        )

    @classmethod
    def decode(cls, key: PublicKey, data: bytes, count: int) -> VoteProof:
        """The inverse of encode for ``count`` branches; ProofInvalid for any other length."""
        if len(data) != vote_proof_bytes(key, count):
            raise ProofInvalid(
                f"vote proof has {len(data)} bytes: {vote_proof_bytes(key, count)} are allowed"
            )
        parts, at = [], 0
        for length in _lengths(key):
            parts.append(tuple(_integers(data[at : at + count * length], length)))
            at += count * length
        return cls(*parts)


def vote_proof_bytes(key: PublicKey, count: int) -> int:
    """Length of an encoded proof of ``count`` branches."""
    return count * sum(_lengths(key))


def prove(key: PublicKey, statement: Statement, chosen: int, encryption: Encryption) -> VoteProof:
    """Prove that ``encryption``, the statement's ciphertext, encrypts plaintext ``chosen``.

    Raises InvalidInput where it does not, so that no proof is made that would not hold. About two
    fixed-base powers a branch: 64 branches at 3072 bits take about 0.2 s.
    """
    count = len(statement.plaintexts)
    others = tuple(
        (secrets.randbits(CHALLENGE_BITS), secrets.randbits(_answer_bits(key) - 1))
        for _ in range(count)
    )
    nonce = secrets.randbits(_answer_bits(key) - 1)
    return _prove_with(key, statement, chosen, encryption, others=others, nonce=nonce)


def _prove_with(
    key: PublicKey,
    statement: Statement,
    chosen: int,
    encryption: Encryption,
    *,
    others: Sequence[tuple[int, int]],
    nonce: int,
) -> VoteProof:
    if not 0 <= chosen < len(statement.plaintexts):
        raise InvalidInput(f"branch {chosen} of {len(statement.plaintexts)} does not exist")
    made = key.encrypt(statement.plaintexts[chosen], exponent=encryption.exponent)
    if not made.ciphertext == encryption.ciphertext == statement.ciphertext:
        raise InvalidInput("the ciphertext does not encrypt the chosen plaintext")
    comb = _comb(key.n)
    inverse = int(gmpy2.invert(statement.ciphertext, key.n_squared))
    # The table for c costs about as much as 40 powers save.
    powers = FixedBase(inverse, key.n_squared, CHALLENGE_BITS, rows=6)
    commitments = []
    for branch, (plaintext, (e, w)) in enumerate(zip(statement.plaintexts, others, strict=True)):
        if branch == chosen:
            commitments.append(comb.power(nonce))
            continue
        value = comb.power(w) * powers.power(e) % key.n_squared
        commitments.append(value * key.plaintext_power(plaintext * e) % key.n_squared)
    challenges = [e for e, _ in others]
    challenges[chosen] = 0
    x = statement.challenge(key, commitments)
    challenges[chosen] = (x - sum(challenges)) % _CHALLENGES
    answers = [w for _, w in others]
    answers[chosen] = nonce + challenges[chosen] * encryption.exponent
    return VoteProof(tuple(commitments), tuple(challenges), tuple(answers))


def verify(key: PublicKey, statement: Statement, proof: VoteProof) -> None:
    """Check one proof. Raises InvalidInput for an impossible ciphertext, else ProofInvalid."""
    if find_invalid(key, [(statement, proof)]):
        raise ProofInvalid(
            f"the vote of {statement.organization} at position {statement.position} is not proven "
            f"to be one of the {len(statement.plaintexts)} grid points in this context",
            organization=statement.organization,
            position=statement.position,
        )


def find_invalid(key: PublicKey, claims: Sequence[tuple[Statement, VoteProof]]) -> list[int]:
    """The positions in ``claims`` whose proofs do not hold; empty if all do.

    All equations in one product: about 15 multiplications a branch for hundreds of claims. Only
    where the product fails are halves checked, so that one wrong proof costs a few further passes.
    Raises InvalidInput for an impossible ciphertext.
    """
    for statement, _ in claims:
        key.check_ciphertext(statement.ciphertext)
    wrong = [at for at, claim in enumerate(claims) if not _well_formed(key, *claim)]
    right = sorted(set(range(len(claims))) - set(wrong))
    return sorted(wrong + list(_search(key, claims, right)))


def _search(
    key: PublicKey, claims: Sequence[tuple[Statement, VoteProof]], at: list[int]
) -> Iterator[int]:
    if not at or _holds(key, [claims[position] for position in at]):
        return
    if len(at) == 1:
        yield at[0]
        return
    middle = len(at) // 2
    yield from _search(key, claims, at[:middle])
    yield from _search(key, claims, at[middle:])


def _well_formed(key: PublicKey, statement: Statement, proof: VoteProof) -> bool:
    """Ranges, units and the sum of the challenges: all but the equations."""
    count = len(statement.plaintexts)
    if {len(proof.commitments), len(proof.challenges), len(proof.answers)} != {count}:
        return False
    in_range = (
        all(0 < a < key.n_squared for a in proof.commitments)
        and all(0 <= e < _CHALLENGES for e in proof.challenges)
        and all(w >= 0 and w.bit_length() <= _answer_bits(key) for w in proof.answers)
    )
    if not in_range:
        return False
    product = gmpy2.mpz(1)
    for commitment in proof.commitments:
        product = product * commitment % key.n
    if math.gcd(int(product), key.n) != 1:
        return False
    x = statement.challenge(key, proof.commitments)
    return sum(proof.challenges) % _CHALLENGES == x


def _holds(key: PublicKey, claims: Sequence[tuple[Statement, VoteProof]]) -> bool:
    """h0^(2 sum r w) (1+n)^(2 sum r e P) = prod a^(2r) prod c^(2 sum r e), r random."""
    h0_exponent, plaintext = 0, 0
    bases: list[int] = []
    exponents: list[int] = []
    ciphertexts: list[int] = []
    folded: list[int] = []
    for statement, proof in claims:
        fold = 0
        for a, e, w, p in zip(
            proof.commitments,
            proof.challenges,
            proof.answers,
            statement.plaintexts,
            strict=True,
        ):
            r = secrets.randbits(_COEFFICIENT_BITS)
            bases.append(a)
            exponents.append(r)
            h0_exponent += r * w
            plaintext += r * e * p
            fold += r * e
        ciphertexts.append(statement.ciphertext)
        folded.append(fold)
    modulus = key.n_squared
    right = multi_power(bases, exponents, modulus) * multi_power(ciphertexts, folded, modulus)
    left = gmpy2.powmod(key.h0, h0_exponent, modulus) * key.plaintext_power(plaintext)
    return int((left * left - right * right) % modulus) == 0


def _answer_bits(key: PublicKey) -> int:
    return key.exponent_bits + CHALLENGE_BITS + NONCE_SLACK + 1


def _lengths(key: PublicKey) -> tuple[int, int, int]:
    return key.ciphertext_bytes, CHALLENGE_BITS // 8, (_answer_bits(key) + 7) // 8


def _integers(data: bytes, length: int) -> Iterator[int]:
    for at in range(0, len(data), length):
        yield int.from_bytes(data[at : at + length], "big")


@lru_cache(maxsize=8)
def _comb(n: int) -> FixedBase:
    key = PublicKey(n)
    return FixedBase(key.h0, key.n_squared, _answer_bits(key), rows=9)
