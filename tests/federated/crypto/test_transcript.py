import pytest
from hypothesis import given
from hypothesis import strategies as st

from federated.crypto.transcript import Transcript

values = st.one_of(st.binary(max_size=8), st.integers(0, 2**64), st.text(max_size=4))
sequences = st.lists(st.tuples(st.text(max_size=4), values), max_size=4)


def challenge(domain, appends):
    transcript = Transcript(domain)
    for label, value in appends:
        transcript.append(label, value)
    return transcript.challenge("x")


@given(sequences, sequences)
def test_different_appends_give_different_challenges(one, other):
    assert (challenge(b"d", one) == challenge(b"d", other)) == (one == other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([("a", b"bc")], [("ab", b"c")]),
        ([("a", b"1")], [("a", "1")]),
        ([("a", b"\x01")], [("a", 1)]),
        ([("a", b""), ("a", b"x")], [("a", b"x"), ("a", b"")]),
    ],
)
def test_labels_types_and_order_count(one, other):
    assert challenge(b"d", one) != challenge(b"d", other)


def test_the_domain_separates():
    assert challenge(b"one", []) != challenge(b"other", [])


def test_later_challenges_depend_on_earlier_ones():
    with_earlier, without = Transcript(b"d"), Transcript(b"d")
    with_earlier.challenge("first")
    assert with_earlier.challenge("x") != without.challenge("x")
    assert without.challenge("x") != Transcript(b"d").challenge("x")


@given(st.integers(1, 300))
def test_a_challenge_has_at_most_its_bits(bits):
    assert Transcript(b"d").challenge("x", bits).bit_length() <= bits


def test_a_negative_integer_is_refused():
    with pytest.raises(ValueError, match="non-negative"):
        Transcript(b"d").append("a", -1)
