"""Publishing a dealt key, and its activation by its trustees."""

from __future__ import annotations

from collections.abc import Sequence

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.aggregation.bell import bell_ring
from apps.aggregation.models import KeyConfirmation, KeyEpoch, SealedShare
from apps.aggregation.selectors import roster
from apps.common.actor import Actor
from apps.common.coordinator import as_coordinator
from apps.provenance.services import event_record
from apps.provenance.tags import Tag
from federated.errors import Conflict, Forbidden, InvalidInput
from federated.protocol.identity import verify_signed
from federated.protocol.keys import public_key_of, verification_of
from federated.wire import key as wire
from federated.wire.base import Signed


def key_epoch_publish(
    *, epoch: wire.KeyEpoch, shares: Sequence[wire.SealedShare], actor: Actor
) -> KeyEpoch:
    """Store a dealt key and its sealed shares; the same key again changes nothing.

    Raises InvalidInput for a key that does not fit its roster or its shares, Conflict for a number
    that is taken or not the next.
    """
    digest = epoch.digest()
    with as_coordinator(), transaction.atomic():
        found = KeyEpoch.objects.filter(digest=digest).first()
        if found is not None:
            return found
        _check_epoch(epoch)
        _check_shares(epoch, shares)
        newest = KeyEpoch.objects.order_by("-number").first()
        if newest is not None and epoch.number <= newest.number:
            raise Conflict(f"key epoch {epoch.number} is taken; the next is {newest.number + 1}")
        row = KeyEpoch.objects.create(number=epoch.number, digest=digest, message=epoch.dump())
        SealedShare.objects.bulk_create(
            SealedShare(epoch=row, organization=share.organization, message=share.dump())
            for share in shares
        )
        event_record(
            tag=Tag.KEY_REGISTERED,
            actor=actor,
            subject=("key_epoch", digest),
            digests={"key_epoch": digest},
            data={
                "number": epoch.number,
                "threshold": epoch.threshold,
                "trustees": [trustee.organization for trustee in epoch.trustees],
            },
        )
        bell_ring(trustee.organization for trustee in epoch.trustees)
        return row


def _check_epoch(epoch: wire.KeyEpoch) -> None:
    if epoch.consortium != settings.FSC_CONSORTIUM:
        raise InvalidInput(
            f"the key is of consortium {epoch.consortium}, this is {settings.FSC_CONSORTIUM}"
        )
    public_key_of(epoch)
    verification_of(epoch)
    sites = {site.organization: site for site in roster().sites}
    for trustee in epoch.trustees:
        site = sites.get(trustee.organization)
        if site is None:
            raise InvalidInput(f"trustee {trustee.organization} has no active site")
        if site.public_key != trustee.public_key:
            raise InvalidInput(
                f"trustee {trustee.organization}: the key was dealt to another site key than its "
                "certificate's; run the ceremony again with the present roster"
            )


def _check_shares(epoch: wire.KeyEpoch, shares: Sequence[wire.SealedShare]) -> None:
    digest = epoch.digest()
    expected = {trustee.organization: trustee.index for trustee in epoch.trustees}
    given = {share.organization: share.index for share in shares}
    if given != expected or len(shares) != len(expected):
        raise InvalidInput(
            f"sealed shares for {', '.join(sorted(given)) or 'nobody'}; the trustees are "
            f"{', '.join(sorted(expected))}, one share each"
        )
    for share in shares:
        if share.epoch != digest:
            raise InvalidInput(f"the share of {share.organization} is for another key")


def key_confirm(
    *, epoch: KeyEpoch, organization: str, signed: Signed[wire.KeyConfirmation], actor: Actor
) -> bool:
    """Keep a trustee's confirmation; the last one activates the key. True if it is new.

    Raises Forbidden for another organization's, SignatureInvalid, and Conflict for other bytes
    than before.
    """
    message, digest = epoch.wire, signed.digest()
    trustee = message.trustee(organization)
    if trustee is None or signed.body.organization != organization:
        raise Forbidden(f"{organization} cannot confirm as {signed.body.organization}")
    if signed.body.epoch != epoch.digest:
        raise InvalidInput("the confirmation is for another key")
    verify_signed(signed, trustee.public_key)
    with as_coordinator(), transaction.atomic():
        locked = KeyEpoch.objects.select_for_update().get(pk=epoch.pk)
        before = locked.confirmations.filter(organization=organization).first()
        if before is not None:
            if before.digest != digest:
                raise Conflict("another confirmation was sent before")
            return False
        KeyConfirmation.objects.create(
            epoch=locked, organization=organization, message=signed.dump(), digest=digest
        )
        complete = locked.confirmations.count() == len(message.trustees)
        event_record(
            tag=Tag.KEY_ACTIVATED if complete else Tag.KEY_CONFIRMED,
            actor=actor,
            subject=("key_epoch", epoch.digest),
            digests={"key_epoch": epoch.digest},
            data={"number": epoch.number, "organization": organization},
            signature=digest,
        )
        if complete:
            _activate(locked)
        bell_ring([organization])
        return True


def _activate(epoch: KeyEpoch) -> None:
    """One key serves new jobs at a time; jobs that began under an older one keep it."""
    KeyEpoch.objects.filter(state=KeyEpoch.State.ACTIVE, number__lt=epoch.number).update(
        state=KeyEpoch.State.RETIRED
    )
    KeyEpoch.objects.filter(pk=epoch.pk, state=KeyEpoch.State.PENDING).update(
        state=KeyEpoch.State.ACTIVE, activated_at=timezone.now()
    )
