"""What no row can hold is refused where it arrives."""

from __future__ import annotations

import json

import pytest

from apps.common.bodies import message_read
from federated.errors import InvalidInput
from federated.wire.site import AllotmentAsk
from tests.conftest import member_client

ASK = {"dataset": "ward", "epsilon": 4.0}


def body(reason: str) -> bytes:
    return json.dumps({**ASK, "reason": reason}).encode()


@pytest.mark.parametrize("reason", ["a\0b", "\0", "back\\\0"])
def test_a_null_character_is_one_clear_error(rf, reason: str) -> None:
    request = rf.post("/", body(reason), content_type="application/json")
    with pytest.raises(InvalidInput, match="null character"):
        message_read(request, AllotmentAsk)


@pytest.mark.parametrize("reason", ["\\u0000", "two\\\\u0000", "\u0001"])
def test_a_text_that_speaks_of_one_is_not(rf, reason: str) -> None:
    request = rf.post("/", body(reason), content_type="application/json")
    assert message_read(request, AllotmentAsk).reason == reason


def test_the_api_refuses_one(db) -> None:
    answer = member_client("northwind", "admin").post(
        "/o/northwind/api/ledger/allotments", body("a\0b"), content_type="application/json"
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
