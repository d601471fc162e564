from itertools import combinations

import pytest

from federated.crypto import threshold
from federated.crypto.safe_primes import is_safe_prime, safe_prime
from federated.crypto.threshold import KeyShare, check_quorum
from federated.errors import InvalidInput, ProofInvalid
from tests.federated.crypto.small_key import small_key

DEALT = small_key().dealt
KEY = DEALT.public_key
MESSAGES = [0, 42, KEY.n - 7]
CIPHERTEXTS = [KEY.encrypt(m).ciphertext for m in MESSAGES]
PARTIALS = {share.index: threshold.partial_decrypt(share, CIPHERTEXTS) for share in DEALT.shares}


def combine(indices):
    chosen = {index: PARTIALS[index] for index in indices}
    return threshold.combine(KEY, DEALT.verification, chosen)


@pytest.mark.parametrize("quorum", [*combinations(range(1, 5), 3), (1, 2, 3, 4)])
def test_every_quorum_decrypts(quorum):
    assert combine(quorum) == MESSAGES


def test_the_sum_decrypts():
    product = [KEY.multiply(CIPHERTEXTS)]
    partials = {s.index: threshold.partial_decrypt(s, product) for s in DEALT.shares[1:]}
    assert threshold.combine(KEY, DEALT.verification, partials) == [35]


@pytest.mark.parametrize("few", [(), (1,), (2, 4)])
def test_fewer_than_the_threshold_decrypt_nothing(few):
    with pytest.raises(InvalidInput, match="at least 3"):
        combine(few)


def test_too_few_shares_are_not_enough_even_for_a_lower_threshold():
    # Interpolating with two of the three points misses the secret, so the check on L fails.
    lower = threshold.VerificationKeys(
        KEY.n, DEALT.verification.v, DEALT.verification.v_i[:2], 2, 2, 1
    )
    with pytest.raises(ProofInvalid):
        threshold.combine(KEY, lower, {1: PARTIALS[1], 2: PARTIALS[2]})


def test_a_wrong_partial_does_not_go_through():
    wrong = {**PARTIALS, 2: [c * 2 % KEY.n_squared for c in PARTIALS[2]]}
    with pytest.raises(ProofInvalid):
        threshold.combine(KEY, DEALT.verification, wrong)


def test_partials_of_unknown_trustees_or_of_other_numbers_are_refused():
    with pytest.raises(InvalidInput, match="trustee 5"):
        threshold.combine(KEY, DEALT.verification, {**PARTIALS, 5: PARTIALS[1]})
    with pytest.raises(InvalidInput, match="different numbers"):
        threshold.combine(KEY, DEALT.verification, {**PARTIALS, 1: PARTIALS[1][:1]})


@pytest.mark.parametrize("c", [0, small_key().p, KEY.n, KEY.n_squared])
def test_a_trustee_decrypts_no_impossible_ciphertext(c):
    with pytest.raises(InvalidInput):
        threshold.partial_decrypt(DEALT.shares[0], [CIPHERTEXTS[0], c])


def test_each_share_matches_its_verification_key_alone():
    for share in DEALT.shares:
        threshold.check_share(share, DEALT.verification)
    share = DEALT.shares[0]
    with pytest.raises(ProofInvalid, match="trustee 2"):
        threshold.check_share(
            KeyShare(share.n, share.threshold, share.trustees, 2, share.value), DEALT.verification
        )
    with pytest.raises(ProofInvalid):
        threshold.check_share(
            KeyShare(share.n, 2, share.trustees, 1, share.value), DEALT.verification
        )


def test_a_share_survives_its_encoding_and_stays_out_of_its_repr():
    share = DEALT.shares[2]
    assert KeyShare.decode(share.encode()) == share
    assert str(share.value) not in repr(share) and str(share.value) not in repr(DEALT)
    for wrong in (b"", share.encode()[:-1], share.encode() + b"\0"):
        with pytest.raises(InvalidInput):
            KeyShare.decode(wrong)
    with pytest.raises(InvalidInput, match="impossible trustee"):
        KeyShare.decode(KeyShare(share.n, 3, 4, 5, share.value).encode())


@pytest.mark.parametrize(("t", "k", "f"), [(3, 4, 1), (5, 7, 2), (2, 2, 1), (3, 3, 2), (1, 1, 0)])
def test_sound_quorums_are_allowed(t, k, f):
    check_quorum(t, k, f)


@pytest.mark.parametrize(
    ("t", "k", "f", "message"),
    [
        (2, 3, 1, "at least 3"),
        (2, 4, 1, "at least 3"),
        (3, 5, 1, "at least 4"),
        (4, 7, 2, "at least 5"),
        (2, 4, 2, "decrypt alone"),
        (5, 4, 1, "no quorum"),
        (0, 4, 0, "no quorum"),
        (3, 4, -1, "no quorum"),
    ],
)
def test_split_or_colluding_quorums_are_refused(t, k, f, message):
    with pytest.raises(InvalidInput, match=message):
        threshold.deal(bits=512, threshold=t, trustees=k, max_colluding=f)


def test_dealing_with_bad_primes_is_refused():
    p = small_key().p
    for q in (p, small_key().q + 2, 2**127 - 1):
        with pytest.raises(InvalidInput, match="safe primes"):
            threshold.deal_with_primes(p, q, threshold=3, trustees=4, max_colluding=1)


@pytest.mark.parametrize("bits", [64, 97, 256])
def test_a_safe_prime_has_its_length_and_its_two_highest_bits(bits):
    p = safe_prime(bits)
    assert is_safe_prime(p)
    assert p.bit_length() == bits and p >> (bits - 2) == 0b11


def test_dealing_reports_progress_and_a_fresh_key_decrypts():
    reports = []
    dealt = threshold.deal(
        bits=512,
        threshold=5,
        trustees=7,
        max_colluding=2,
        progress=lambda found, tested: reports.append((found, tested)),
    )
    assert reports[-1] == (2, 0)
    assert dealt.public_key.bits == 512
    c = [dealt.public_key.encrypt(-99).ciphertext]
    partials = {s.index: threshold.partial_decrypt(s, c) for s in dealt.shares[2:]}
    plaintexts = threshold.combine(dealt.public_key, dealt.verification, partials)
    assert plaintexts == [dealt.public_key.n - 99]


@pytest.mark.slow
def test_a_key_of_full_length_decrypts():
    dealt = threshold.deal(threshold=3, trustees=4, max_colluding=1)
    key = dealt.public_key
    assert key.bits == 3072
    c = [key.encrypt(2**3000).ciphertext]
    partials = {s.index: threshold.partial_decrypt(s, c) for s in dealt.shares[:3]}
    assert threshold.combine(key, dealt.verification, partials) == [2**3000]
