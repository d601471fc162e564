"""The consortium's health, without anything of an organization's own."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models import Count

from apps.aggregation.models import KeyEpoch
from apps.console import pages
from apps.console.selectors.sites import site_row
from apps.federation.models import Job
from apps.organizations.models import Organization
from apps.provenance.models import Anchor
from apps.provenance.selectors import checkpoint_latest
from apps.provenance.services import log_size


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
        epoch=_epoch(),
        jobs=[(state.value, counts[state]) for state in Job.State if state in counts],
        log_size=log_size(),
        checkpoint_size=None if checkpoint is None else checkpoint.size,
        **_anchors(),
    )


def _epoch() -> pages.KeyRow | None:
    newest = KeyEpoch.objects.exclude(state=KeyEpoch.State.RETIRED).order_by("-number").first()
    if newest is None:
        return None
    return pages.KeyRow(number=newest.number, digest=newest.digest, state=newest.state)


def _anchors() -> dict[str, Any]:
    """The newest anchor in the chain, and what is on its way or in its way."""
    if not settings.FSC_CONFIG.blockchain.enabled:
        return {"anchor_block": None, "anchor_note": "anchoring is off: nothing is anchored"}
    confirmed = Anchor.objects.filter(state=Anchor.State.CONFIRMED).order_by("-size").first()
    under_way = Anchor.objects.exclude(state=Anchor.State.CONFIRMED).order_by("-size").first()
    if under_way is not None and under_way.last_error:
        note = f"the next one failed {under_way.attempts} times: {under_way.last_error[:200]}"
    elif confirmed is not None:
        note = f"{confirmed.size} events of {len(confirmed.notes)} logs"
    else:
        note = "the first is on its way" if under_way is not None else "nothing to anchor yet"
    return {
        "anchor_block": None if confirmed is None else confirmed.block_number,
        "anchor_note": note,
    }
