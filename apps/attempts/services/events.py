"""The events of agreements and attempts, with what identifies each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.attempts.models import Agreement, Attempt
from apps.common.actor import COORDINATOR, Actor
from apps.provenance.services import event_record
from apps.provenance.tags import AnyTag


def agreement_event(
    tag: AnyTag,
    agreement: Agreement,
    *,
    actor: Actor = COORDINATOR,
    digests: Mapping[str, str] | None = None,
    data: dict[str, Any] | None = None,
    signature: str | None = None,
) -> None:
    event_record(
        tag=tag,
        actor=actor,
        subject=(agreement.played.subject, agreement.pk),
        digests={"spec": agreement.spec_digest, **(digests or {})},
        data=data or {},
        signature=signature,
    )


def attempt_event(
    tag: AnyTag,
    attempt: Attempt,
    *,
    actor: Actor = COORDINATOR,
    digests: Mapping[str, str] | None = None,
    data: Mapping[str, Any] | None = None,
    signature: str | None = None,
) -> None:
    known = {"context": attempt.context_digest}
    if attempt.cohort_digest:
        known["cohort"] = attempt.cohort_digest
    if attempt.noised_digest:
        known["noised"] = attempt.noised_digest
    played = attempt.agreement.played
    event_record(
        tag=tag,
        actor=actor,
        subject=(played.subject, attempt.agreement_id),
        digests={**known, **(digests or {})},
        data={**played.place(attempt), **(data or {})},
        signature=signature,
    )
