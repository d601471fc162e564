"""Abstract rows of what organizations signed: messages for a round or run, answers to a spec."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models

from apps.common.models import Model
from apps.common.scopes import Scope
from federated.errors import TooLarge
from federated.wire.base import Message, Signed
from federated.wire.round import Refusal

REFUSALS_MOST = 50


class SignedMessage(Model):
    """A signed message of an organization: canonical bytes, and their digest."""

    wire: ClassVar[type[Message]]
    scope = Scope.SHARED

    organization = models.CharField(max_length=41)
    content = models.BinaryField(help_text="the signed envelope, RFC 8785")
    digest = models.CharField(max_length=64)

    class Meta:
        abstract = True
        ordering = ["organization", "created_at"]

    def __str__(self) -> str:
        return f"{self._meta.verbose_name} of {self.organization}"

    @property
    def signed(self) -> Any:
        return Signed[self.wire].parse(bytes(self.content))  # type: ignore[name-defined]


class Answer(Model):
    """An organization's part in something proposed, and its signed answer to the present spec."""

    class State(models.TextChoices):
        PENDING = "pending", "Pending"
        APPROVED = "approved", "Approved"
        DECLINED = "declined", "Declined"

    approves: ClassVar[type[Message]]
    scope = Scope.SHARED

    organization = models.CharField(max_length=41)
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    answer = models.JSONField(null=True, help_text="the signed approval or decline")
    reason = models.CharField(max_length=500, blank=True, default="")
    answered_at = models.DateTimeField(null=True, blank=True)
    endorsed_by = models.JSONField(null=True, help_text="the person who approved in the portal")

    class Meta:
        abstract = True
        ordering = ["organization"]

    def __str__(self) -> str:
        return f"{self.organization} ({self.state})"

    @property
    def approval(self) -> Any:
        """The signed approval, if it is one."""
        if self.state != self.State.APPROVED or self.answer is None:
            return None
        return Signed[self.approves].parse(self.answer)  # type: ignore[name-defined]


def refusal_keep(
    rows: Any, *, of: dict[str, Any], organization: str, signed: Signed[Refusal], counts: bool
) -> bool:
    """Keep one of an organization's refusals among ``rows``, those ``of`` a locked attempt.

    False where it was sent before. Raises TooLarge beyond the most that are kept.
    """
    sent = rows.filter(organization=organization)
    if sent.filter(digest=signed.digest()).exists():
        return False
    if sent.count() >= REFUSALS_MOST:
        raise TooLarge(f"{REFUSALS_MOST} refusals of one attempt are kept; no more.")
    rows.create(
        **of,
        organization=organization,
        content=signed.canonical(),
        digest=signed.digest(),
        reason=signed.body.reason.value,
        detail=signed.body.detail,
        counts=counts,
    )
    return True
