import secrets

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federated.crypto.fixed_base import FixedBase
from federated.crypto.paillier import PublicKey
from federated.errors import InvalidInput
from tests.federated.crypto.small_key import small_key

KEY = small_key().dealt.public_key


def test_the_key_survives_its_encoding():
    assert PublicKey.decode(KEY.encode()) == KEY
    with pytest.raises(InvalidInput):
        PublicKey.decode(b"\0" + KEY.encode())


def test_h0_is_an_nth_residue_of_the_key():
    # An n-th residue has order dividing (p - 1)(q - 1); only who knows the factors can see it.
    totient = (small_key().p - 1) * (small_key().q - 1)
    assert KEY.h0 != 1
    assert pow(KEY.h0, totient, KEY.n_squared) == 1


def test_encryptions_differ_and_hide_their_exponent():
    one, other = KEY.encrypt(3), KEY.encrypt(3)
    assert one.ciphertext != other.ciphertext
    assert str(one.exponent) not in repr(one)


@pytest.mark.parametrize("bits_over", [0, 1])
def test_an_exponent_of_more_than_half_the_modulus_is_refused(bits_over):
    exponent = (1 << (KEY.exponent_bits + bits_over)) - 1
    if bits_over:
        with pytest.raises(InvalidInput):
            KEY.encrypt(1, exponent=exponent)
    else:
        assert KEY.encrypt(1, exponent=exponent).exponent == exponent


@pytest.mark.parametrize(
    "c",
    [0, -1, KEY.n_squared, KEY.n_squared + 1, KEY.n, small_key().p, small_key().q * 3],
    ids=["zero", "negative", "n^2", "over", "n", "p", "3q"],
)
def test_a_ciphertext_out_of_range_or_not_coprime_is_refused(c):
    with pytest.raises(InvalidInput):
        KEY.check_ciphertext(c)
    if c >= 0:
        with pytest.raises(InvalidInput):
            KEY.decode_ciphertext(c.to_bytes(KEY.ciphertext_bytes + 1, "big")[1:])


def test_ciphertexts_have_one_length():
    encoded = KEY.encode_ciphertext(1)
    assert len(encoded) == KEY.ciphertext_bytes == 2 * 1024 // 8
    assert KEY.decode_ciphertext(encoded) == 1
    for wrong in (encoded[1:], encoded + b"\0", b""):
        with pytest.raises(InvalidInput):
            KEY.decode_ciphertext(wrong)


def test_nothing_to_add_is_refused():
    with pytest.raises(InvalidInput):
        KEY.multiply([])


@pytest.mark.parametrize("n", [0, 15, (1 << 510) + 1, 1 << 1024])
def test_an_impossible_modulus_is_refused(n):
    with pytest.raises(InvalidInput):
        PublicKey(n)


@given(st.integers(1, 700), st.data())
@settings(max_examples=50, deadline=None)
def test_the_comb_is_a_power(bits, data):
    modulus = secrets.randbits(200) | 1 << 200 | 1
    base = secrets.randbelow(modulus)
    exponent = data.draw(st.integers(0, (1 << bits) - 1))
    assert FixedBase(base, modulus, bits).power(exponent) == pow(base, exponent, modulus)


@pytest.mark.parametrize("exponent", [-1, 1 << 64])
def test_the_comb_refuses_exponents_it_was_not_made_for(exponent):
    with pytest.raises(InvalidInput):
        FixedBase(3, 1009, 64).power(exponent)
