"""A job: what training adds to an agreement, and the models that it made."""

from __future__ import annotations

from django.db import models

from apps.attempts.models import OWN_ROW, Agreement, OfAgreement
from apps.attempts.models.agreement import spec_parsed
from apps.common import scopes
from apps.common.models import Model
from apps.common.scopes import Scope
from federated.wire.base import Signed, canonical
from federated.wire.job import DataDictionary as WireDictionary
from federated.wire.job import JobSpec


class DataDictionary(Model):
    """A public data dictionary by the name of its dataset; never changed once registered."""

    class RowLevel(scopes.RowLevel):
        predicate = "true"

    scope = Scope.SHARED

    name = models.CharField(max_length=80, unique=True)
    organization = models.CharField(max_length=41)
    message = models.JSONField()
    digest = models.CharField(max_length=64)

    class Meta:
        ordering = ["name"]
        verbose_name = "data dictionary"
        verbose_name_plural = "data dictionaries"

    def __str__(self) -> str:
        return self.name

    @property
    def wire(self) -> WireDictionary:
        return WireDictionary.parse(self.message)


class Job(Agreement):
    """One federated training, or joint evaluation; ``id`` is the spec's ``job_id``.

    proposed -> queued (all approved) -> running -> finished | failed; declined and cancelled end
    it before. Its ``spec`` is signed by the proposer.
    """

    class State(models.TextChoices):
        PROPOSED = "proposed", "Proposed"
        QUEUED = "queued", "Queued"
        RUNNING = "running", "Running"
        FINISHED = "finished", "Finished"
        FAILED = "failed", "Failed"
        DECLINED = "declined", "Declined"
        CANCELLED = "cancelled", "Cancelled"

    class RowLevel(Agreement.RowLevel):
        predicate = OWN_ROW

    queued_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    model_digest = models.CharField(max_length=64, help_text="the current server state's")

    class Meta:
        indexes = [models.Index(fields=["queued_at"], name="training_job_queue")]

    @property
    def signed(self) -> Signed[JobSpec]:
        parsed: Signed[JobSpec] = spec_parsed(Signed[JobSpec], canonical(self.spec))
        return parsed


class ModelState(Model):
    """A server state (safetensors); ``step`` 0 is the one that the proposer sent.

    A small one's bytes are ``content``, a large one's lie in storage under ``key``: see storage.py.
    """

    class RowLevel(OfAgreement):
        predicate = "fsc_takes_part(job_id, (SELECT fsc_organization_slug()))"

    scope = Scope.SHARED

    job = models.ForeignKey(Job, models.CASCADE, related_name="states")
    step = models.PositiveIntegerField()
    digest = models.CharField(max_length=64, db_index=True)
    content = models.BinaryField(null=True)
    key = models.CharField(max_length=255, blank=True, default="")

    class Meta:
        ordering = ["step"]
        verbose_name = "model"
        constraints = [models.UniqueConstraint(fields=["job", "step"], name="model_step_once")]

    def __str__(self) -> str:
        return f"{self.digest[:16]} (step {self.step})"
