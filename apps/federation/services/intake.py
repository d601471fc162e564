"""Taking what sites send for an attempt: checked whole before anything is stored.

Order of the checks: the sender, what was sent before (the same bytes are always fine), the state,
the context, then signature and proofs. Only then is the attempt's row locked and the state looked
at again, so that a close never misses what was acknowledged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django.db import transaction
from django_tenants.utils import schema_context

from apps.aggregation.bell import bell_ring
from apps.common.actor import Actor
from apps.common.coordinator import as_coordinator
from apps.common.signed import refusal_keep
from apps.federation.errors import AlreadySent, Closed
from apps.federation.models import (
    Contribution,
    ContributionReceipt,
    Receipt,
    Round,
    RoundMessage,
    Share,
    Verdict,
)
from apps.federation.queue import enqueue
from apps.federation.services import checks, machine
from apps.federation.services.rounds import round_event
from apps.provenance.tags import Tag
from federated.errors import InvalidInput
from federated.wire import round as wire
from federated.wire.base import Signed

R = TypeVar("R", bound=RoundMessage)


def contribution_receive(
    *, found: Round, organization: str, signed: Signed[wire.Contribution], actor: Actor
) -> bool:
    """Keep a contribution of an open attempt. True if it is new, False if it was sent before.

    Raises Forbidden, AlreadySent, Closed, ContextMismatch, SignatureInvalid, ProofInvalid or
    InvalidInput.
    """

    def check() -> None:
        checks.contribution_arrival(signed, found=found)

    return _receive(
        Contribution,
        found=found,
        organization=organization,
        signed=signed,
        actor=actor,
        during=Round.State.COLLECTING,
        check=check,
        tag=Tag.CONTRIBUTION_ACCEPTED,
    )


def receipt_receive(
    *, found: Round, organization: str, signed: Signed[wire.ChargeReceipt], actor: Actor
) -> bool:
    """Keep a cohort member's charge receipt. Raises as contribution_receive, and ChargeMismatch."""

    def check() -> None:
        checks.receipt_arrival(signed, found=found)

    return _receive(
        Receipt,
        found=found,
        organization=organization,
        signed=signed,
        actor=actor,
        during=Round.State.CHARGING,
        check=check,
        tag=Tag.RECEIPT_ACCEPTED,
    )


def share_receive(
    *, found: Round, organization: str, signed: Signed[wire.DecryptionShare], actor: Actor
) -> bool:
    """Keep a trustee's share whose proof verifies. Raises as contribution_receive."""

    def check() -> None:
        checks.share_arrival(signed, found=found)

    return _receive(
        Share,
        found=found,
        organization=organization,
        signed=signed,
        actor=actor,
        during=Round.State.DECRYPTING,
        check=check,
        tag=Tag.SHARE_ACCEPTED,
    )


def verdict_receive(
    *, found: Round, organization: str, signed: Signed[wire.Verdict], actor: Actor
) -> bool:
    """Keep a site's verdict on a release. One that disagrees fails the job, in its words."""

    def check() -> None:
        checks.verdict_arrival(signed, found=found)

    return _receive(
        Verdict,
        found=found,
        organization=organization,
        signed=signed,
        actor=actor,
        during=Round.State.RELEASED,
        check=check,
        tag=Tag.VERDICT_ACCEPTED,
        columns={"agrees": signed.body.agrees, "detail": signed.body.detail},
    )


def refusal_receive(
    *, found: Round, organization: str, signed: Signed[wire.Refusal], actor: Actor
) -> bool:
    """Keep a site's signed refusal, whatever it was shown and in any state: it is evidence.

    It counts against the attempt where it names the attempt's own context and cohort.
    """
    checks.sender(signed, organization=organization)
    checks.signature(signed, job=found.job)
    body = signed.body
    with as_coordinator(), transaction.atomic():
        row = Round.objects.select_for_update().get(pk=found.pk)
        counts = body.context == row.context_digest and body.cohort == row.cohort_digest
        if not refusal_keep(
            row.refusals, organization=organization, signed=signed, counts=counts, of="attempt"
        ):
            return False
        round_event(
            Tag.SHARE_REFUSED,
            row,
            actor=actor,
            digests={"refused_context": body.context, "refused_cohort": body.cohort},
            data={"organization": organization, "reason": body.reason.value, "detail": body.detail},
            signature=signed.digest(),
        )
        bell_ring(found.job.slugs())
        if counts and row.open:
            enqueue("federation.round_close", row.pk)
    return True


