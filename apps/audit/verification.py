"""The offline verifier, run in the portal for its own readers.

A portal that verifies itself proves nothing to an outsider: pages say so beside the result.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.core.cache import cache

from apps.audit.selectors import bundle_assemble
from apps.federation.models import Job
from federated.client.verify_campaigns import campaign_checks
from federated.client.verify_rounds import round_checks
from federated.errors import Conflict, TooLarge
from federated.provenance.bundle import Bundle, load_bundle
from federated.provenance.bundle_file import Parts
from federated.provenance.verify import Report, verify_bundle

CONTRIBUTIONS_MOST = 400
"""Above it a request would take minutes: the verifier belongs on the reader's own machine."""
BUSY_SECONDS = 300


def job_verify(*, job: Job, organization: str) -> Report:
    """Verify the job's bundle as it would be exported now; nothing is kept.

    Raises TooLarge for a job that takes too long here, Conflict while the organization has another
    verification running.
    """
    with one_at_a_time(organization):
        return _verify(bundle_assemble(job=job, organization=organization))


def file_verify(*, path: Path, organization: str) -> Report:
    """Verify an uploaded bundle. Raises BundleInvalid, and as `job_verify`."""
    with one_at_a_time(organization):
        return _verify(load_bundle(path))


def _verify(bundle: Bundle) -> Report:
    """Raises TooLarge before any of the costly checks."""
    found = sum(_contributions(bundle))
    if found > CONTRIBUTIONS_MOST:
        raise TooLarge(
            f"The bundle holds {found} contributions; here at most {CONTRIBUTIONS_MOST} are "
            "checked. Verify it on your own machine: federated verify FILE"
        )
    return verify_bundle(bundle, checks=[round_checks, campaign_checks])


def _contributions(bundle: Bundle) -> Iterator[int]:
    """How many proofs each attempt and run asks for; what is no record fails its own check."""
    for kind, rows, items in (
        ("jobs", "attempts", "contributions"),
        ("campaigns", "runs", "submissions"),
    ):
        records = bundle.sections.get(kind)
        for record in records if isinstance(records, list) else []:
            listed = record.get(rows) if isinstance(record, dict) else None
            for attempt in listed if isinstance(listed, list | Parts) else []:
                found = attempt.get(items) if isinstance(attempt, dict) else None
                yield len(found) if isinstance(found, list) else 0


@contextmanager
def one_at_a_time(organization: str) -> Iterator[None]:
    """Raises Conflict: verifying is minutes of a processor, and anybody may ask for it."""
    key = f"verifying:{organization}"
    if not cache.add(key, True, BUSY_SECONDS):
        raise Conflict("Another verification of your organization runs; try again when it is done.")
    try:
        yield
    finally:
        cache.delete(key)
