"""Releasing what a run's trustees decrypted."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from apps.attempts.steps import lease_take, release_fail, release_store
from apps.benchmarks.models import Run
from apps.benchmarks.selectors.transcripts import run_transcript
from apps.benchmarks.services.attempts import RUNS
from apps.benchmarks.services.lifecycle import campaign_lock
from apps.common.coordinator import as_coordinator
from apps.provenance.tags import Tag
from federated.errors import DomainError
from federated.protocol.release import release_make
from federated.wire.campaign import CampaignRelease


def run_release(run_id: Any) -> bool:
    """decrypting -> released: combine the shares. True if this call released.

    The result is a function of the transcript, so that doing it twice does no harm; the lease only
    keeps two workers from doing it at once.
    """
    with as_coordinator():
        row = Run.objects.select_related("campaign").get(pk=run_id)
        agreement = row.agreement
        if row.runshares.count() < agreement.threshold or not lease_take(RUNS, row):
            return False
        try:
            release, _ = release_make(run_transcript(row), agreement=agreement)
        except DomainError as error:
            release_fail(RUNS, row, error)
            return False
        return _release_store(row, release)


def _release_store(row: Run, release: CampaignRelease) -> bool:
    with transaction.atomic():
        row.campaign = campaign_lock(row.campaign_id)
        if not release_store(RUNS, row, release=release.dump()):
            return False
        RUNS.event(
            Tag.RUN_RELEASED,
            row,
            digests={"release": release.digest()},
            data={"count": release.count},
        )
        return True
