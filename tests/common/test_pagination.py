"""Pages by key: every row once, also while rows are added, and only own cursors."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.accounts.models import User
from apps.common.pagination import _decode, _encode, keyset_page
from federated.errors import InvalidInput

AT = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.fixture
def people(db):
    # Equal times: the key decides.
    User.objects.bulk_create(
        User(email=f"{number}@pages.example", created_at=AT) for number in range(7)
    )
    return User.objects.filter(email__endswith="@pages.example")


@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("limit", [1, 3, 7, 200])
def test_every_row_once(people, limit, descending):
    seen, cursor = [], None
    while True:
        page = keyset_page(people, cursor=cursor, limit=limit, descending=descending)
        assert len(page.items) <= limit
        seen += [row.pk for row in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
        User.objects.create(email=f"late{len(seen)}@other.example")
    assert sorted(seen) == sorted(row.pk for row in people)
    assert seen == sorted(seen, reverse=descending)


def test_an_empty_list(people):
    page = keyset_page(people.none())
    assert (page.items, page.next_cursor) == ([], None)


@pytest.mark.parametrize("limit", [0, -1, 201, "x", "1.5"])
def test_bad_limits(people, limit):
    with pytest.raises(InvalidInput, match="from 1 to 200"):
        keyset_page(people, limit=limit)


def encoded(value) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


@pytest.mark.parametrize(
    "cursor",
    [
        *("x", "%%%", "é", encoded(3), encoded([]), encoded(["now", "no key"])),
        *(encoded([None, None]), encoded([[1], "0" * 32]), encoded([True, "0" * 32])),
        encoded({"a": 1, "b": 2}),
        *(encoded([7, "0" * 32]), encoded(["9999-12-31T23:59-23:59", "0" * 32])),
    ],
)
def test_bad_cursors(people, cursor):
    with pytest.raises(InvalidInput, match="cursor"):
        keyset_page(people, cursor=cursor)


@given(value=st.one_of(st.integers(), st.datetimes(timezones=st.just(UTC))), pk=st.uuids())
def test_cursors_keep_their_value(value, pk):
    assert _decode(_encode(value, pk)) == (value, str(pk))
