"""A dealt key: published, confirmed, superseded by the next, retired, destroyed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.common.actor import COORDINATOR, Actor
from apps.common.coordinator import as_coordinator
from apps.common.selectors import get_for
from apps.keys.bell import bell_ring
from apps.keys.models import KeyConfirmation, KeyEpoch, KeyRetirement, SealedShare
from apps.keys.selectors import check_open, roster
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
    than before or a key that is retired.
    """
    _check_statement(epoch, organization, signed, what="confirmation")
    digest = signed.digest()
    with as_coordinator(), transaction.atomic():
        locked = key_epoch_lock(digest=epoch.digest)
        before = locked.confirmations.filter(organization=organization).first()
        if before is not None:
            if before.digest != digest:
                raise Conflict("another confirmation was sent before")
            return False
        if locked.state not in KeyEpoch.USABLE:
            raise Conflict(f"key epoch {locked.number} is {locked.state}; it is not confirmed now")
        KeyConfirmation.objects.create(
            epoch=locked, organization=organization, message=signed.dump(), digest=digest
        )
        complete = locked.confirmations.count() == len(locked.wire.trustees)
        _statement_event(
            Tag.KEY_ACTIVATED if complete else Tag.KEY_CONFIRMED,
            locked,
            actor=actor,
            organization=organization,
            signature=digest,
        )
        if complete:
            _activate(locked)
        bell_ring([organization])
        return True


def key_retired_receive(
    *, epoch: KeyEpoch, organization: str, signed: Signed[wire.KeyRetired], actor: Actor
) -> bool:
    """Keep a trustee's word that its share is destroyed; the last one ends the key.

    True if it is new. Raises Forbidden for another organization's, SignatureInvalid, and Conflict
    for other bytes than before or a key that is not retired.
    """
    _check_statement(epoch, organization, signed, what="retirement")
    digest = signed.digest()
    with as_coordinator(), transaction.atomic():
        locked = key_epoch_lock(digest=epoch.digest)
        before = locked.retirements.filter(organization=organization).first()
        if before is not None:
            if before.digest != digest:
                raise Conflict("another retirement was sent before")
            return False
        if locked.state in KeyEpoch.USABLE:
            raise Conflict(f"key epoch {locked.number} is {locked.state}, not retired")
        KeyRetirement.objects.create(
            epoch=locked, organization=organization, message=signed.dump(), digest=digest
        )
        complete = locked.retirements.count() == len(locked.wire.trustees)
        _statement_event(
            Tag.KEY_SHARE_DESTROYED,
            locked,
            actor=actor,
            organization=organization,
            signature=digest,
        )
        if complete and _move(locked, KeyEpoch.State.DESTROYED, at="destroyed_at"):
            _epoch_event(Tag.KEY_DESTROYED, locked, actor=COORDINATOR)
        bell_ring([organization])
        return True


def key_epoch_lock(*, digest: str) -> KeyEpoch:
    """The epoch's row, locked until the transaction ends. Raises NotFound."""
    return get_for(KeyEpoch.objects.select_for_update(no_key=True), digest=digest)


def key_epoch_hold(*, digest: str) -> None:
    """Keep a key from being retired until the transaction that names it for new work ends.

    Raises InvalidInput where it takes no new work.
    """
    check_open(
        KeyEpoch.objects.select_for_update(no_key=True).filter(digest=digest).first(), digest
    )


def _move(epoch: KeyEpoch, state: KeyEpoch.State, *, at: str, **fields: object) -> bool:
    """Claim a transition of KeyEpoch.REACHED_FROM by a conditional UPDATE; False if it was not
    there to take. The caller records it."""
    won = KeyEpoch.objects.filter(pk=epoch.pk, state__in=KeyEpoch.REACHED_FROM[state]).update(
        state=state, **{at: timezone.now()}, **fields
    )
    epoch.refresh_from_db()
    return won == 1


def key_epoch_retire(*, epoch: KeyEpoch, reason: str, actor: Actor) -> bool:
    """Ask every trustee to destroy its share, and forget the sealed ones. True if this call did.

    The caller has made sure that no job uses the key any more, and holds its lock.
    """
    if not _move(epoch, KeyEpoch.State.RETIRED, at="retired_at", reason=reason):
        return False
    # A site's encryption key would open them again.
    SealedShare.objects.filter(epoch=epoch).update(message=None)
    _epoch_event(Tag.KEY_RETIRED, epoch, actor=actor, data={"reason": reason})
    bell_ring(trustee.organization for trustee in epoch.wire.trustees)
    return True


def _activate(epoch: KeyEpoch) -> None:
    """One key serves new jobs at a time; jobs that name an older one keep it.

    A key whose last confirmation comes when a newer one serves already is only good for the jobs
    that wait for it.
    """
    if not _move(epoch, KeyEpoch.State.ACTIVE, at="activated_at"):
        KeyEpoch.objects.filter(pk=epoch.pk, activated_at=None).update(activated_at=timezone.now())
        return
    for older in KeyEpoch.objects.filter(number__lt=epoch.number, state__in=KeyEpoch.OPEN):
        if _move(older, KeyEpoch.State.SUPERSEDED, at="superseded_at"):
            _epoch_event(Tag.KEY_SUPERSEDED, older, actor=COORDINATOR, data={"by": epoch.number})


def _check_statement(
    epoch: KeyEpoch,
    organization: str,
    signed: Signed[Any],
    *,
    what: str,
) -> None:
    """A trustee speaks for itself, about this key, by the signing key that the ceremony saw."""
    trustee = epoch.wire.trustee(organization)
    if trustee is None or signed.body.organization != organization:
        raise Forbidden(f"{organization} cannot speak as {signed.body.organization} here")
    if signed.body.epoch != epoch.digest:
        raise InvalidInput(f"the {what} is for another key")
    verify_signed(signed, trustee.public_key)


def _statement_event(
    tag: Tag, epoch: KeyEpoch, *, actor: Actor, organization: str, signature: str
) -> None:
    _epoch_event(tag, epoch, actor=actor, data={"organization": organization}, signature=signature)


def _epoch_event(
    tag: Tag,
    epoch: KeyEpoch,
    *,
    actor: Actor,
    data: dict[str, Any] | None = None,
    signature: str | None = None,
) -> None:
    event_record(
        tag=tag,
        actor=actor,
        subject=("key_epoch", epoch.digest),
        digests={"key_epoch": epoch.digest},
        data={"number": epoch.number} | (data or {}),
        signature=signature,
    )
