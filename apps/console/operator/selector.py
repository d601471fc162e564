"""The consortium's health, without anything of an organization's own."""

from __future__ import annotations

from typing import Any

from django.db.models import Count

from apps.attempts.selectors.agreements import key_uses
from apps.console.operator import page as pages
from apps.console.shared.events import anchor_row
from apps.console.shared.sites import site_row
from apps.keys.models import KeyEpoch
from apps.organizations.models import Organization
from apps.provenance.selectors import anchoring_state, anchors_newest, checkpoint_latest
from apps.provenance.services import log_size
from apps.training.models import Job
from federated.protocol.keys import public_key_of

KEYS_MOST = 20
ANCHORS_SHOWN = 8


def operator_page() -> pages.OperatorPage:
    """Call in the public schema."""
    counts = dict(
        Job.objects.order_by().values("state").annotate(n=Count("pk")).values_list("state", "n")
    )
    checkpoint = checkpoint_latest()
    organizations = Organization.objects.prefetch_related(
        "sites__certificates", "sites__organization"
    )
    return pages.OperatorPage(
        organizations=[
            pages.OrganizationRow(
                name=row.name,
                slug=row.slug,
                state=row.state,
                sites=[site_row(site) for site in row.sites.all()],
            )
            for row in organizations
        ],
        keys=_keys(),
        jobs=[(state.value, counts[state]) for state in Job.State if state in counts],
        log_size=log_size(),
        checkpoint_size=None if checkpoint is None else checkpoint.size,
        **_anchors(),
    )


def _keys() -> list[pages.KeyRow]:
    """The newest epochs, the active one first."""
    newest = KeyEpoch.objects.prefetch_related("confirmations", "retirements").order_by("-number")
    rows = [_key(epoch) for epoch in newest[:KEYS_MOST]]
    return sorted(rows, key=lambda row: row.state != KeyEpoch.State.ACTIVE)


def _key(epoch: KeyEpoch) -> pages.KeyRow:
    message = epoch.wire
    confirmed = {row.organization for row in epoch.confirmations.all()}
    destroyed = {row.organization for row in epoch.retirements.all()}

    def share(organization: str) -> str:
        if organization in destroyed:
            return "destroyed"
        if epoch.state not in KeyEpoch.USABLE:
            return "not yet destroyed"
        return "confirmed" if organization in confirmed else "not yet confirmed"

    return pages.KeyRow(
        number=epoch.number,
        digest=epoch.digest,
        state=epoch.state,
        reason=epoch.reason,
        threshold=message.threshold,
        bits=public_key_of(message).bits,
        at=epoch.destroyed_at
        or epoch.retired_at
        or epoch.superseded_at
        or epoch.activated_at
        or epoch.created_at,
        trustees=[(t.organization, share(t.organization)) for t in message.trustees],
        jobs=len(key_uses(epoch.digest)),
    )


def _anchors() -> dict[str, Any]:
    """The newest anchors, and what is in the way of the next."""
    found = anchors_newest(ANCHORS_SHOWN)
    return {
        "anchoring": anchoring_state(),
        "anchors": [anchor_row(anchor) for anchor in found],
        "anchor_error": next((row.last_error[:300] for row in found if row.failing_since), ""),
    }
