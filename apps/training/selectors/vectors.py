"""Masked vectors: who may read which."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from apps.attempts.models import Attempt
from apps.common.selectors import get_for
from apps.training.models import MaskedVector
from apps.training.storage import blob_storage
from federated.errors import InvalidInput


def vectors_of(attempt: Attempt) -> QuerySet[MaskedVector]:
    """The vectors of an attempt whose bytes are kept."""
    return MaskedVector.objects.filter(attempt=attempt, deleted_at=None)


def vector_get_for(attempt: Attempt, *, organization: str, digest: str) -> MaskedVector:
    """A cohort member's vector once the attempt has closed, one's own at any time.

    ``attempt`` is an attempt that the organization may see. Raises NotFound.
    """
    allowed = {organization, *attempt.members}
    # Two members cannot have one digest by chance; if one copied, the bytes are the same.
    rows = vectors_of(attempt).filter(digest=digest, organization__in=allowed)
    return get_for(rows.order_by("organization")[:1])


def vector_open(vector: MaskedVector) -> Any:
    """The stored file, open to be read. Raises InvalidInput where storage lost it."""
    try:
        return blob_storage().open(vector.key)
    except FileNotFoundError as error:
        raise InvalidInput(
            f"the masked vector of {vector.organization} is not in the storage any more"
        ) from error
