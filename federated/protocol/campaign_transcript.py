"""Every check of a campaign's run before a site charges its ledger or a trustee gives a share.

As for rounds (protocol/transcript.py): all is recomputed from the approved spec, the key epoch that
the site keeps and pinned keys. Which cohort was charged and which noised cohort was served is
remembered on the site's disk: one of each a run, whatever the coordinator asks.
"""

from __future__ import annotations

from collections.abc import Sequence

from federated.protocol.agreement import CampaignAgreement
from federated.protocol.campaign_noise import noise_check
from federated.protocol.campaign_submit import submission_form_check, votes_check
from federated.protocol.checks import approvals_check, blaming, members_check
from federated.protocol.refused import Refused
from federated.wire.base import Signed
from federated.wire.campaign import (
    CampaignContext,
    CampaignTranscript,
    NoisedCohort,
    Submission,
    SubmissionCohort,
    TrusteeNoise,
)
from federated.wire.round import Reason


def submission_cohort_check(
    cohort: SubmissionCohort,
    *,
    agreement: CampaignAgreement,
    context: CampaignContext,
    own: Signed[Submission],
) -> None:
    """What a member checks before it charges: run, minimum, members, and its own bytes in it.

    The members' votes matter to the result and not to this site's privacy: the trustees check them
    before they decrypt, and anyone can afterwards. Raises Refused.
    """
    agreement.context_check(context)
    if cohort.context != context.digest():
        raise Refused(Reason.CONTEXT_MIXED, "the cohort is bound to another run")
    members_check(sorted(cohort.members), agreement=agreement, minimum=agreement.minimum(context))
    if cohort.members.get(own.body.organization) != own.digest():
        raise Refused(
            Reason.OWN_SUBMISSION_CHANGED,
            f"the cohort does not hold what {own.body.organization} submitted",
        )


def campaign_transcript_check(
    transcript: CampaignTranscript, *, agreement: CampaignAgreement
) -> SubmissionCohort:
    """Check spec, context, members, approvals and every vote of a closed run.

    ``agreement`` is of the spec that this site approved and the epoch that it keeps. Returns the
    cohort that is to be charged and noised. Raises Refused with the reason of the first check that
    fails.
    """
    if transcript.expired is not None:
        raise Refused(
            Reason.SUBMISSION_EXPIRED, "the submissions are gone, their retention is over"
        )
    run_check(transcript, agreement=agreement)
    _check_submissions(transcript, agreement=agreement)
    return transcript.cohort()


def run_check(transcript: CampaignTranscript, *, agreement: CampaignAgreement) -> None:
    """Check spec, context, members and approvals, all but the submissions. Raises Refused."""
    shown, context = transcript.spec.digest(), transcript.context
    if shown != agreement.digest:
        raise Refused(
            Reason.SPEC_CHANGED, f"shown spec {shown[:16]}, approved {agreement.digest[:16]}"
        )
    agreement.context_check(context)
    members = transcript.members
    members_check(members, agreement=agreement, minimum=agreement.minimum(context))
    approvals_check(transcript.approvals, members, agreement=agreement)


def noised_cohort_check(
    transcript: CampaignTranscript,
    *,
    agreement: CampaignAgreement,
    own: Signed[TrusteeNoise] | None = None,
) -> NoisedCohort:
    """Check the noise shares of a transcript whose cohort was checked.

    At least t trustees' shares, each once, each signed and proven for this cohort: with fewer than
    t colluding, one of them is an honest trustee's, whoever decrypts. ``own`` is the share that
    this trustee keeps on its disk, if it gave one: what stands for it must be exactly that. It may
    be left out where t others are in. Raises Refused.
    """
    cohort = transcript.cohort()
    noise_names_check(
        [signed.body.organization for signed in transcript.noise], agreement=agreement
    )
    for signed in transcript.noise:
        _check_noise(signed, agreement=agreement, cohort=cohort)
    if own is not None:
        _check_own_noise(transcript, own, cohort)
    return transcript.noised()


def noise_names_check(names: Sequence[str], *, agreement: CampaignAgreement) -> None:
    """At least t trustees' noise, each once. Raises Refused."""
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise Refused(Reason.NOISE_REPEATED, f"more than one noise share of {repeated[0]}")
    if len(names) < agreement.threshold:
        raise Refused(
            Reason.NOISE_MISSING,
            f"{len(names)} noise shares ({', '.join(sorted(names))}), "
            f"{agreement.threshold} are needed",
        )


def _check_own_noise(
    transcript: CampaignTranscript, own: Signed[TrusteeNoise], cohort: SubmissionCohort
) -> None:
    name = own.body.organization
    if own.body.cohort != cohort.digest():
        raise Refused(
            Reason.COHORT_ALREADY_SERVED,
            f"noise of {name} is bound to cohort {own.body.cohort[:16]}, asked for "
            f"{cohort.digest()[:16]}",
        )
    shown = next((s for s in transcript.noise if s.body.organization == name), None)
    if shown is not None and shown.digest() != own.digest():
        raise Refused(Reason.NOISE_CHANGED, f"the noise of {name} is not the share it keeps")


def _check_noise(
    signed: Signed[TrusteeNoise], *, agreement: CampaignAgreement, cohort: SubmissionCohort
) -> None:
    name = signed.body.organization
    if signed.body.context != cohort.context or signed.body.cohort != cohort.digest():
        raise Refused(Reason.CONTEXT_MIXED, f"noise of {name} is bound to another run or cohort")
    with blaming(f"noise of {name}"):
        noise_check(signed, agreement=agreement, cohort=cohort)


def _check_submissions(transcript: CampaignTranscript, *, agreement: CampaignAgreement) -> None:
    for signed in transcript.submissions:
        name = signed.body.organization
        if signed.body.context != transcript.context.digest():
            raise Refused(Reason.CONTEXT_MIXED, f"submission of {name} is bound to another run")
        with blaming(f"submission of {name}"):
            submission_form_check(signed, agreement=agreement, context=transcript.context)
    with blaming("submissions"):
        votes_check(transcript.submissions, agreement=agreement)
