"""A round's attempt: one row each, from its opening to its release or its end."""

from __future__ import annotations

from django.db import models

from apps.common.models import Model
from apps.common.scopes import Scope
from apps.training.models.job import Job, Participants
from federated.wire.round import Cohort, Release, RoundContext


class Round(Model):
    """One attempt at a round.

    collecting -> charging (closed: the cohort is fixed) -> decrypting (all members charged) ->
    released; abandoned from any of them. ``deadline`` is the present state's.
    """

    class State(models.TextChoices):
        COLLECTING = "collecting", "Collecting"
        CHARGING = "charging", "Charging"
        DECRYPTING = "decrypting", "Decrypting"
        RELEASED = "released", "Released"
        ABANDONED = "abandoned", "Abandoned"

    OPEN = (State.COLLECTING, State.CHARGING, State.DECRYPTING)

    RowLevel = Participants
    scope = Scope.SHARED

    job = models.ForeignKey(Job, models.CASCADE, related_name="rounds")
    number = models.PositiveIntegerField()
    attempt = models.PositiveIntegerField()
    state = models.CharField(max_length=10, choices=State, default=State.COLLECTING)
    reason = models.CharField(max_length=1000, blank=True, default="")
    context = models.JSONField()
    context_digest = models.CharField(max_length=64, unique=True)
    cohort = models.JSONField(null=True)
    cohort_digest = models.CharField(max_length=64, blank=True, default="")
    product = models.JSONField(null=True, help_text="the cohort's summed ciphertexts, base64url")
    release = models.JSONField(null=True)
    reproducibility = models.JSONField(null=True, help_text="by what the release was computed")
    opened_at = models.DateTimeField()
    deadline = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, blank=True)
    charged_at = models.DateTimeField(null=True, blank=True)
    released_at = models.DateTimeField(null=True, blank=True)
    abandoned_at = models.DateTimeField(null=True, blank=True)
    leased_until = models.DateTimeField(null=True, blank=True)
    """A worker combines shares until then; after it, another may."""

    class Meta:
        ordering = ["number", "attempt"]
        constraints = [
            models.UniqueConstraint(fields=["job", "number", "attempt"], name="round_attempt_once"),
            models.UniqueConstraint(
                fields=["job"],
                condition=models.Q(state__in=["collecting", "charging", "decrypting"]),
                name="round_one_open",
            ),
        ]
        indexes = [models.Index(fields=["state", "deadline"], name="training_round_due")]

    def __str__(self) -> str:
        return f"round {self.number}, attempt {self.attempt}"

    @property
    def wire_context(self) -> RoundContext:
        return RoundContext.parse(self.context)

    @property
    def wire_cohort(self) -> Cohort | None:
        return None if self.cohort is None else Cohort.parse(self.cohort)

    @property
    def wire_release(self) -> Release | None:
        return None if self.release is None else Release.parse(self.release)

    @property
    def open(self) -> bool:
        return self.state in self.OPEN

    @property
    def members(self) -> list[str]:
        """The cohort's organizations; empty before the close."""
        return sorted(self.cohort["members"]) if self.cohort else []

    @property
    def phase_seconds(self) -> dict[str, float]:
        """Seconds that each phase took that has ended."""
        marks = [
            ("collecting", self.opened_at, self.closed_at),
            ("charging", self.closed_at, self.charged_at),
            ("decrypting", self.charged_at, self.released_at),
        ]
        return {name: (end - start).total_seconds() for name, start, end in marks if start and end}
