"""One attempt at a joint computation: a row each, from its opening to its release or its end."""

from __future__ import annotations

from datetime import datetime
from functools import cached_property
from typing import Any

from django.db import models

from apps.attempts.models.agreement import (
    TAKES_PART,
    Agreement,
    OfAgreement,
    spec_parsed,
    terms_of,
)
from apps.common.models import Model
from apps.common.scopes import RowLevel, Scope
from federated.protocol.attempt import OPEN, State
from federated.wire.base import canonical
from federated.wire.campaign import NoisedCohort

# Not through the attempt's own policy: SECURITY DEFINER, as for the agreement.
ATTEMPT_TAKES_PART = """
CREATE OR REPLACE FUNCTION fsc_attempt_takes_part(attempt uuid, organization text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public AS
$$ SELECT EXISTS (SELECT 1 FROM public.attempts_attempt a
                  JOIN public.attempts_participant p ON p.agreement_id = a.agreement_id
                  WHERE a.id = $1 AND p.organization = $2) $$
"""


class OfAttempt(RowLevel):
    """Rows of an attempt, for the organizations that may take part in its agreement."""

    predicate = "fsc_attempt_takes_part(attempt_id, (SELECT fsc_organization_slug()))"
    functions = (TAKES_PART, ATTEMPT_TAKES_PART)


class Attempt(Model):
    """One attempt at a release (a round's, a run). ``state`` is the protocol's.

    ``deadline`` is the present state's. ``spec`` and ``approvals`` are those that it opened with,
    where its kind freezes them; else they are the agreement's.
    """

    State = State
    OPEN = OPEN
    ENDED = (State.RELEASED, State.ABANDONED)

    RowLevel = OfAgreement
    scope = Scope.SHARED

    agreement = models.ForeignKey(Agreement, models.CASCADE, related_name="attempts")
    number = models.PositiveIntegerField()
    attempt = models.PositiveIntegerField(default=1)
    state = models.CharField(
        max_length=10,
        choices=[(state.value, state.value.capitalize()) for state in State],
        default=State.COLLECTING.value,
    )
    reason = models.CharField(max_length=1000, blank=True, default="")
    spec = models.JSONField(null=True)
    approvals = models.JSONField(
        null=True, help_text="signed approvals by organization, at the opening"
    )
    context = models.JSONField()
    context_digest = models.CharField(max_length=64, unique=True)
    cohort = models.JSONField(null=True)
    cohort_digest = models.CharField(max_length=64, blank=True, default="")
    noised = models.JSONField(null=True)
    noised_digest = models.CharField(max_length=64, blank=True, default="")
    product = models.JSONField(null=True, help_text="the cohort's summed ciphertexts, base64url")
    release = models.JSONField(null=True)
    reproducibility = models.JSONField(null=True, help_text="by what the release was computed")
    opened_at = models.DateTimeField()
    deadline = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, blank=True)
    charged_at = models.DateTimeField(null=True, blank=True)
    noised_at = models.DateTimeField(null=True, blank=True)
    released_at = models.DateTimeField(null=True, blank=True)
    abandoned_at = models.DateTimeField(null=True, blank=True)
    expired_at = models.DateTimeField(
        null=True, blank=True, help_text="when what its sites sent in ciphertext was deleted"
    )
    leased_until = models.DateTimeField(null=True, blank=True)
    """A worker combines shares until then; after it, another may."""

    class Meta:
        ordering = ["number", "attempt"]
        constraints = [
            models.UniqueConstraint(fields=["agreement", "number", "attempt"], name="attempt_once"),
            models.UniqueConstraint(
                fields=["agreement"],
                condition=models.Q(state__in=[state.value for state in OPEN]),
                name="attempt_one_open",
            ),
        ]
        indexes = [models.Index(fields=["state", "deadline"], name="attempts_attempt_due")]

    def __str__(self) -> str:
        return self.agreement.played.name(self)

    @cached_property
    def wire(self) -> Any:
        """The spec that it goes by."""
        if self.spec is None:
            return self.agreement.wire
        return spec_parsed(self.agreement.played.stored, canonical(self.spec))

    @cached_property
    def terms(self) -> Any:
        """The protocol's agreement that it goes by."""
        return self.agreement.terms if self.spec is None else terms_of(self.wire)

    @property
    def wire_context(self) -> Any:
        return self.agreement.played.context_type.parse(self.context)

    @property
    def wire_cohort(self) -> Any:
        return None if self.cohort is None else self.agreement.played.cohort_type.parse(self.cohort)

    @property
    def wire_noised(self) -> NoisedCohort | None:
        return None if self.noised is None else NoisedCohort.parse(self.noised)

    @property
    def wire_release(self) -> Any:
        if self.release is None:
            return None
        return self.agreement.played.release_type.parse(self.release)

    @property
    def open(self) -> bool:
        return self.state in self.OPEN

    @property
    def ended_at(self) -> datetime | None:
        return self.released_at or self.abandoned_at

    @property
    def members(self) -> list[str]:
        """The cohort's organizations; empty before the close."""
        return sorted(self.cohort["members"]) if self.cohort else []

    @property
    def approved(self) -> list[str]:
        """Who approved what it opened with, and so may contribute."""
        return self.agreement.slugs() if self.approvals is None else sorted(self.approvals)

    @property
    def phase_seconds(self) -> dict[str, float]:
        """Seconds that each phase took that has ended."""
        marks = [
            ("collecting", self.opened_at, self.closed_at),
            ("charging", self.closed_at, self.charged_at),
            ("noising", self.charged_at, self.noised_at),
            ("decrypting", self.noised_at or self.charged_at, self.released_at),
        ]
        return {name: (end - start).total_seconds() for name, start, end in marks if start and end}
