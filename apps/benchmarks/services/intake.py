"""Taking what sites send for a run: checked whole before anything is stored.

Order of the checks, as for rounds: the sender, what was sent before (the same bytes are always
fine), the state, the context, then signature and proofs. Only then is the run's row locked and the
state looked at again, so that a close never misses what was acknowledged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django_tenants.utils import schema_context

from apps.aggregation.bell import bell_ring
from apps.benchmarks.errors import CampaignClosed
from apps.benchmarks.models import (
    Campaign,
    Noise,
    Run,
    RunMessage,
    RunReceipt,
    RunShare,
    RunVerdict,
    Submission,
    SubmissionReceipt,
)
from apps.benchmarks.services import checks, machine
from apps.benchmarks.services.runs import COORDINATOR, run_event
from apps.common.actor import Actor
from apps.common.coordinator import as_coordinator
from apps.common.signed import refusal_keep
from apps.federation.errors import AlreadySent
from apps.federation.queue import enqueue
from apps.provenance.tags import Tag
from federated.wire import campaign as wire
from federated.wire import round as wire_round
from federated.wire.base import Signed

Check = Callable[[Any, Run], None]


@dataclass(frozen=True)
class Kind:
    """How one kind of message is taken: in which state, by which check, told by which event."""

    model: type[RunMessage]
    during: Run.State
    past: str
    check: Check
    tag: Tag


SUBMISSION = Kind(
    Submission,
    Run.State.OPEN,
    "takes no more submissions",
    checks.submission_arrival,
    Tag.SUBMISSION_ACCEPTED,
)
RECEIPT = Kind(
    RunReceipt,
    Run.State.CHARGING,
    "takes no charge receipts",
    checks.receipt_arrival,
    Tag.RUN_RECEIPT_ACCEPTED,
)
NOISE = Kind(Noise, Run.State.NOISING, "takes no noise", checks.noise_arrival, Tag.NOISE_ACCEPTED)
SHARE = Kind(
    RunShare,
    Run.State.DECRYPTING,
    "takes no shares",
    checks.share_arrival,
    Tag.RUN_SHARE_ACCEPTED,
)
VERDICT = Kind(
    RunVerdict,
    Run.State.RELEASED,
    "has no release to judge",
    checks.verdict_arrival,
    Tag.RUN_VERDICT_ACCEPTED,
)


def submission_receive(
    *,
    found: Run,
    organization: str,
    signed: Signed[wire.Submission],
    actor: Actor,
    replaces: str | None = None,
) -> bool:
    """Keep an organization's one submission. True if it is new, False if it was sent before.

    Another one stands in for it only where ``replaces`` names the digest of the one that it
    replaces, and only before the close. Raises Forbidden, AlreadySent, CampaignClosed,
    ContextMismatch, SignatureInvalid, ProofInvalid or InvalidInput.
    """
    return _message_take(
        SUBMISSION,
        found=found,
        organization=organization,
        signed=signed,
        actor=actor,
        replaces=replaces,
    )


def receipt_receive(
    *, found: Run, organization: str, signed: Signed[wire_round.ChargeReceipt], actor: Actor
) -> bool:
    """Keep a cohort member's charge receipt. Raises as submission_receive, and ChargeMismatch."""
    return _message_take(
        RECEIPT, found=found, organization=organization, signed=signed, actor=actor
    )


def noise_receive(
    *, found: Run, organization: str, signed: Signed[wire.TrusteeNoise], actor: Actor
) -> bool:
    """Keep a trustee's proven noise share. Raises as submission_receive."""
    return _message_take(NOISE, found=found, organization=organization, signed=signed, actor=actor)


def share_receive(
    *, found: Run, organization: str, signed: Signed[wire_round.DecryptionShare], actor: Actor
) -> bool:
    """Keep a trustee's decryption share whose proof verifies. Raises as submission_receive."""
    return _message_take(SHARE, found=found, organization=organization, signed=signed, actor=actor)


def verdict_receive(
    *, found: Run, organization: str, signed: Signed[wire_round.Verdict], actor: Actor
) -> bool:
    """Keep a site's verdict on a release. One that disagrees ends the campaign, in its words."""
    return _message_take(
        VERDICT,
        found=found,
        organization=organization,
        signed=signed,
        actor=actor,
        columns={"agrees": signed.body.agrees, "detail": signed.body.detail},
    )


