"""Addresses across the two URL configurations: the root's and an organization's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.urls import get_script_prefix, reverse, set_script_prefix

ORGANIZATION_URLCONF = "portal.urls_organization"


@contextmanager
def _prefix(prefix: str) -> Iterator[None]:
    before = get_script_prefix()
    set_script_prefix(prefix)
    try:
        yield
    finally:
        set_script_prefix(before)


def root_url(name: str, *args: Any, **kwargs: Any) -> str:
    """The path of a page at the root (sign-in, admin), from wherever it is asked."""
    with _prefix("/"):
        return reverse(name, urlconf=settings.ROOT_URLCONF, args=args, kwargs=kwargs)


def organization_url(slug: str, name: str, *args: Any, **kwargs: Any) -> str:
    """The path of a page of the organization ``slug``, from wherever it is asked."""
    with _prefix(f"/o/{slug}/"):
        return reverse(name, urlconf=ORGANIZATION_URLCONF, args=args, kwargs=kwargs)
