"""Releasing what a run's trustees decrypted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from apps.aggregation.bell import bell_ring
from apps.benchmarks.models import Run
from apps.benchmarks.selectors.transcripts import run_transcript
from apps.benchmarks.services import machine, runs
from apps.common.coordinator import as_coordinator
from apps.provenance.tags import Tag
from federated.errors import DomainError
from federated.protocol.campaign_release import campaign_release_make
from federated.wire.campaign import CampaignRelease

LEASE_SECONDS = 30


def run_release(run_id: Any) -> bool:
    """decrypting -> released: combine the shares. True if this call released.

    The result is a function of the transcript, so that doing it twice does no harm; the lease only
    keeps two workers from doing it at once.
    """
    with as_coordinator():
        found = Run.objects.select_related("campaign").get(pk=run_id)
        agreement = found.agreement
        if found.runshares.count() < agreement.threshold or not _run_lease(run_id):
            return False
        try:
            release = campaign_release_make(run_transcript(found), agreement=agreement)
        except DomainError as error:
            return _run_give_up(found, error)
        return _release_store(found, release)


def _run_lease(run_id: Any) -> bool:
    moment = timezone.now()
    return (
        Run.objects.filter(pk=run_id, state=Run.State.DECRYPTING)
        .filter(Q(leased_until=None) | Q(leased_until__lt=moment))
        .update(leased_until=moment + timedelta(seconds=LEASE_SECONDS))
        == 1
    )


def _run_give_up(found: Run, error: DomainError) -> bool:
    with transaction.atomic():
        found.campaign = machine.campaign_lock(found.campaign_id)
        runs.run_abandon(found, reason=f"the shares do not make a release: {error.message}")
    return False


def _release_store(found: Run, release: CampaignRelease) -> bool:
    with transaction.atomic():
        found.campaign = machine.campaign_lock(found.campaign_id)
        won = Run.objects.filter(pk=found.pk, state=Run.State.DECRYPTING).update(
            state=Run.State.RELEASED, release=release.dump(), released_at=timezone.now()
        )
        if not won:
            return False
        found.refresh_from_db(fields=["state", "release", "released_at"])
        runs.run_event(
            Tag.RUN_RELEASED,
            found,
            digests={"release": release.digest()},
            data={"count": release.count},
        )
        bell_ring(found.campaign.slugs())
        return True
