"""Every check that a site makes before it charges its ledger or gives a decryption share.

The coordinator is not trusted: all is recomputed from the agreement that the site keeps. What is
remembered across requests (which cohort was served for which attempt, the site's own contribution)
is the site's, not here.
"""

from __future__ import annotations

from federated.protocol.agreement import JobAgreement
from federated.protocol.checks import approvals_check, blaming, members_check
from federated.protocol.contribute import contribution_check
from federated.protocol.refused import Refused
from federated.wire.base import Signed
from federated.wire.job import JobSpec
from federated.wire.round import Cohort, Contribution, Reason, RoundContext, Transcript


def transcript_check(transcript: Transcript, *, agreement: JobAgreement) -> Cohort:
    """Check spec, approvals, context and contributions of a closed attempt.

    ``agreement`` is of the spec that this site approved and the epoch that it keeps. Returns the
    cohort that is to be charged and served. Raises Refused with the reason of the first check that
    fails.
    """
    if transcript.expired:
        raise Refused(
            Reason.CONTRIBUTION_EXPIRED, "the contributions are gone, their retention is over"
        )
    attempt_check(transcript, agreement=agreement)
    names = [signed.body.organization for signed in transcript.contributions]
    members_check(names, agreement=agreement, minimum=agreement.minimum(transcript.context))
    for signed in transcript.contributions:
        _check_contribution(signed, agreement=agreement, context=transcript.context)
    return transcript.cohort()


def attempt_check(transcript: Transcript, *, agreement: JobAgreement) -> None:
    """Check spec, context and approvals, all but the contributions. Raises Refused."""
    _check_spec(transcript, agreement=agreement)
    agreement.context_check(transcript.context)
    approvals_check(transcript.approvals, agreement.participants, agreement=agreement)


def _check_spec(transcript: Transcript, *, agreement: JobAgreement) -> None:
    shown, approved = transcript.spec.body, agreement.spec
    if shown.digest() != agreement.digest:
        raise Refused(
            Reason.SPEC_CHANGED,
            f"shown spec {shown.digest()[:16]}, approved {agreement.digest[:16]}"
            + _privacy_difference(shown, approved),
        )
    with blaming("spec"):
        agreement.verify_by(transcript.spec, approved.proposer)


def _privacy_difference(shown: JobSpec, approved: JobSpec) -> str:
    if shown.privacy.epsilon != approved.privacy.epsilon:
        return f"; epsilon {shown.privacy.epsilon} instead of {approved.privacy.epsilon}"
    return ""


def _check_contribution(
    signed: Signed[Contribution], *, agreement: JobAgreement, context: RoundContext
) -> None:
    name = signed.body.organization
    if signed.body.context != context.digest():
        raise Refused(Reason.CONTEXT_MIXED, f"contribution of {name} is bound to another attempt")
    with blaming(f"contribution of {name}"):
        contribution_check(signed, agreement=agreement, context=context)
