"""A job: its signed spec, who takes part, where it stands, and the models it made."""

from __future__ import annotations

from functools import cached_property, lru_cache

from django.db import models

from apps.common.models import Model
from apps.common.scopes import RowLevel, Scope
from apps.common.signed import Answer
from apps.keys.selectors import epoch_by_digest
from federated.protocol.agreement import JobAgreement
from federated.wire.base import Signed, canonical
from federated.wire.job import Approval, JobSpec
from federated.wire.job import DataDictionary as WireDictionary

# The policy of job participants asks about its own table, so the look-up steps out of it.
TAKES_PART = """
CREATE OR REPLACE FUNCTION fsc_takes_part(job uuid, organization text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public AS
$$ SELECT EXISTS (SELECT 1 FROM public.training_jobparticipant p
                  WHERE p.job_id = job AND p.organization = $2) $$
"""


class Participants(RowLevel):
    """Rows of a job, for the organizations that take part in it."""

    predicate = "fsc_takes_part(job_id, (SELECT fsc_organization_slug()))"
    functions = (TAKES_PART,)


class DataDictionary(Model):
    """A public data dictionary by the name of its dataset; never changed once registered."""

    class RowLevel(RowLevel):
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


@lru_cache(maxsize=256)
def _spec(envelope: bytes) -> Signed[JobSpec]:
    return Signed[JobSpec].parse(envelope)


class Job(Model):
    """One federated training; ``id`` is the spec's ``job_id``.

    proposed -> queued (all approved) -> running -> finished | failed; declined and cancelled end
    it before. ``reason`` says what it waits for, or why it ended.
    """

    class State(models.TextChoices):
        PROPOSED = "proposed", "Proposed"
        QUEUED = "queued", "Queued"
        RUNNING = "running", "Running"
        FINISHED = "finished", "Finished"
        FAILED = "failed", "Failed"
        DECLINED = "declined", "Declined"
        CANCELLED = "cancelled", "Cancelled"

    ENDED = (State.FINISHED, State.FAILED, State.DECLINED, State.CANCELLED)

    class RowLevel(Participants):
        predicate = "fsc_takes_part(id, (SELECT fsc_organization_slug()))"

    scope = Scope.SHARED

    spec = models.JSONField(help_text="the signed spec")
    spec_digest = models.CharField(max_length=64, unique=True)
    proposer = models.CharField(max_length=41)
    state = models.CharField(max_length=10, choices=State, default=State.PROPOSED)
    reason = models.CharField(max_length=1000, blank=True, default="")
    queued_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    expired_at = models.DateTimeField(
        null=True, blank=True, help_text="when what its sites sent in ciphertext was deleted"
    )
    model_digest = models.CharField(max_length=64, help_text="the current server state's")

    class Meta:
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["state", "queued_at"], name="training_job_queue")]

    def __str__(self) -> str:
        return str(self.pk)

    @property
    def signed(self) -> Signed[JobSpec]:
        return _spec(canonical(self.spec))

    @cached_property
    def wire(self) -> JobSpec:
        return self.signed.body

    @cached_property
    def agreement(self) -> JobAgreement:
        """The spec with the key that it pins, which is read once."""
        return JobAgreement(self.wire, epoch_by_digest(self.wire.key_epoch))

    @property
    def ended(self) -> bool:
        return self.state in self.ENDED

    def slugs(self) -> list[str]:
        """The participants' organizations, in the spec's order."""
        return [participant.organization for participant in self.wire.participants]


class JobParticipant(Answer):
    """An organization's part in a job, and its answer."""

    RowLevel = Participants
    approves = Approval

    job = models.ForeignKey(Job, models.CASCADE, related_name="participants")

    class Meta(Answer.Meta):
        verbose_name = "participant"
        constraints = [
            models.UniqueConstraint(fields=["job", "organization"], name="participant_once")
        ]
        indexes = [models.Index(fields=["organization", "state"], name="participant_answer")]


class ModelState(Model):
    """A server state (safetensors); ``step`` 0 is the one that the proposer sent.

    A small one's bytes are ``content``, a large one's lie in storage under ``key``: see storage.py.
    """

    RowLevel = Participants
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
