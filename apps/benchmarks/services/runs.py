"""The steps of one run. Callers hold the campaign's lock and run as the coordinator."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone

from apps.aggregation.bell import bell_ring
from apps.benchmarks.models import Campaign, Run
from apps.common.actor import COORDINATOR, Actor
from apps.federation.services.rounds import checkpoint_digest
from apps.provenance.services import event_record
from apps.provenance.tags import Tag
from federated.wire.campaign import CampaignContext, NoisedCohort, SubmissionCohort


def run_open(campaign: Campaign, *, number: int) -> Run:
    """A new run by the present spec, for those who approved it. One at a time: a constraint."""
    spec = campaign.wire
    context = CampaignContext(
        campaign_id=str(campaign.pk),
        spec=campaign.spec_digest,
        run=number,
        key_epoch=spec.key_epoch,
        checkpoint=checkpoint_digest(),
    )
    approved = campaign.participants.filter(state="approved").order_by("organization")
    opened = timezone.now()
    found = Run.objects.create(
        campaign=campaign,
        number=number,
        spec=campaign.spec,
        approvals={part.organization: part.answer for part in approved},
        context=context.dump(),
        context_digest=context.digest(),
        opened_at=opened,
        deadline=opened + timedelta(seconds=spec.run_seconds),
    )
    run_event(Tag.RUN_OPENED, found, digests={"spec": campaign.spec_digest})
    bell_ring(campaign.slugs())
    return found


def run_close(found: Run) -> None:
    """open -> charging with the cohort fixed, or abandoned below the minimum.

    A submission holds the run's row locked while it is stored, so that after the UPDATE every
    accepted one is visible.
    """
    if not _run_claim(found, Run.State.OPEN, Run.State.CHARGING, closed_at=timezone.now()):
        return
    members = dict(found.submissions.values_list("organization", "digest"))
    minimum = found.wire.minimum_cohort
    if len(members) < minimum:
        run_abandon(
            found,
            reason=f"{len(members)} submissions at the close, the minimum is {minimum}: nothing is "
            "decrypted, the run's cost is returned",
        )
        return
    cohort = SubmissionCohort(context=found.context_digest, members=members)
    found.cohort, found.cohort_digest = cohort.dump(), cohort.digest()
    found.deadline = _run_deadline(found)
    found.save(update_fields=["cohort", "cohort_digest", "deadline"])
    run_event(Tag.RUN_CLOSED, found, data={"submissions": len(members)})
    bell_ring(found.campaign.slugs())


def run_charged(found: Run) -> None:
    """charging -> noising: every member of the cohort has charged its ledger."""
    if _run_claim(found, Run.State.CHARGING, Run.State.NOISING, charged_at=timezone.now()):
        found.deadline = _run_deadline(found)
        found.save(update_fields=["deadline"])
        run_event(Tag.RUN_CHARGED, found)
        bell_ring(found.campaign.slugs())


def run_noised(found: Run) -> None:
    """noising -> decrypting: what is decrypted holds the noise of these trustees, no other."""
    if not _run_claim(found, Run.State.NOISING, Run.State.DECRYPTING, noised_at=timezone.now()):
        return
    shares = dict(found.noises.values_list("organization", "digest"))
    noised = NoisedCohort(context=found.context_digest, cohort=found.cohort_digest, noise=shares)
    found.noised, found.noised_digest = noised.dump(), noised.digest()
    found.deadline = _run_deadline(found)
    found.save(update_fields=["noised", "noised_digest", "deadline"])
    run_event(Tag.RUN_NOISED, found, digests=shares)
    bell_ring(found.campaign.slugs())


def run_abandon(found: Run, *, reason: str) -> bool:
    """End a run without a release. True if this call did."""
    won = Run.objects.filter(pk=found.pk, state__in=Run.GOING).update(
        state=Run.State.ABANDONED, reason=reason[:1000], abandoned_at=timezone.now()
    )
    if not won:
        return False
    _run_refresh(found)
    run_event(Tag.RUN_ABANDONED, found, data={"reason": reason[:1000]})
    bell_ring(found.campaign.slugs())
    return True


def _run_deadline(found: Run) -> object:
    return timezone.now() + timedelta(seconds=found.wire.run_seconds)


def _run_claim(found: Run, before: Run.State, after: Run.State, **fields: object) -> bool:
    won = Run.objects.filter(pk=found.pk, state=before).update(state=after, **fields) == 1
    if won:
        _run_refresh(found)
    return won


def _run_refresh(found: Run) -> None:
    campaign = found.campaign
    found.refresh_from_db()
    found.campaign = campaign


def run_event(
    tag: Tag,
    found: Run,
    *,
    actor: Actor = COORDINATOR,
    digests: dict[str, str] | None = None,
    data: dict[str, Any] | None = None,
    signature: str | None = None,
) -> None:
    """An event of a campaign's run, with what identifies it."""
    known = {"context": found.context_digest}
    if found.cohort_digest:
        known["cohort"] = found.cohort_digest
    if found.noised_digest:
        known["noised"] = found.noised_digest
    event_record(
        tag=tag,
        actor=actor,
        subject=("campaign", found.campaign_id),
        digests=known | (digests or {}),
        data={"run": found.number} | (data or {}),
        signature=signature,
    )
