"""Checks that every kind of joint computation shares: approvals, members, charges.

The coordinator is not trusted: all is recomputed from the agreement that the site keeps, and
signatures by keys that its spec pins. A check that fails raises Refused with its reason.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from federated.errors import InvalidInput, SignatureInvalid
from federated.protocol.agreement import AnyAgreement
from federated.protocol.refused import Refused
from federated.wire.base import Signed
from federated.wire.campaign import CampaignApproval, SubmissionCohort
from federated.wire.job import Approval
from federated.wire.round import ChargeReceipt, Cohort, Reason

AnyApproval = Approval | CampaignApproval


@contextmanager
def blaming(what: str) -> Iterator[None]:
    """Turn an error of a signature, a shape or a proof into the refusal that names ``what``."""
    try:
        yield
    except SignatureInvalid as error:
        raise Refused(Reason.SIGNATURE_INVALID, f"{what}: {error.message}") from error
    except InvalidInput as error:  # ProofInvalid is one
        raise Refused(Reason.PROOF_INVALID, f"{what}: {error.message}") from error


def approval_check(
    signed: Signed[Approval] | Signed[CampaignApproval], *, agreement: AnyAgreement
) -> None:
    """Check one countersignature: a participant's, of this very spec, with its cost.

    Raises Refused.
    """
    given: AnyApproval = signed.body
    name = given.organization
    if agreement.participant(name) is None:
        raise Refused(Reason.MEMBER_UNKNOWN, f"approval of {name}")
    expected = agreement.approval(name)
    if type(given) is not type(expected) or given.spec != expected.spec:
        raise Refused(Reason.APPROVAL_MISSING, f"{name} approved another spec")
    with blaming(f"approval of {name}"):
        agreement.verify_by(signed, name)  # type: ignore[misc]  # either approval
    if given != expected:
        raise Refused(
            Reason.APPROVAL_MISSING,
            f"{name} approved {_terms(given)}; the {agreement.NOUN} is {_terms(expected)}",
        )


def _terms(approval: AnyApproval) -> str:
    if isinstance(approval, CampaignApproval):
        subject, count = approval.campaign_id, f"{approval.runs} runs of rho"
    else:
        subject, count = approval.job_id, f"{approval.rounds} rounds for rho"
    return f"{subject[:8]}, {count} {approval.cost.rho} of {approval.cost.dataset}"


def approvals_check(
    approvals: Sequence[Signed[Approval]] | Sequence[Signed[CampaignApproval]],
    needed: Collection[str],
    *,
    agreement: AnyAgreement,
) -> None:
    """Check every approval, and that all of ``needed`` gave one. Raises Refused."""
    for signed in approvals:
        approval_check(signed, agreement=agreement)
    missing = sorted(set(needed) - {signed.body.organization for signed in approvals})
    if missing:
        raise Refused(Reason.APPROVAL_MISSING, f"not approved by {', '.join(missing)}")


def members_check(names: Sequence[str], *, agreement: AnyAgreement, minimum: int) -> None:
    """Check that a cohort's organizations are participants, none twice, and enough.

    ``minimum`` is the attempt's: fewer members' noise shares do not reach the target together.
    Raises Refused.
    """
    what = agreement.CONTRIBUTION
    for name in names:
        if agreement.participant(name) is None:
            raise Refused(Reason.MEMBER_UNKNOWN, f"{what} of {name}, not in the spec")
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise Refused(Reason.MEMBER_REPEATED, f"more than one {what} of {repeated[0]}")
    if len(names) < minimum:
        raise Refused(
            Reason.COHORT_BELOW_MINIMUM,
            f"{len(names)} {what}s ({', '.join(sorted(names))}), "
            f"this attempt's minimum is {minimum}",
        )


def charges_check(
    receipts: Sequence[Signed[ChargeReceipt]],
    *,
    agreement: AnyAgreement,
    cohort: Cohort | SubmissionCohort,
) -> None:
    """Check that every member of the cohort committed this attempt's whole charge.

    Raises Refused: charge_missing names the members without a receipt, charge_mismatch a receipt
    for another cohort or another cost.
    """
    digest = cohort.digest()
    for signed in receipts:
        receipt = signed.body
        name = receipt.organization
        if agreement.participant(name) is None or name not in cohort.members:
            raise Refused(Reason.MEMBER_UNKNOWN, f"receipt of {name}, not in the cohort")
        with blaming(f"receipt of {name}"):
            agreement.verify(signed)
        if receipt.context != cohort.context or receipt.cohort != digest:
            raise Refused(
                Reason.CHARGE_MISMATCH, f"receipt of {name} is for another attempt or cohort"
            )
        if receipt.cost != agreement.cost:
            raise Refused(
                Reason.CHARGE_MISMATCH,
                f"receipt of {name} charges rho {receipt.cost.rho}, "
                f"the spec costs {agreement.cost.rho}",
            )
    missing = sorted(set(cohort.members) - {signed.body.organization for signed in receipts})
    if missing:
        raise Refused(Reason.CHARGE_MISSING, f"no charge by {', '.join(missing)}")
