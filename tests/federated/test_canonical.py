"""The canonical encoding is RFC 8785's, whichever encoder wrote it."""

import json
import string

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from federated.errors import InvalidInput
from federated.wire.base import canonical

ANY_TEXT = st.text(st.characters(codec=None))
TEXT = ANY_TEXT | st.text(string.printable + "\x00\x1f\x7f\u2028\ue000\ufb33\U0001f600")
INTEGERS = st.integers() | st.sampled_from([2**53 - 1, 2**53, 2**53 + 1, 1 - 2**53, -(2**53)])
SCALARS = st.none() | st.booleans() | INTEGERS | st.floats() | TEXT
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4)
)


@given(VALUES)
def test_the_bytes_and_the_refusals_are_rfc8785s(value):
    try:
        expected = rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError):
        with pytest.raises((InvalidInput, UnicodeEncodeError)):
            canonical(value)
    else:
        assert canonical(value) == expected


def test_an_example_of_the_rfc():
    given = '{"\\u20ac":"Euro Sign","\\r":"Carriage Return","1":"One","\\u0080":"Control\\u007f"}'
    expected = '{"\\r":"Carriage Return","1":"One","\x80":"Control\x7f","€":"Euro Sign"}'
    assert canonical(json.loads(given)).decode() == expected


@pytest.mark.parametrize("value", [{1: "a"}, {"a": b"x"}, {"a": float("nan")}, [2**53], "\ud800"])
def test_what_has_no_canonical_form_is_refused(value):
    with pytest.raises(InvalidInput, match="no canonical form"):
        canonical(value)
