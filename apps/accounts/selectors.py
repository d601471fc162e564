"""Reads which people belong to which organizations."""

from __future__ import annotations

from django.db.models import QuerySet

from apps.accounts.models import Membership, User
from apps.organizations.models import Organization


def membership_find(*, user: User, slug: str) -> Membership | None:
    """The user's membership of an active organization; None tells nothing of why."""
    return (
        Membership.objects.select_related("organization")
        .filter(user=user, organization__slug=slug, organization__state=Organization.State.ACTIVE)
        .first()
    )


def memberships_of(*, user: User) -> QuerySet[Membership]:
    return (
        Membership.objects.select_related("organization")
        .filter(user=user, organization__state=Organization.State.ACTIVE)
        .order_by("organization__name")
    )
