"""The mirror of an organization's ledger, in its schema; the site's own is the one that counts."""

from __future__ import annotations

from django.db import models

from apps.common.models import Model
from apps.common.scopes import Scope


class LedgerReport(Model):
    """The newest signed report that the mirror was made from."""

    scope = Scope.TENANT

    sequence = models.BigIntegerField(unique=True)
    digest = models.CharField(max_length=64)
    message = models.JSONField()
    differences = models.JSONField(default=list, help_text="from the receipts accepted here")

    class Meta:
        ordering = ["-sequence"]
        verbose_name = "ledger report"

    def __str__(self) -> str:
        return f"report {self.sequence}"


class Account(Model):
    """What the organization grants for a dataset and privacy unit, and what is used of it."""

    scope = Scope.TENANT

    dataset = models.CharField(max_length=80)
    unit = models.CharField(max_length=16)
    allotted_epsilon = models.FloatField()
    allotted_delta = models.FloatField()
    period = models.CharField(max_length=40)
    max_queries = models.IntegerField()
    reserved_rho = models.FloatField()
    committed_rho = models.FloatField()
    spent_epsilon = models.FloatField()

    class Meta:
        ordering = ["dataset", "unit"]
        constraints = [
            models.UniqueConstraint(fields=["dataset", "unit"], name="budget_account_once")
        ]

    def __str__(self) -> str:
        return f"{self.dataset} ({self.unit})"


class Charge(Model):
    """An entry of the ledger; ``id`` is the site's."""

    scope = Scope.TENANT

    job_id = models.UUIDField(db_index=True)
    round = models.IntegerField()
    attempt = models.IntegerField()
    dataset = models.CharField(max_length=80)
    unit = models.CharField(max_length=16)
    rho = models.FloatField()
    state = models.CharField(max_length=10)
    cohort = models.CharField(max_length=64, blank=True, default="")
    at = models.CharField(max_length=40)

    class Meta:
        ordering = ["-at"]

    def __str__(self) -> str:
        return f"{self.dataset} {self.rho} ({self.state})"
