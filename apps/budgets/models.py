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
    """An organization's grant for a dataset and privacy unit, and how much of it is used."""

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
    pure_rho = models.FloatField(default=0.0)
    pure_epsilon = models.FloatField(default=0.0)

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
    pure_epsilon = models.FloatField(default=0.0)

    class Meta:
        ordering = ["-at"]

    def __str__(self) -> str:
        return f"{self.dataset} {self.rho} ({self.state})"


class AllotmentRequest(Model):
    """An admin's request for another allotment; the site decides, and reports ``state``."""

    scope = Scope.TENANT

    class State(models.TextChoices):
        PENDING = "pending", "on its way to the site"
        WAITING = "waiting", "waits for a person at the site"
        APPLIED = "applied", "holds"
        DECLINED = "declined", "declined"
        SUPERSEDED = "superseded", "another was asked after it"

    dataset = models.CharField(max_length=80)
    unit = models.CharField(max_length=16)
    message = models.JSONField(help_text="federated.wire.site.AllotmentRequest")
    before = models.JSONField(help_text="the mirrored allotment when it was asked")
    state = models.CharField(max_length=10, choices=State.choices, default=State.PENDING)
    detail = models.TextField(blank=True, default="")

    class Meta:
        ordering = ["-created_at"]
        verbose_name = "allotment request"
        constraints = [
            models.UniqueConstraint(
                fields=["dataset", "unit"],
                condition=models.Q(state__in=["pending", "waiting"]),
                name="budget_request_open_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.dataset} ({self.state})"


class AllotmentChange(Model):
    """A change of an account as the site reported it; ``id`` is the site's."""

    scope = Scope.TENANT
    append_only = True

    dataset = models.CharField(max_length=80)
    unit = models.CharField(max_length=16)
    message = models.JSONField(help_text="federated.wire.site.AllotmentChange")
    at = models.CharField(max_length=40)

    class Meta:
        ordering = ["-at"]
        verbose_name = "allotment change"

    def __str__(self) -> str:
        return f"{self.dataset} at {self.at}"
