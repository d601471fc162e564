"""Every failure is a problem document that says what was wrong and nothing private."""

from __future__ import annotations

import pydantic
import pytest
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import Http404
from rest_framework import exceptions as drf

from apps.accounts.models import User
from apps.common.errors import domain_error
from apps.common.selectors import get_for
from federated.errors import BudgetExceeded, NotFound


class Measure(pydantic.BaseModel):
    epsilon: float
    rows: list[int]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (BudgetExceeded("needs 0.4, remaining 0.1"), 409),
        (Http404(), 404),
        (PermissionDenied(), 403),
        (RequestDataTooBig(), 413),
        (OperationalError("password=x"), 503),
        (InterfaceError("x"), 503),
        (drf.ParseError(), 422),
        (drf.NotAuthenticated(), 401),
        (drf.AuthenticationFailed(), 401),
        (drf.MethodNotAllowed("PUT"), 405),
        (drf.NotAcceptable(), 406),
        (drf.UnsupportedMediaType("text/x"), 415),
        (drf.Throttled(), 429),
        (drf.ValidationError({"a": ["b"]}), 422),
    ],
)
def test_known_failures(error, status):
    known = domain_error(error)
    assert known is not None
    problem = known.problem()
    assert problem["status"] == status
    assert problem["type"] == f"urn:federated:error:{problem['code']}"
    assert "password" not in problem["detail"]


def test_a_defect_is_not_an_answer():
    assert domain_error(KeyError("x")) is None


def test_field_errors_name_the_field_and_not_the_value():
    with pytest.raises(pydantic.ValidationError) as caught:
        Measure.model_validate({"epsilon": "private", "rows": [1, "secret"]})
    known = domain_error(caught.value)
    assert known is not None
    assert set(known.fields["errors"]) == {"epsilon", "rows.1"}
    assert known.message.startswith("epsilon: ") and "(1 more)" in known.message
    assert not {"private", "secret"} & set(str(known.problem()).split("'"))


@pytest.mark.django_db
@pytest.mark.parametrize("key", ["00000000-0000-0000-0000-000000000000", "not a key", None])
def test_absent_rows_and_impossible_keys_look_the_same(key):
    with pytest.raises(NotFound) as caught:
        get_for(User.objects.all(), pk=key)
    assert caught.value.message == "No such user."
