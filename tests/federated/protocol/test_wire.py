"""Encodings: one canonical form, and nothing else is read."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federated.errors import InvalidInput
from federated.wire.base import decode_bytes, encode_bytes
from federated.wire.job import JobSpec, NumericFeature
from federated.wire.round import Cohort, RoundContext
from tests.federated.provenance.small_bundle import small_consortium

DIGEST = "ab" * 32


def context(**changes) -> dict:
    return {
        "job_id": "12345678-1234-4234-8234-123456789abc",
        "spec": DIGEST,
        "round": 1,
        "attempt": 1,
        "model": DIGEST,
        "key_epoch": DIGEST,
        "checkpoint": DIGEST,
        **changes,
    }


@given(st.binary(max_size=80))
def test_bytes_survive(value):
    assert decode_bytes(encode_bytes(value)) == value


@pytest.mark.parametrize("text", ["a", "====", "ab+c", "YWJj\n", "QQ==", "QR", "é"])
def test_only_canonical_base64url_is_read(text):
    with pytest.raises(InvalidInput):
        decode_bytes(text)


@given(
    lower=st.floats(-1e12, 1e12, allow_nan=False),
    width=st.floats(1e-3, 1e12, allow_nan=False),
)
def test_floats_survive_the_canonical_form(lower, width):
    feature = NumericFeature(name="x", lower=lower, upper=lower + width)
    assert NumericFeature.parse(feature.canonical()) == feature


def test_a_float_that_json_cannot_carry_back_is_refused():
    with pytest.raises(InvalidInput, match="upper"):
        NumericFeature.parse({"name": "x", "lower": 0.0, "upper": 2.0**53})


def test_the_digest_is_of_the_content_not_of_the_text():
    value = context()
    shuffled = json.dumps(dict(reversed(list(value.items()))), indent=3)
    assert RoundContext.parse(shuffled).digest() == RoundContext.parse(value).digest()


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"extra": 1}, "extra"),
        ({"round": 0}, "round"),
        ({"round": 1.5}, "round"),
        ({"round": "1"}, "round"),
        ({"model": "AB" * 32}, "model"),
        ({"job_id": "x"}, "job_id"),
    ],
)
def test_bad_fields_are_named(changes, where):
    with pytest.raises(InvalidInput, match=where):
        RoundContext.parse(context(**changes))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "NaN", '{"round": NaN}', b"\xff"])
def test_what_is_no_message_is_one_clear_error(text):
    with pytest.raises(InvalidInput):
        RoundContext.parse(text)


def test_messages_of_two_types_never_share_a_digest():
    members = {"northwind": DIGEST}
    one = Cohort(context=DIGEST, members=members)
    assert one.digest() != RoundContext.parse(context()).digest()
    assert Cohort.TAG != RoundContext.TAG


def test_a_purpose_is_a_part_of_the_spec_where_there_is_one():
    spec = small_consortium().spec
    assert "purpose" not in spec.dump()
    stated = JobSpec.parse(spec.dump() | {"purpose": "to plan beds"})
    assert stated.digest() != spec.digest()
    assert JobSpec.parse(stated.canonical()).purpose == "to plan beds"
    assert JobSpec.parse(spec.canonical()).digest() == spec.digest()


@pytest.mark.parametrize(
    "purpose", ["", None, " led by a space", "two\nlines", "nul\x00", "x" * 501]
)
def test_a_purpose_is_one_line(purpose):
    with pytest.raises(InvalidInput, match="purpose"):
        JobSpec.parse(small_consortium().spec.dump() | {"purpose": purpose})
