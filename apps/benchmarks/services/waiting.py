"""What a campaign waits for before its next run."""

from __future__ import annotations

from apps.attempts.models import Agreement, Participant
from apps.benchmarks.models import Campaign
from apps.keys.bell import bell_ring
from apps.keys.models import KeyEpoch
from apps.keys.selectors import key_epoch_get

NAMED_MOST = 5


def campaign_wait(campaign: Campaign) -> None:
    """Say on the row what the campaign waits for before its next run; nothing if it may open."""
    reason = _why_not(campaign)
    if campaign.reason != reason:
        Agreement.objects.filter(pk=campaign.pk).update(reason=reason)
        campaign.reason = reason
        bell_ring(campaign.slugs())


def _why_not(campaign: Campaign) -> str:
    spec = campaign.wire
    key = key_epoch_get(digest=campaign.key_epoch)
    if key.state not in KeyEpoch.USABLE or not key.confirmed:
        return (
            "waits for its key epoch: not every trustee has confirmed its share, or it is retired"
        )
    parts = list(campaign.participants.all())
    approved = {p.organization for p in parts if p.state == Participant.State.APPROVED}
    declined = [p for p in parts if p.state == Participant.State.DECLINED]
    said = "; ".join(f"{p.organization} declined: {p.reason}" for p in declined)
    pending = sorted(p.organization for p in parts if p.state == Participant.State.PENDING)
    names = ", ".join(pending[:NAMED_MOST])
    more = f" and {len(pending) - NAMED_MOST} more" if len(pending) > NAMED_MOST else ""
    open_answers = f"; {names}{more} to answer" if pending else ""
    if len(approved) < spec.minimum_cohort:
        told = f"{len(approved)} of at least {spec.minimum_cohort} organizations have approved"
        return f"{told}{open_answers}{'; ' if said else ''}{said}"[:1000]
    threshold = campaign.terms.threshold
    trustees = campaign.terms.serving(approved)
    if len(trustees) < threshold:
        told = f"{len(trustees)} of at least {threshold} trustees have approved"
        return f"{told}{open_answers}{'; ' if said else ''}{said}"[:1000]
    return ""
