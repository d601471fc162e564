"""Exports, which are themselves events of the organization that takes them."""

from __future__ import annotations

import hashlib
from typing import Any

from django.db import transaction
from django_tenants.utils import schema_context

from apps.audit.selectors import bundle_assemble, campaign_bundle_assemble
from apps.benchmarks.models import Campaign
from apps.common.actor import Actor
from apps.provenance.services import event_record
from apps.provenance.tags import Tag
from apps.training.models import Job
from federated.provenance.bundle import Bundle


def bundle_export(*, job: Job, organization: str, actor: Actor) -> bytes:
    """The job's bundle as JSON, noted in the organization's own log."""
    bundle = bundle_assemble(job=job, organization=organization)
    return _export(bundle, ("job", job.pk), organization=organization, actor=actor)


def campaign_bundle_export(*, campaign: Campaign, organization: str, actor: Actor) -> bytes:
    """The campaign's bundle as JSON, noted in the organization's own log."""
    bundle = campaign_bundle_assemble(campaign=campaign, organization=organization)
    return _export(bundle, ("campaign", campaign.pk), organization=organization, actor=actor)


def _export(bundle: Bundle, subject: tuple[str, Any], *, organization: str, actor: Actor) -> bytes:
    content = bundle.to_bytes()
    with transaction.atomic(), schema_context(f"t_{organization}"):
        event_record(
            tag=Tag.BUNDLE_EXPORTED,
            actor=actor,
            subject=subject,
            digests={"bundle": hashlib.sha256(content).hexdigest()},
            data={"bytes": len(content)},
        )
    return content
