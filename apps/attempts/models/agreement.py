"""A spec that organizations answer, and their answers. Apps extend it with columns of their own."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import Any

from django.db import models

from apps.attempts.played import Played, played_of
from apps.common.models import Model
from apps.common.scopes import RowLevel, Scope
from apps.keys.selectors import epoch_by_digest
from federated.protocol.kinds import agreement_of
from federated.wire.base import Message, Signed, canonical

# The policy of participants asks about its own table, so the look-up steps out of it.
TAKES_PART = """
CREATE OR REPLACE FUNCTION fsc_takes_part(agreement uuid, organization text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public AS
$$ SELECT EXISTS (SELECT 1 FROM public.attempts_participant p
                  WHERE p.agreement_id = $1 AND p.organization = $2) $$
"""


OWN_ROW = "fsc_takes_part(agreement_ptr_id, (SELECT fsc_organization_slug()))"
"""The predicate of an app's own row of an agreement."""


class OfAgreement(RowLevel):
    """Rows of an agreement, for the organizations that may take part in it."""

    predicate = "fsc_takes_part(agreement_id, (SELECT fsc_organization_slug()))"
    functions = (TAKES_PART,)


@lru_cache(maxsize=512)
def spec_parsed(stored: type[Message], content: bytes) -> Any:
    """What a ``spec`` column holds, parsed once."""
    return stored.parse(content)


def terms_of(spec: Any) -> Any:
    """The protocol's agreement: a spec with the key that it pins."""
    return agreement_of(spec, epoch_by_digest(spec.key_epoch))


class Agreement(Model):
    """What a joint computation stands on; ``id`` is that of its spec.

    The app of its kind keeps a row with the same key for its own columns. Whatever changes either
    of them holds this row's lock (``agreement_lock``), or claims a state here by one UPDATE.
    """

    class RowLevel(OfAgreement):
        predicate = "fsc_takes_part(id, (SELECT fsc_organization_slug()))"

    scope = Scope.SHARED

    kind = models.CharField(max_length=20, help_text="the protocol's name of it")
    spec = models.JSONField(help_text="as it was proposed, signed where the kind signs it")
    spec_digest = models.CharField(max_length=64, unique=True)
    key_epoch = models.CharField(max_length=64, db_index=True)
    proposer = models.CharField(max_length=41, help_text="an organization, or operator")
    state = models.CharField(max_length=10)
    reason = models.CharField(
        max_length=1000, blank=True, default="", help_text="what it waits for, or why it ended"
    )
    ended_at = models.DateTimeField(null=True, blank=True)
    expired_at = models.DateTimeField(
        null=True, blank=True, help_text="when what its sites sent in ciphertext was deleted"
    )

    class Meta:
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["kind", "state"], name="attempts_agreement_state")]

    def __str__(self) -> str:
        return str(self.pk)

    @property
    def played(self) -> Played:
        return played_of(self.kind)

    @cached_property
    def wire(self) -> Any:
        """The spec."""
        parsed = spec_parsed(self.played.stored, canonical(self.spec))
        return parsed.body if isinstance(parsed, Signed) else parsed

    @cached_property
    def terms(self) -> Any:
        """The protocol's agreement: the present spec with the key that it pins, read once."""
        return terms_of(self.wire)

    @property
    def ledger_id(self) -> str:
        """The name under which sites' ledgers keep the present spec."""
        return str(self.terms.ledger_id)

    @property
    def ended(self) -> bool:
        return self.ended_at is not None

    def slugs(self) -> list[str]:
        """The participants' organizations, in the spec's order."""
        return [participant.organization for participant in self.wire.participants]


class Participant(Model):
    """An organization's part in an agreement, and its signed answer to the present spec."""

    class State(models.TextChoices):
        PENDING = "pending", "Pending"
        APPROVED = "approved", "Approved"
        DECLINED = "declined", "Declined"

    RowLevel = OfAgreement
    scope = Scope.SHARED

    agreement = models.ForeignKey(Agreement, models.CASCADE, related_name="participants")
    organization = models.CharField(max_length=41)
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    answer = models.JSONField(null=True, help_text="the signed approval or decline")
    reason = models.CharField(max_length=500, blank=True, default="")
    answered_at = models.DateTimeField(null=True, blank=True)
    endorsed_by = models.JSONField(null=True, help_text="the person who approved in the portal")

    class Meta:
        ordering = ["organization"]
        constraints = [
            models.UniqueConstraint(fields=["agreement", "organization"], name="participant_once")
        ]
        indexes = [models.Index(fields=["organization", "state"], name="participant_answer")]

    def __str__(self) -> str:
        return f"{self.organization} ({self.state})"

    @property
    def approval(self) -> Any:
        """The signed approval, if it is one."""
        if self.state != self.State.APPROVED or self.answer is None:
            return None
        approves = self.agreement.played.answers["approval"].wire
        return Signed[approves].parse(self.answer)  # type: ignore[valid-type]
