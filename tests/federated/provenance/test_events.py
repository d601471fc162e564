"""Events: one canonical form, strict parsing, no field that goes unnoticed."""

import json
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federated.errors import InvalidInput
from federated.provenance.events import Event, EventActor, EventSubject, digest, log_origin

FIELDS = {
    "id": UUID("00000000-0000-4000-8000-000000000001"),
    "at": datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC),
    "tag": "federation:round:closed",
    "origin": "consortium/northwind",
    "actor": EventActor(kind="site", id="ab12", name="Northwind", organization="northwind"),
    "subject": EventSubject(kind="round", id="7"),
    "digests": {"model": "ab" * 32},
    "data": {"cohort": ["lakeside", "northwind"], "sigma": 1.5, "none": None},
}
GOLDEN = (
    '{"actor":{"id":"ab12","kind":"site","name":"Northwind","organization":"northwind"},'
    '"at":"2026-01-02T03:04:05.000678Z",'
    '"data":{"cohort":["lakeside","northwind"],"none":null,"sigma":1.5},'
    '"digests":{"model":"' + "ab" * 32 + '"},'
    '"id":"00000000-0000-4000-8000-000000000001","origin":"consortium/northwind",'
    '"signature":null,"subject":{"id":"7","kind":"round"},'
    '"tag":"federation:round:closed","version":1}'
)


def test_the_golden_event():
    event = Event.build(**FIELDS)
    assert event.canonical().decode() == GOLDEN
    assert Event.parse(GOLDEN.encode()) == event
    assert digest(event.canonical()) == (
        "70fcf6f3a45339ac8a4223a1bf29e666fa9da98859ed60bae1f4f77117c890e9"
    )
    assert event.time == FIELDS["at"]


def test_time_is_utc_whatever_the_zone():
    local = FIELDS["at"].astimezone(timezone(timedelta(hours=5)))
    assert Event.build(**(FIELDS | {"at": local})) == Event.build(**FIELDS)
    with pytest.raises(InvalidInput, match="time zone"):
        Event.build(**(FIELDS | {"at": datetime(2026, 1, 1)}))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text(max_size=20)
    | st.floats(allow_nan=False, allow_infinity=False).filter(lambda x: not 2**53 <= abs(x) < 1e21),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text(min_size=1, max_size=8), JSON, max_size=4))
def test_any_data_survives_the_round_trip(data):
    event = Event.build(**(FIELDS | {"data": data}))
    assert Event.parse(event.canonical()).canonical() == event.canonical()


def test_every_field_reaches_the_leaf():
    base = Event.build(**FIELDS).canonical()
    other = {
        "id": UUID(int=2),
        "at": FIELDS["at"] + timedelta(microseconds=1),
        "tag": "federation:round:opened",
        "origin": "consortium",
        "actor": EventActor(kind="user", id="ab12", name="Northwind", organization="northwind"),
        "subject": EventSubject(kind="round", id="8"),
        "digests": {},
        "data": {},
        "signature": "00" * 32,
    }
    assert other.keys() == Event.model_fields.keys() - {"version"}
    leaves = {Event.build(**(FIELDS | {key: value})).canonical() for key, value in other.items()}
    assert len(leaves) == len(other)
    assert base not in leaves


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "7",
        GOLDEN[:-1],
        GOLDEN + " ",
        " " + GOLDEN,
        GOLDEN.replace('"version":1', '"version":2'),
        GOLDEN.replace('"version":1', '"version":1.0'),
        GOLDEN.replace('"version":1', '"version":1,"version":1'),
        GOLDEN.replace('"version":1', '"version":1,"zone":1'),
        GOLDEN.replace("1.5", "1.50"),
        GOLDEN.replace("1.5", "NaN"),
        GOLDEN.replace("Northwind", "\\u004eorthwind"),
        GOLDEN.replace("678Z", "678+00:00"),
        GOLDEN.replace('"site"', '"root"'),
        GOLDEN.replace("ab" * 32, "AB" * 32),
        GOLDEN.replace("federation:round:closed", "federation"),
        GOLDEN.replace("consortium/northwind", "with space"),
        GOLDEN.replace('["lakeside","northwind"]', "[" * 5000 + "]" * 5000),
        json.dumps(json.loads(GOLDEN)),
        json.dumps(json.loads(GOLDEN) | {"data": {"x": "y" * 70_000}}),
    ],
)
def test_other_bytes_are_no_event(text):
    with pytest.raises(InvalidInput):
        Event.parse(text.encode())
    with pytest.raises(InvalidInput):
        Event.parse(b"\xff" + text.encode())


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_clearly(data):
    with pytest.raises(InvalidInput):
        Event.parse(data)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**53, 2.0**53, -1e20, "\ud800"])
def test_values_that_json_cannot_hold_exactly_are_refused(value):
    with pytest.raises(InvalidInput):
        Event.build(**(FIELDS | {"data": {"x": value}})).canonical()


def test_origins():
    assert log_origin("fsc") == "fsc"
    assert log_origin("fsc", "northwind") == "fsc/northwind"
    for name in ("", "a b", "a+b", "a\nb", "x" * 201):
        with pytest.raises(InvalidInput):
            log_origin(name)
