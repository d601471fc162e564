"""Every check that a site makes before it charges its ledger, adds noise or gives a share.

The coordinator is not trusted: all is recomputed from the agreement that the site keeps. What is
remembered across requests (which cohort was served for which attempt, the site's own contribution)
is the site's, not here.

Once retention has deleted the contributions, neither their signatures and proofs can be checked nor
the proofs of shares, which need the product. Their digests still are in the cohort, which every
charge receipt and every share signs, and the signed shares still combine to the released sums.
"""

from __future__ import annotations

from typing import Any

from federated.protocol.agreement import AnyAgreement
from federated.protocol.checks import approvals_check, members_check
from federated.protocol.kinds import kind_of
from federated.protocol.refused import Refused
from federated.wire.base import Signed
from federated.wire.round import ClosedAttempt, Reason


def transcript_check(transcript: ClosedAttempt, *, agreement: AnyAgreement) -> Any:
    """Check spec, context, members, approvals and contributions of a closed attempt.

    ``agreement`` is of the spec that this site approved and the epoch that it keeps. Returns the
    cohort that is to be charged, noised and served. Raises Refused with the reason of the first
    check that fails.
    """
    kind = kind_of(agreement)
    if transcript.left:
        raise Refused(kind.gone, f"the {kind.contribution}s are gone, their retention is over")
    cohort = expired_check(transcript, agreement=agreement)
    for signed in transcript.given:
        if signed.body.context != cohort.context:
            raise Refused(
                Reason.CONTEXT_MIXED,
                f"{kind.contribution} of {signed.body.organization} is bound to another attempt",
            )
    kind.contributions_check(transcript.given, agreement=agreement, context=transcript.context)
    return cohort


def expired_check(transcript: ClosedAttempt, *, agreement: AnyAgreement) -> Any:
    """All that transcript_check checks but the contributions' own signatures and proofs.

    Returns the cohort. Raises Refused. Nobody charges, adds noise or decrypts on it:
    transcript_check refuses such a transcript.
    """
    kind, context = kind_of(agreement), transcript.context
    kind.spec_check(transcript, agreement=agreement)
    agreement.context_check(context)
    names = [signed.body.organization for signed in transcript.given]
    names += [left.organization for left in transcript.left]
    minimum = agreement.minimum(context)
    members_check(names, agreement=agreement, minimum=minimum, what=kind.contribution)
    approvals_check(transcript.approvals, agreement.approvers(names), agreement=agreement)
    return transcript.cohort()


def cohort_check(
    cohort: Any, *, agreement: AnyAgreement, context: Any, own: Signed[Any] | None
) -> None:
    """What a member checks where it is shown the cohort alone: minimum, members, its own bytes.

    The members' votes matter to the result and not to this site's privacy: the trustees check them
    before they decrypt, and anyone can afterwards. Raises Refused.
    """
    kind = kind_of(agreement)
    agreement.context_check(context)
    if cohort.context != context.digest():
        raise Refused(Reason.CONTEXT_MIXED, "the cohort is bound to another attempt")
    minimum = agreement.minimum(context)
    members_check(
        sorted(cohort.members), agreement=agreement, minimum=minimum, what=kind.contribution
    )
    if own is None or cohort.members.get(own.body.organization) != own.digest():
        raise Refused(kind.changed, f"the cohort does not hold the {kind.contribution} made here")