def _receive(
    model: type[R],
    *,
    found: Round,
    organization: str,
    signed: Signed[Any],
    actor: Actor,
    during: Round.State,
    check: Callable[[], None],
    tag: Tag,
    columns: dict[str, Any] | None = None,
) -> bool:
    checks.sender(signed, organization=organization)
    digest = signed.digest()
    with as_coordinator():
        if _sent_before(model, found, organization, digest):
            return False
        _require_state(found, during)
        check()
    content = signed.canonical()
    with transaction.atomic():
        with as_coordinator():
            job = machine.job_lock(found.job_id) if model is Verdict else found.job
            row = Round.objects.select_for_update().get(pk=found.pk)
            row.job = job
            if _sent_before(model, row, organization, digest):
                return False
            _require_state(row, during)
            model.objects.create(
                round=row,
                organization=organization,
                content=content,
                digest=digest,
                **(columns or {}),
            )
            round_event(
                tag,
                row,
                actor=actor,
                digests={"message": digest},
                data={"organization": organization, "bytes": len(content)}
                | ({"agrees": columns["agrees"]} if columns else {}),
                signature=digest,
            )
            _follow(row, signed)
        if model is Contribution:
            _receipt_keep(row, organization, digest, len(content))
    return True


def _sent_before(model: type[R], found: Round, organization: str, digest: str) -> bool:
    before = model.objects.filter(round=found, organization=organization).only("digest").first()
    if before is None:
        return False
    if before.digest != digest:
        name = model._meta.verbose_name
        raise AlreadySent(
            f"Another {name} of {organization} was accepted for {found}: {before.digest[:16]}, "
            f"this is {digest[:16]}. Send the same bytes again, or nothing."
        )
    return True


_PAST = {
    Round.State.COLLECTING: "takes no more contributions",
    Round.State.CHARGING: "takes no charge receipts",
    Round.State.DECRYPTING: "takes no shares",
    Round.State.RELEASED: "has no release to judge",
}


def _require_state(found: Round, during: Round.State) -> None:
    if found.state != during:
        raise Closed(f"{str(found).capitalize()} is {found.state}: it {_PAST[during]}.")


def _follow(row: Round, signed: Signed[Any]) -> None:
    """What the coordinator does next, now that this is stored."""
    match signed.body:
        case wire.Contribution():
            complete = row.contributions.count() == len(row.job.wire.participants)
        case wire.ChargeReceipt():
            complete = row.receipts.count() == len(row.members)
        case wire.DecryptionShare():
            complete = False
            if row.shares.count() >= row.job.agreement.threshold:
                enqueue("aggregation.round_release", row.pk)
        case wire.Verdict(agrees=False, organization=organization, detail=detail):
            reason = f"{organization} does not agree with the release of {row}: {detail}"
            machine.job_end(
                row.job, state=row.job.State.FAILED, reason=reason, actor=machine.COORDINATOR
            )
            return
        case wire.Verdict():
            return
        case other:
            raise InvalidInput(f"{type(other).__name__} is nothing that an attempt takes")
    if complete:
        enqueue("federation.round_close", row.pk)
    bell_ring([signed.body.organization])


def _receipt_keep(found: Round, organization: str, digest: str, size: int) -> None:
    with schema_context(f"t_{organization}"):
        ContributionReceipt.objects.create(
            job_id=found.job_id,
            round=found.number,
            attempt=found.attempt,
            digest=digest,
            size=size,
        )
