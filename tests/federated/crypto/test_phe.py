"""Keys and ciphertexts go out to phe and come in from it (docs/develop/phe.md)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phe import paillier

from federated.crypto.paillier import PublicKey
from federated.errors import InvalidInput
from tests.federated.crypto.small_key import small_key

KEY = small_key().dealt.public_key
PHE_KEY = KEY.to_phe()
PRIVATE = paillier.PaillierPrivateKey(PHE_KEY, small_key().p, small_key().q)
LARGEST = PHE_KEY.max_int


def test_a_key_goes_out_and_comes_in():
    assert isinstance(PHE_KEY, paillier.PaillierPublicKey)
    assert PHE_KEY.n == KEY.n
    assert PublicKey.from_phe(PHE_KEY) == KEY
    theirs, _ = paillier.generate_paillier_keypair(n_length=512)
    assert PublicKey.from_phe(theirs).to_phe() == theirs


def test_what_is_no_key_of_phe_is_refused():
    with pytest.raises(InvalidInput, match="is not a phe PaillierPublicKey"):
        PublicKey.from_phe(KEY)
    with pytest.raises(InvalidInput, match="at least 512 bits"):
        PublicKey.from_phe(paillier.PaillierPublicKey(15))


@given(st.integers(-LARGEST, LARGEST))
@settings(max_examples=25, deadline=None)
def test_phe_decrypts_what_goes_out(m):
    assert PRIVATE.decrypt(KEY.number_to_phe(KEY.encrypt(m).ciphertext)) == m


@given(st.integers())
@settings(max_examples=25, deadline=None)
def test_raw_decryption_reads_any_plaintext_modulo_n(m):
    assert PRIVATE.raw_decrypt(KEY.encrypt(m).ciphertext) == m % KEY.n


def test_phe_reads_nothing_from_the_middle_third():
    number = KEY.number_to_phe(KEY.encrypt(KEY.n // 2).ciphertext)
    with pytest.raises(OverflowError):
        PRIVATE.decrypt(number)


@given(st.integers(-(2**60), 2**60), st.integers(-20, 20))
@settings(max_examples=25, deadline=None)
def test_an_exponent_scales_what_phe_reads(m, exponent):
    number = KEY.number_to_phe(KEY.encrypt(m).ciphertext, exponent=exponent)
    decoded = PRIVATE.decrypt_encoded(number)
    assert (decoded.exponent, decoded.encoding) == (exponent, m % KEY.n)
    assert PRIVATE.decrypt(number) == (m * 16**exponent if exponent >= 0 else m / 16**-exponent)


@given(st.integers(-(2**60), 2**60), st.integers(-(2**60), 2**60))
@settings(max_examples=25, deadline=None)
def test_what_comes_in_adds_to_our_ciphertexts(theirs, ours):
    incoming = KEY.number_from_phe(PHE_KEY.encrypt(theirs))
    total = KEY.multiply([incoming, KEY.encrypt(ours).ciphertext])
    assert PRIVATE.decrypt(KEY.number_to_phe(total)) == theirs + ours


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=4))
@settings(max_examples=15, deadline=None)
def test_floats_of_one_precision_add_up(values):
    numbers = [PHE_KEY.encrypt(value, precision=16**-5) for value in values]
    total = KEY.multiply(KEY.number_from_phe(number, exponent=-5) for number in numbers)
    decoded = PRIVATE.decrypt(KEY.number_to_phe(total, exponent=-5))
    assert decoded == sum(round(value * 16**5) for value in values) / 16**5


def test_a_sum_that_phe_made_is_randomized_before_it_leaves():
    number = PHE_KEY.encrypt(3) + 4
    plain = number.ciphertext(be_secure=False)
    incoming = KEY.number_from_phe(number)
    assert incoming != plain
    assert PRIVATE.raw_decrypt(incoming) == PRIVATE.raw_decrypt(plain) == 7


@pytest.mark.parametrize("value", [1.5, 3.0, 0.1])
def test_a_float_with_an_exponent_of_its_own_is_refused(value):
    number = PHE_KEY.encrypt(value)
    with pytest.raises(InvalidInput, match=rf"exponent is {number.exponent}, 0 is allowed"):
        KEY.number_from_phe(number)
    finer = number.exponent - 2
    lowered = KEY.number_from_phe(number.decrease_exponent_to(finer), exponent=finer)
    assert PRIVATE.decrypt(KEY.number_to_phe(lowered, exponent=finer)) == value


def test_a_number_of_another_key_is_refused():
    other, _ = paillier.generate_paillier_keypair(n_length=512)
    with pytest.raises(InvalidInput, match="another key"):
        KEY.number_from_phe(other.encrypt(1))


@pytest.mark.parametrize("ciphertext", [0, KEY.n, KEY.n_squared, small_key().p])
def test_an_impossible_ciphertext_goes_neither_way(ciphertext):
    with pytest.raises(InvalidInput):
        KEY.number_to_phe(ciphertext)
    with pytest.raises(InvalidInput):
        KEY.number_from_phe(paillier.EncryptedNumber(PHE_KEY, ciphertext))


def test_what_is_no_number_of_phe_is_refused():
    with pytest.raises(InvalidInput, match="int is not a phe EncryptedNumber"):
        KEY.number_from_phe(KEY.encrypt(1).ciphertext)
