"""People: users by e-mail, and their roles in organizations."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models

from apps.common import scopes
from apps.common.models import Model
from apps.common.roles import Role
from apps.common.scopes import Scope
from apps.organizations.models import OWN, Organization


class UserManager(BaseUserManager["User"]):
    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(email__iexact=username)


class User(Model, AbstractBaseUser):
    """A person. An operator runs the consortium and sees no organization's data."""

    class RowLevel(scopes.RowLevel):
        predicate = (
            "EXISTS (SELECT 1 FROM accounts_membership m WHERE m.user_id = accounts_user.id "
            "AND m.organization_id = (SELECT fsc_organization_id()))"
        )

    scope = Scope.SHARED

    email = models.EmailField(unique=True)
    name = models.CharField(max_length=120, blank=True)
    is_active = models.BooleanField(default=True)
    is_operator = models.BooleanField(default=False)

    objects = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        ordering = ["email"]

    def __str__(self) -> str:
        return self.email

    # What the Django admin asks. It is read-only, so an operator has every view permission.

    @property
    def is_staff(self) -> bool:
        return self.is_operator

    @property
    def is_superuser(self) -> bool:
        return False

    def has_perm(self, perm: str, obj: Any = None) -> bool:
        return self.is_active and self.is_operator and ".view_" in perm

    def has_perms(self, perms: list[str], obj: Any = None) -> bool:
        return all(self.has_perm(perm, obj) for perm in perms)

    def has_module_perms(self, app_label: str) -> bool:
        return self.is_active and self.is_operator


class Membership(Model):
    """A person's role in one organization."""

    class RowLevel(scopes.RowLevel):
        predicate = OWN
        write = OWN
        delete = True

    scope = Scope.SHARED

    user = models.ForeignKey(User, models.CASCADE, related_name="memberships")
    organization = models.ForeignKey(Organization, models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role)

    class Meta:
        ordering = ["organization", "user"]
        constraints = [
            models.UniqueConstraint(fields=["user", "organization"], name="membership_unique"),
            models.CheckConstraint(
                condition=models.Q(role__in=list(Role)), name="membership_role_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} {self.role}"
