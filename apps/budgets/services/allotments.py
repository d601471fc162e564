"""Asks a site for another allotment, and mirrors the site's answer.

Nothing here changes an account: the site's ledger counts, and it takes what grants more from
nobody but a person at the site (federated.site.allotments).
"""

from __future__ import annotations

from typing import Any, cast

from django.db import transaction
from django.utils import timezone
from django_tenants.utils import schema_context

from apps.budgets.models import Account, AllotmentChange, AllotmentRequest
from apps.budgets.selectors import account_allotment, account_epsilons
from apps.common.actor import Actor
from apps.common.selectors import get_for
from apps.keys.bell import bell_ring
from apps.provenance.services import event_record, events_record
from apps.provenance.tags import Tag
from federated.errors import AllotmentBelowSpent, Conflict
from federated.site.allotments import checked_reason, describe
from federated.site.ledger_report import stamp
from federated.wire import site as wire
from federated.wire.job import Unit

State = AllotmentRequest.State
OPEN = (State.PENDING, State.WAITING)


def allotment_request(
    *,
    organization: str,
    dataset: str,
    unit: str,
    changes: dict[str, Any],
    reason: str,
    actor: Actor,
) -> AllotmentRequest:
    """Ask the organization's site for another allotment of a mirrored account.

    ``changes`` holds the fields of wire.Allotment that are to differ. An earlier request of the
    account that is still open is superseded. Raises NotFound for an account that the site never
    reported, InvalidInput naming a field, Conflict where nothing changes and AllotmentBelowSpent
    by how much; the site checks all again.
    """
    reason = checked_reason(reason)
    with transaction.atomic(), schema_context(f"t_{organization}"):
        account = get_for(Account.objects.select_for_update(), dataset=dataset, unit=unit)
        before = account_allotment(account)
        after = wire.Allotment.parse(before.dump() | changes)
        if after == before:
            raise Conflict(f"{dataset}: it is allotted {describe(before)} already.")
        _check_spent(account, after)
        row = AllotmentRequest(dataset=dataset, unit=unit, before=before.dump())
        message = wire.AllotmentRequest(
            id=str(row.pk),
            organization=organization,
            dataset=dataset,
            unit=cast("Unit", account.unit),
            allotment=after,
            reason=reason,
            requested_by=actor.name,
            at=stamp(timezone.now()),
        )
        row.message = message.dump()
        open_ones = AllotmentRequest.objects.filter(dataset=dataset, unit=unit, state__in=OPEN)
        superseded = [str(pk) for pk in open_ones.values_list("pk", flat=True)]
        open_ones.update(state=State.SUPERSEDED, detail=f"request {row.pk} came after it")
        row.save(force_insert=True)
        event_record(
            tag=Tag.ALLOTMENT_REQUESTED,
            actor=actor,
            subject=("allotment_request", row.pk),
            digests={"request": message.digest()},
            data={
                "dataset": dataset,
                "unit": unit,
                "before": before.dump(),
                "after": after.dump(),
                "reason": reason,
                "superseded": superseded,
            },
        )
        bell_ring([organization])
        return row


def _check_spent(account: Account, after: wire.Allotment) -> None:
    """By the mirror, which knows the sums of the account's own period."""
    if after.period != account.period:
        return
    used, _ = account_epsilons(account, 0.0, delta=after.delta)
    if used > after.epsilon:
        raise AllotmentBelowSpent(
            f"{account.dataset}: epsilon {used:.3f} at delta {after.delta:g} is spent or reserved "
            f"this {account.period}; an allotment of {after.epsilon:g} would be "
            f"{used - after.epsilon:.3f} below it.",
            used=used,
            asked=after.epsilon,
        )


def allotments_mirror(report: wire.LedgerReport, *, digest: str, actor: Actor) -> None:
    """Mirror a report's changes and answers to requests; call under the organization's schema.

    ``digest`` is the report's, ``actor`` the site. A change is recorded once.
    """
    known = {str(pk) for pk in AllotmentChange.objects.values_list("pk", flat=True)}
    new = [change for change in report.changes if change.id not in known]
    AllotmentChange.objects.bulk_create(
        AllotmentChange(
            id=change.id,
            dataset=change.dataset,
            unit=change.unit,
            message=change.dump(),
            at=change.at,
        )
        for change in new
    )
    events_record(_change_event(change, digest=digest, actor=actor) for change in new)
    for answer in report.answers:
        _answer_keep(answer, digest=digest, actor=actor)


def _change_event(change: wire.AllotmentChange, *, digest: str, actor: Actor) -> dict[str, Any]:
    return {
        "tag": Tag.ALLOTMENT_GRANTED if change.before is None else Tag.ALLOTMENT_CHANGED,
        "actor": actor,
        "subject": ("allotment_change", change.id),
        "digests": {"report": digest},
        "data": {
            "dataset": change.dataset,
            "unit": change.unit,
            "before": None if change.before is None else change.before.dump(),
            "after": change.after.dump(),
            "reason": change.reason,
            "by": change.by,
            "request": change.request,
        },
        "signature": digest,
    }


def _answer_keep(answer: wire.AllotmentAnswer, *, digest: str, actor: Actor) -> None:
    """The site's last word on a request, also on one that was superseded here meanwhile."""
    asked = AllotmentRequest.objects.filter(pk=answer.request)
    row = asked.exclude(state=answer.state).first()
    if row is None or (row.state == State.SUPERSEDED and State(answer.state) != State.APPLIED):
        return
    asked.update(state=answer.state, detail=answer.detail)
    event_record(
        tag=Tag.ALLOTMENT_ANSWERED,
        actor=actor,
        subject=("allotment_request", row.pk),
        digests={"report": digest},
        data={"state": answer.state, "detail": answer.detail},
        signature=digest,
    )
