"""Mirrors the ledger that an organization's site keeps and signs."""

from __future__ import annotations

from django.db import transaction
from django_tenants.utils import schema_context

from apps.budgets.models import Account, Charge, LedgerReport
from apps.budgets.reconcile import differences
from apps.budgets.services.allotments import allotments_mirror
from apps.common.actor import Actor
from apps.provenance.services import event_record
from apps.provenance.tags import Tag
from federated.errors import Conflict, Forbidden
from federated.protocol.identity import verify_signed
from federated.wire import site as wire
from federated.wire.base import Signed

DIFFERENCES_LOGGED = 20


class ReportStale(Conflict):
    """A newer report, or another of the same number, is mirrored."""

    code = "report_stale"
    title = "A newer report is here"


def ledger_mirror(
    *, organization: str, signed: Signed[wire.LedgerReport], public_key: str, actor: Actor
) -> bool:
    """Replace the mirror by a newer report of the organization's site. True if it was newer.

    ``public_key`` is the site's (base64url SPKI). Raises Forbidden, SignatureInvalid or
    ReportStale.
    """
    report, digest = signed.body, signed.digest()
    if report.organization != organization:
        raise Forbidden(
            f"The ledger is {report.organization}'s; this certificate is {organization}'s."
        )
    verify_signed(signed, public_key)
    with transaction.atomic(), schema_context(f"t_{organization}"):
        newest = LedgerReport.objects.select_for_update().order_by("-sequence").first()
        if newest is not None and newest.digest == digest:
            return False
        if newest is not None and newest.sequence >= report.sequence:
            raise ReportStale(
                f"Report {newest.sequence} is mirrored; report {report.sequence} is not newer."
            )
        _replace(report)
        LedgerReport.objects.all().delete()
        found = [
            one.dump() for one in differences(organization=organization, charges=report.charges)
        ]
        LedgerReport.objects.create(
            sequence=report.sequence, digest=digest, message=signed.dump(), differences=found
        )
        event_record(
            tag=Tag.LEDGER_MIRRORED,
            actor=actor,
            subject=("ledger", organization),
            digests={"report": digest},
            data={"sequence": report.sequence, "charges": len(report.charges)},
            signature=digest,
        )
        allotments_mirror(report, digest=digest, actor=actor)
        if found and (newest is None or newest.differences != found):
            _record_differences(found, organization=organization, digest=digest, actor=actor)
        return True


def _record_differences(
    found: list[dict[str, object]], *, organization: str, digest: str, actor: Actor
) -> None:
    """Into the organization's own log, once for each set of differences."""
    event_record(
        tag=Tag.LEDGER_DIFFERS,
        actor=actor,
        subject=("ledger", organization),
        digests={"report": digest},
        data={"count": len(found), "differences": found[:DIFFERENCES_LOGGED]},
    )


def _replace(report: wire.LedgerReport) -> None:
    Account.objects.all().delete()
    Account.objects.bulk_create(Account(**account.dump()) for account in report.accounts)
    Charge.objects.all().delete()
    Charge.objects.bulk_create(
        Charge(**charge.dump() | {"cohort": charge.cohort or ""}) for charge in report.charges
    )
