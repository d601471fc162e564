"""Every check that a site makes before it charges its ledger or gives a decryption share.

The coordinator is not trusted: all is recomputed from the approved spec, the key epoch that the
site keeps, and signatures by keys that the spec pins. What is remembered across requests (which
cohort was served for which attempt, the site's own contribution) is the site's, not here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from federated.errors import InvalidInput, ProofInvalid, SignatureInvalid
from federated.protocol.contribute import contribution_check
from federated.protocol.cost import round_cost
from federated.protocol.identity import verify_signed
from federated.protocol.refused import Refused
from federated.wire.base import Signed
from federated.wire.campaign import CampaignApproval, SubmissionCohort
from federated.wire.job import Approval, Cost, JobSpec, Participant
from federated.wire.key import KeyEpoch
from federated.wire.round import (
    ChargeReceipt,
    Cohort,
    Contribution,
    Reason,
    RoundContext,
    Transcript,
)

A = TypeVar("A", Approval, CampaignApproval)


def transcript_check(transcript: Transcript, *, spec: JobSpec, epoch: KeyEpoch) -> Cohort:
    """Check spec, approvals, context and contributions of a closed attempt.

    ``spec`` is the one this site approved, ``epoch`` the one it keeps. Returns the cohort that is
    to be charged and served. Raises Refused with the reason of the first check that fails.
    """
    if transcript.expired:
        raise Refused(
            Reason.CONTRIBUTION_EXPIRED, "the contributions are gone, their retention is over"
        )
    attempt_check(transcript, spec=spec, epoch=epoch)
    names = [signed.body.organization for signed in transcript.contributions]
    members_check(names, spec=spec, minimum=transcript.context.minimum(spec))
    for signed in transcript.contributions:
        _check_contribution(signed, spec=spec, epoch=epoch, context=transcript.context)
    return transcript.cohort()


def attempt_check(transcript: Transcript, *, spec: JobSpec, epoch: KeyEpoch) -> None:
    """Check spec, context and approvals, all but the contributions. Raises Refused."""
    _check_spec(transcript, spec=spec, epoch=epoch)
    context_check(transcript.context, spec=spec, epoch=epoch)
    _check_approvals(transcript.approvals, spec=spec)


def context_check(context: RoundContext, *, spec: JobSpec, epoch: KeyEpoch) -> None:
    """Check that a context belongs to this job, this key and a round of the spec.

    Raises Refused.
    """
    if context.job_id != spec.job_id:
        raise Refused(Reason.JOB_UNKNOWN, f"context names job {context.job_id}")
    if context.spec != spec.digest():
        raise Refused(Reason.SPEC_CHANGED, f"context binds spec {context.spec[:16]}")
    if context.key_epoch != epoch.digest():
        raise Refused(Reason.KEY_UNKNOWN, f"context binds key epoch {context.key_epoch[:16]}")
    if context.round > spec.strategy.rounds:
        raise Refused(
            Reason.CONTEXT_MIXED,
            f"round {context.round} of a job of {spec.strategy.rounds} rounds",
        )
    asked, most = context.minimum_cohort, len(spec.participants)
    if asked and not spec.minimum_cohort < asked <= most:
        raise Refused(
            Reason.CONTEXT_MIXED,
            f"minimum_cohort {asked}; above the spec's {spec.minimum_cohort} and at most {most} "
            "are allowed, or nothing",
        )


def receipts_check(
    receipts: Sequence[Signed[ChargeReceipt]], *, spec: JobSpec, cohort: Cohort
) -> None:
    """Check that every member of the cohort committed this attempt's whole charge.

    Raises Refused: charge_missing names the members without a receipt, charge_mismatch a receipt
    for another cohort or another cost.
    """
    charges_check(receipts, cost=round_cost(spec), participant=spec.participant, cohort=cohort)


def charges_check(
    receipts: Sequence[Signed[ChargeReceipt]],
    *,
    cost: Cost,
    participant: Callable[[str], Participant | None],
    cohort: Cohort | SubmissionCohort,
) -> None:
    """Check that every member of ``cohort`` committed exactly ``cost``. Raises Refused."""
    seen: set[str] = set()
    for signed in receipts:
        receipt = signed.body
        member = participant(receipt.organization)
        if member is None or receipt.organization not in cohort.members:
            raise Refused(
                Reason.MEMBER_UNKNOWN, f"receipt of {receipt.organization}, not in the cohort"
            )
        try:
            verify_signed(signed, member.public_key)
        except SignatureInvalid as error:
            raise Refused(
                Reason.SIGNATURE_INVALID, f"receipt of {receipt.organization}: {error.message}"
            ) from error
        if receipt.context != cohort.context or receipt.cohort != cohort.digest():
            raise Refused(
                Reason.CHARGE_MISMATCH,
                f"receipt of {receipt.organization} is for another attempt or cohort",
            )
        if receipt.cost != cost:
            raise Refused(
                Reason.CHARGE_MISMATCH,
                f"receipt of {receipt.organization} charges rho {receipt.cost.rho}, "
                f"the spec costs {cost.rho}",
            )
        seen.add(receipt.organization)
    missing = sorted(set(cohort.members) - seen)
    if missing:
        raise Refused(Reason.CHARGE_MISSING, f"no charge by {', '.join(missing)}")


def _check_spec(transcript: Transcript, *, spec: JobSpec, epoch: KeyEpoch) -> None:
    shown = transcript.spec.body
    if shown.digest() != spec.digest():
        raise Refused(
            Reason.SPEC_CHANGED,
            f"shown spec {shown.digest()[:16]}, approved {spec.digest()[:16]}"
            + _privacy_difference(shown, spec),
        )
    if spec.key_epoch != epoch.digest():
        raise Refused(Reason.KEY_UNKNOWN, f"spec pins key epoch {spec.key_epoch[:16]}")
    proposer = spec.participant(spec.proposer)
    if proposer is None:
        raise Refused(Reason.MEMBER_UNKNOWN, f"proposer {spec.proposer} takes no part")
    try:
        verify_signed(transcript.spec, proposer.public_key)
    except SignatureInvalid as error:
        raise Refused(Reason.SIGNATURE_INVALID, f"spec: {error.message}") from error


def _privacy_difference(shown: JobSpec, approved: JobSpec) -> str:
    if shown.privacy.epsilon != approved.privacy.epsilon:
        return f"; epsilon {shown.privacy.epsilon} instead of {approved.privacy.epsilon}"
    return ""


def approval_check(signed: Signed[Approval], *, spec: JobSpec) -> None:
    """Check one countersignature against the spec. Raises Refused."""
    approval = signed.body
    same = (approval.spec, approval.job_id) == (spec.digest(), spec.job_id)
    countersignature_check(signed, spec.participant(approval.organization), same_spec=same)
    cost = round_cost(spec)
    expected = cost.model_copy(update={"rho": cost.rho * spec.strategy.rounds})
    if approval.cost != expected or approval.rounds != spec.strategy.rounds:
        raise Refused(
            Reason.APPROVAL_MISSING,
            f"{approval.organization} approved rho {approval.cost.rho} for "
            f"{approval.rounds} rounds, the job costs {expected.rho}",
        )


def countersignature_check(
    signed: Signed[A],
    participant: Participant | None,
    *,
    same_spec: bool,
) -> None:
    """Check that a participant, if it is one, signed this approval of the very spec.

    Raises Refused.
    """
    organization = signed.body.organization
    if participant is None:
        raise Refused(Reason.MEMBER_UNKNOWN, f"approval of {organization}")
    if not same_spec:
        raise Refused(Reason.APPROVAL_MISSING, f"{organization} approved another spec")
    try:
        verify_signed(signed, participant.public_key)
    except SignatureInvalid as error:
        raise Refused(
            Reason.SIGNATURE_INVALID, f"approval of {organization}: {error.message}"
        ) from error


def _check_approvals(approvals: Sequence[Signed[Approval]], *, spec: JobSpec) -> None:
    for signed in approvals:
        approval_check(signed, spec=spec)
    approved = {signed.body.organization for signed in approvals}
    missing = sorted({p.organization for p in spec.participants} - approved)
    if missing:
        raise Refused(Reason.APPROVAL_MISSING, f"not approved by {', '.join(missing)}")


def members_check(names: Sequence[str], *, spec: JobSpec, minimum: int) -> None:
    """Check that a cohort's organizations are participants, none twice, and enough.

    ``minimum`` is the attempt's: fewer members' noise shares do not reach the target together.
    Raises Refused.
    """
    for name in names:
        if spec.participant(name) is None:
            raise Refused(Reason.MEMBER_UNKNOWN, f"contribution of {name}, not in the spec")
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise Refused(Reason.MEMBER_REPEATED, f"more than one contribution of {repeated[0]}")
    if len(names) < minimum:
        raise Refused(
            Reason.COHORT_BELOW_MINIMUM,
            f"{len(names)} contributions ({', '.join(sorted(names))}), "
            f"this attempt's minimum is {minimum}",
        )


def _check_contribution(
    signed: Signed[Contribution], *, spec: JobSpec, epoch: KeyEpoch, context: RoundContext
) -> None:
    name = signed.body.organization
    if signed.body.context != context.digest():
        raise Refused(Reason.CONTEXT_MIXED, f"contribution of {name} is bound to another attempt")
    try:
        contribution_check(signed, spec=spec, epoch=epoch, context=context)
    except SignatureInvalid as error:
        raise Refused(
            Reason.SIGNATURE_INVALID, f"contribution of {name}: {error.message}"
        ) from error
    except ProofInvalid as error:
        raise Refused(Reason.PROOF_INVALID, f"contribution of {name}: {error.message}") from error
    except InvalidInput as error:
        raise Refused(Reason.PROOF_INVALID, f"contribution of {name}: {error.message}") from error
