"""Checks of what a site sends for an attempt, by the same code that sites and the verifier use."""

from __future__ import annotations

from typing import Any

from apps.federation.errors import (
    ChargeMismatch,
    CohortMismatch,
    ContextMismatch,
    VectorMissing,
)
from apps.federation.models import Job, Round
from apps.federation.selectors.transcripts import transcript_of
from apps.federation.selectors.vectors import vectors_of
from federated.errors import Forbidden, InvalidInput
from federated.protocol.contribute import contribution_check
from federated.protocol.share import product_of, share_check
from federated.wire import round as wire
from federated.wire.base import Signed, decode_bytes


def sender(signed: Signed[Any], *, organization: str) -> None:
    """A message speaks for the organization whose certificate brings it. Raises Forbidden."""
    if signed.body.organization != organization:
        raise Forbidden(
            f"The message is {signed.body.organization}'s; this certificate is {organization}'s."
        )


def signature(signed: Signed[Any], *, job: Job) -> None:
    """Signed by the key that the spec pins. Raises Forbidden or SignatureInvalid."""
    job.agreement.verify(signed)


def _context(given: str, found: Round) -> None:
    if given != found.context_digest:
        raise ContextMismatch(
            f"context: bound to {given[:16]}; {found} has {found.context_digest[:16]}"
        )


def _cohort(given: str, found: Round) -> None:
    if given != found.cohort_digest:
        raise CohortMismatch(f"cohort: {given[:16]}; that of {found} is {found.cohort_digest[:16]}")


def contribution_arrival(signed: Signed[wire.Contribution], *, found: Round) -> None:
    """Signature, context, number and range of ciphertexts, proof; its masked vector is here."""
    _context(signed.body.context, found)
    contribution_check(signed, agreement=found.job.agreement, context=found.wire_context)
    wanted = signed.body.masked
    mine = vectors_of(found).filter(organization=signed.body.organization, digest=wanted)
    if wanted is not None and not mine.exists():
        raise VectorMissing(f"masked: the vector {wanted[:16]} has not arrived for {found}")


def receipt_arrival(signed: Signed[wire.ChargeReceipt], *, found: Round) -> None:
    """A member of the cohort charged the spec's cost of this attempt."""
    body = signed.body
    _context(body.context, found)
    _cohort(body.cohort, found)
    if body.organization not in found.members:
        raise CohortMismatch(f"{body.organization} is not in the cohort of {found}")
    signature(signed, job=found.job)
    cost = found.job.agreement.cost
    if body.cost != cost:
        raise ChargeMismatch(
            f"cost: {body.cost.dataset} {body.cost.rho}; the spec's attempt costs "
            f"{cost.dataset} {cost.rho}"
        )


def share_arrival(signed: Signed[wire.DecryptionShare], *, found: Round) -> None:
    """A trustee of the key proved its partial decryptions of this cohort's product."""
    _context(signed.body.context, found)
    _cohort(signed.body.cohort, found)
    signature(signed, job=found.job)
    cohort = found.wire_cohort
    if cohort is None:
        raise InvalidInput(f"{found} has no cohort")
    share_check(signed, agreement=found.job.agreement, cohort=cohort, product=product(found))


def product(found: Round) -> list[int]:
    """The cohort's product: kept by the summing task, else computed here."""
    if found.product is not None:
        return [int.from_bytes(decode_bytes(item), "big") for item in found.product]
    return product_of(transcript_of(found), agreement=found.job.agreement)


def verdict_arrival(signed: Signed[wire.Verdict], *, found: Round) -> None:
    """A participant judges this release; who agrees names it exactly."""
    body = signed.body
    _context(body.context, found)
    signature(signed, job=found.job)
    release = found.wire_release
    if release is None:
        raise InvalidInput(f"{found} has no release")
    if body.agrees:
        _cohort(body.cohort, found)
        if body.release != release.digest():
            raise InvalidInput(
                f"release: agrees with {body.release[:16]}; the release is {release.digest()[:16]}"
            )
