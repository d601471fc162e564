"""Exports, which are themselves events of the organization that takes them."""

from __future__ import annotations

import hashlib

from django.db import transaction
from django_tenants.utils import schema_context

from apps.audit.selectors import bundle_assemble
from apps.common.actor import Actor
from apps.federation.models import Job
from apps.provenance.services import event_record
from apps.provenance.tags import Tag


def bundle_export(*, job: Job, organization: str, actor: Actor) -> bytes:
    """The job's bundle as JSON, noted in the organization's own log."""
    bundle = bundle_assemble(job=job, organization=organization)
    content = bundle.to_bytes()
    with transaction.atomic(), schema_context(f"t_{organization}"):
        event_record(
            tag=Tag.BUNDLE_EXPORTED,
            actor=actor,
            subject=("job", job.pk),
            digests={"bundle": hashlib.sha256(content).hexdigest()},
            data={"bytes": len(content)},
        )
    return content