def refusal_receive(
    *, found: Run, organization: str, signed: Signed[wire_round.Refusal], actor: Actor
) -> bool:
    """Keep a site's signed refusal, whatever it was shown and in any state: it is evidence.

    It counts against the run where it names the run's own context and cohort.
    """
    checks.sender(signed, organization=organization)
    checks.signature(signed, found)
    body = signed.body
    with as_coordinator(), transaction.atomic():
        row = Run.objects.select_for_update().get(pk=found.pk)
        row.campaign = found.campaign
        own = {row.cohort_digest, row.noised_digest} - {""}
        counts = body.context == row.context_digest and body.cohort in own
        if not refusal_keep(
            row.runrefusals, organization=organization, signed=signed, counts=counts, of="run"
        ):
            return False
        run_event(
            Tag.RUN_REFUSED,
            row,
            actor=actor,
            digests={"refused_context": body.context, "refused_cohort": body.cohort},
            data={"organization": organization, "reason": body.reason.value, "detail": body.detail},
            signature=signed.digest(),
        )
        bell_ring(found.campaign.slugs())
        if counts and row.going:
            enqueue("benchmarks.campaign_advance", row.campaign_id)
    return True


def _message_take(
    kind: Kind,
    *,
    found: Run,
    organization: str,
    signed: Signed[Any],
    actor: Actor,
    replaces: str | None = None,
    columns: dict[str, Any] | None = None,
) -> bool:
    checks.sender(signed, organization=organization)
    digest = signed.digest()
    with as_coordinator():
        if _taken_before(kind, found, organization, digest, replaces):
            return False
        _require_run_state(kind, found)
        kind.check(signed, found)
    content = signed.canonical()
    with transaction.atomic():
        with as_coordinator():
            # A campaign's lock comes before its run's.
            campaign = machine.campaign_lock(found.campaign_id) if kind is VERDICT else None
            row = Run.objects.select_for_update().get(pk=found.pk)
            row.campaign = campaign or found.campaign
            if _taken_before(kind, row, organization, digest, replaces):
                return False
            _require_run_state(kind, row)
            kept = {"content": content, "digest": digest, **(columns or {})}
            _message_store(kind.model, row, organization, kept, replaces=replaces)
            run_event(
                Tag.SUBMISSION_REPLACED if replaces else kind.tag,
                row,
                actor=actor,
                digests={"message": digest} | ({"replaces": replaces} if replaces else {}),
                data={"organization": organization, "bytes": len(content)}
                | ({"agrees": columns["agrees"]} if columns else {}),
                signature=digest,
            )
            _run_follow(kind, row, signed)
        if kind is SUBMISSION:
            with schema_context(f"t_{organization}"):
                SubmissionReceipt.objects.create(
                    campaign_id=found.campaign_id,
                    run=found.number,
                    digest=digest,
                    replaces=replaces or "",
                    size=len(content),
                )
    return True


def _message_store(
    model: type[RunMessage],
    row: Run,
    organization: str,
    kept: dict[str, Any],
    *,
    replaces: str | None,
) -> None:
    if replaces:
        before = model.objects.filter(run=row, organization=organization, digest=replaces)
        before.update(**kept, replaces=replaces)
    else:
        model.objects.create(run=row, organization=organization, **kept)


def _taken_before(
    kind: Kind, found: Run, organization: str, digest: str, replaces: str | None
) -> bool:
    before = kind.model.objects.filter(run=found, organization=organization).only("digest").first()
    if before is not None and before.digest == digest:
        return True
    if replaces:
        if before is None or before.digest != replaces:
            stands = "none" if before is None else before.digest[:16]
            raise AlreadySent(
                f"replaces: {replaces[:16]}; what {organization} has submitted is {stands}."
            )
        return False
    if before is not None:
        name = kind.model._meta.verbose_name
        hint = " To replace it before the close, PUT names it." if kind is SUBMISSION else ""
        raise AlreadySent(
            f"Another {name} of {organization} was accepted for {found}: {before.digest[:16]}, "
            f"this is {digest[:16]}. Send the same bytes again, or nothing.{hint}"
        )
    return False


def _require_run_state(kind: Kind, found: Run) -> None:
    if found.state != kind.during:
        raise CampaignClosed(f"{str(found).capitalize()} is {found.state}: it {kind.past}.")


def _run_follow(kind: Kind, row: Run, signed: Signed[Any]) -> None:
    """What the coordinator does next, now that this is stored."""
    threshold = row.agreement.threshold
    organization = signed.body.organization
    if kind is VERDICT:
        if not signed.body.agrees:
            why = f"{organization} does not agree with the release of {row}: {signed.body.detail}"
            machine.campaign_end(
                row.campaign, state=Campaign.State.CANCELLED, reason=why, actor=COORDINATOR
            )
        bell_ring([organization])
        return
    complete = {
        SUBMISSION.tag: lambda: row.submissions.count() == len(row.invited),
        RECEIPT.tag: lambda: row.runreceipts.count() == len(row.members),
        NOISE.tag: lambda: row.noises.count() >= threshold,
        SHARE.tag: lambda: row.runshares.count() >= threshold,
    }[kind.tag]()
    if complete and kind is SHARE:
        enqueue("benchmarks.run_release", row.pk)
    elif complete:
        enqueue("benchmarks.campaign_advance", row.campaign_id)
    bell_ring([organization])
