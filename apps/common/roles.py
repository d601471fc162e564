"""Defines the roles that a person may have in an organization."""

from __future__ import annotations

from django.db import models


class Role(models.TextChoices):
    ADMIN = "admin", "Admin"  # members, sites, policy, budget
    SCIENTIST = "scientist", "Scientist"  # jobs and models
    AUDITOR = "auditor", "Auditor"  # reads everything, changes nothing


ALL_ROLES = frozenset(Role)
