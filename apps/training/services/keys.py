"""The end of a key epoch: once nothing uses it, or at an operator's word with what that ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.db import transaction

from apps.common.actor import COORDINATOR, Actor
from apps.common.coordinator import as_coordinator
from apps.keys.models import KeyEpoch
from apps.keys.selectors import key_epoch_current
from apps.keys.services import key_epoch_lock, key_epoch_retire
from apps.training.models import Job
from apps.training.selectors.keys import jobs_under
from apps.training.services.lifecycle import job_end, job_lock
from federated.errors import Conflict, InvalidInput, NotFound

REASON_MOST = 500
NAMED_MOST = 5


@dataclass(frozen=True)
class KeyUsers:
    """What beside jobs works under keys: ``names(digest)`` of what has not ended, for people;
    ``end(digest, reason, actor)`` ends it in the caller's transaction."""

    names: Callable[[str], list[str]]
    end: Callable[[str, str, Actor], None]


_others: list[KeyUsers] = []


def key_users_from(users: KeyUsers) -> None:
    """Register what else works under keys, once, at start-up."""
    if users not in _others:
        _others.append(users)


def key_uses(digest: str) -> list[str]:
    """Everything under a key that has not ended."""
    jobs = [f"job {pk}" for pk in jobs_under(digest).values_list("pk", flat=True)]
    return [*jobs, *(name for users in _others for name in users.names(digest))]


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
    for pk in jobs_under(epoch.digest).values_list("pk", flat=True):
        job_end(job_lock(pk), state=Job.State.FAILED, reason=why, actor=actor)
    for users in _others:
        users.end(epoch.digest, why, actor)
