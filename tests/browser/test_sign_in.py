"""People sign in and land where they belong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.browser


def test_a_wrong_password_is_said_and_a_right_one_opens_the_organization(
    open_page: Callable[..., Any], sign_in: Callable[[Any, str], None]
) -> None:
    page = open_page()
    page.goto("/o/northwind/")
    page.get_by_label("E-mail").fill("scientist@northwind.example")
    page.get_by_label("Password").fill("not the passphrase")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("alert").wait_for()
    page.get_by_label("Password").fill("a long test passphrase")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Northwind", level=1).wait_for()
    assert page.url.endswith("/o/northwind/")
    assert page.problems == []


def test_another_organization_is_not_found(
    open_page: Callable[..., Any], sign_in: Callable[[Any, str], None]
) -> None:
    page = open_page()
    sign_in(page, "admin@harbor.example")
    answer = page.goto("/o/northwind/")
    assert answer.status == 404
    assert page.get_by_role("heading", name="Not found").is_visible()


def test_signing_out_ends_the_session(
    open_page: Callable[..., Any], sign_in: Callable[[Any, str], None]
) -> None:
    page = open_page()
    sign_in(page, "admin@northwind.example")
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("heading", name="Sign in").wait_for()
    page.goto("/o/northwind/")
    page.get_by_role("heading", name="Sign in").wait_for()
