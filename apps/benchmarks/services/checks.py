"""Checks of what a site sends for a run, by the same code that sites and the verifier use."""

from __future__ import annotations

from typing import Any

from apps.benchmarks.models import Run
from apps.benchmarks.selectors.transcripts import run_transcript
from apps.benchmarks.selectors.trustees import trustees_of
from apps.federation.errors import ChargeMismatch, CohortMismatch, ContextMismatch
from federated.errors import Forbidden, InvalidInput
from federated.protocol.campaign_noise import noise_check
from federated.protocol.campaign_release import campaign_share_check
from federated.protocol.campaign_submit import submission_check
from federated.wire import campaign as wire
from federated.wire import round as wire_round
from federated.wire.base import Signed


def sender(signed: Signed[Any], *, organization: str) -> None:
    """A message speaks for the organization whose certificate brings it. Raises Forbidden."""
    if signed.body.organization != organization:
        raise Forbidden(
            f"The message is {signed.body.organization}'s; this certificate is {organization}'s."
        )


def signature(signed: Signed[Any], found: Run) -> None:
    """Signed by the key that the spec pins. Raises Forbidden or SignatureInvalid."""
    found.agreement.verify(signed)


def _context(given: str, found: Run) -> None:
    if given != found.context_digest:
        raise ContextMismatch(
            f"context: bound to {given[:16]}; {found} has {found.context_digest[:16]}"
        )


def _cohort(given: str, expected: str, found: Run) -> None:
    if given != expected:
        raise CohortMismatch(f"cohort: {given[:16]}; that of {found} is {expected[:16]}")


def submission_arrival(signed: Signed[wire.Submission], found: Run) -> None:
    """Of an organization that approved; signature, context, number of votes, their proofs."""
    organization = signed.body.organization
    _context(signed.body.context, found)
    if organization not in found.approvals:
        raise Forbidden(
            f"{organization} had not approved the campaign when {found} opened: its site had "
            "reserved nothing for it."
        )
    submission_check(signed, agreement=found.agreement, context=found.wire_context)


def receipt_arrival(signed: Signed[wire_round.ChargeReceipt], found: Run) -> None:
    """A member of the cohort charged the spec's cost of this run."""
    body = signed.body
    _context(body.context, found)
    _cohort(body.cohort, found.cohort_digest, found)
    if body.organization not in found.members:
        raise CohortMismatch(f"{body.organization} is not in the cohort of {found}")
    signature(signed, found)
    cost = found.agreement.cost
    if body.cost != cost:
        raise ChargeMismatch(
            f"cost: {body.cost.dataset} {body.cost.rho}; the spec's run costs "
            f"{cost.dataset} {cost.rho}"
        )


def noise_arrival(signed: Signed[wire.TrusteeNoise], found: Run) -> None:
    """A trustee that approved proved its noise for this cohort."""
    _context(signed.body.context, found)
    _cohort(signed.body.cohort, found.cohort_digest, found)
    if signed.body.organization not in trustees_of(found):
        raise Forbidden(f"{signed.body.organization} is no trustee of this campaign's key.")
    cohort = found.wire_cohort
    assert cohort is not None
    noise_check(signed, agreement=found.agreement, cohort=cohort)


def share_arrival(signed: Signed[wire_round.DecryptionShare], found: Run) -> None:
    """A trustee proved its partial decryptions of the noised product."""
    _context(signed.body.context, found)
    _cohort(signed.body.cohort, found.noised_digest, found)
    signature(signed, found)
    campaign_share_check(signed, transcript=run_transcript(found), agreement=found.agreement)


def verdict_arrival(signed: Signed[wire_round.Verdict], found: Run) -> None:
    """A member of the cohort judges this release; who agrees names it exactly."""
    body = signed.body
    _context(body.context, found)
    signature(signed, found)
    if body.organization not in found.members:
        raise Forbidden(f"{body.organization} is not in the cohort of {found}.")
    release = found.wire_release
    if release is None:
        raise InvalidInput(f"{found} has no release")
    if body.agrees:
        _cohort(body.cohort, found.noised_digest, found)
        if body.release != release.digest():
            raise InvalidInput(
                f"release: agrees with {body.release[:16]}; the release is {release.digest()[:16]}"
            )
