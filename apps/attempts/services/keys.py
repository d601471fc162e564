"""The end of a key epoch: once nothing uses it, or at an operator's word with what that ends."""

from __future__ import annotations

from django.db import transaction

from apps.attempts.selectors.agreements import key_uses, under_key
from apps.attempts.services.agreements import agreement_end, agreement_lock
from apps.common.actor import COORDINATOR, Actor
from apps.common.coordinator import as_coordinator
from apps.keys.models import KeyEpoch
from apps.keys.selectors import key_epoch_current
from apps.keys.services import key_epoch_lock, key_epoch_retire
from federated.errors import Conflict, InvalidInput, NotFound

REASON_MOST = 500
NAMED_MOST = 5


def keys_retire_unused() -> int:
    """Retire every superseded key that nothing uses any more; how many this call retired."""
    retired = 0
    with as_coordinator():
        superseded = KeyEpoch.objects.filter(state=KeyEpoch.State.SUPERSEDED)
        for digest in superseded.values_list("digest", flat=True):
            with transaction.atomic():
                epoch = key_epoch_lock(digest=digest)
                if epoch.state == KeyEpoch.State.SUPERSEDED and not key_uses(digest):
                    retired += key_epoch_retire(
                        epoch=epoch, reason=f"nothing uses it; {_next()}", actor=COORDINATOR
                    )
    return retired


def _next() -> str:
    try:
        return f"key epoch {key_epoch_current().number} serves new ones"
    except NotFound:
        return "there is no newer one"


def key_retire(*, number: int, reason: str, end_jobs: bool, actor: Actor) -> KeyEpoch:
    """Retire a key at once. What uses it cannot finish without it, and ends for this reason.

    Raises NotFound, InvalidInput without a reason, and Conflict for a key that is retired already
    or, without ``end_jobs``, while something uses it.
    """
    if not 1 <= len(reason.strip()) <= REASON_MOST:
        raise InvalidInput(f"reason: 1 to {REASON_MOST} characters are needed", field="reason")
    with as_coordinator():
        found = KeyEpoch.objects.filter(number=number).first()
        if found is None:
            raise NotFound(f"There is no key epoch {number}.")
        with transaction.atomic():
            epoch = key_epoch_lock(digest=found.digest)
            if epoch.state not in KeyEpoch.USABLE:
                raise Conflict(f"Key epoch {number} is {epoch.state} already.")
            _end(epoch, reason.strip(), end_jobs=end_jobs, actor=actor)
            key_epoch_retire(epoch=epoch, reason=reason.strip(), actor=actor)
            return epoch


def _end(epoch: KeyEpoch, reason: str, *, end_jobs: bool, actor: Actor) -> None:
    uses = key_uses(epoch.digest)
    if uses and not end_jobs:
        more = f" and {len(uses) - NAMED_MOST} more" if len(uses) > NAMED_MOST else ""
        raise Conflict(
            f"key epoch {epoch.number} is in use by {', '.join(uses[:NAMED_MOST])}{more}, which "
            "cannot finish without it; wait, or end them (--end-jobs)"
        )
    why = f"key epoch {epoch.number} was retired: {reason}"
    for pk in under_key(epoch.digest).values_list("pk", flat=True):
        agreement = agreement_lock(pk)
        state = agreement.played.ended_by_portal
        agreement_end(agreement, state=state, reason=why, actor=actor)
