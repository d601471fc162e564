"""Every check of a campaign's run before a site charges its ledger or a trustee gives a share.

As for rounds (protocol/transcript.py): all is recomputed from the approved spec, the key epoch that
the site keeps and pinned keys. Which cohort was charged and which noised cohort was served is
remembered on the site's disk: one of each a run, whatever the coordinator asks.
"""

from __future__ import annotations

from collections.abc import Sequence

from federated.errors import InvalidInput, ProofInvalid, SignatureInvalid
from federated.protocol.campaign_layout import run_cost
from federated.protocol.campaign_noise import noise_check
from federated.protocol.campaign_submit import submission_form_check, votes_check
from federated.protocol.refused import Refused
from federated.protocol.transcript import charges_check, countersignature_check
from federated.wire.base import Signed
from federated.wire.campaign import (
    CampaignApproval,
    CampaignContext,
    CampaignSpec,
    CampaignTranscript,
    NoisedCohort,
    Submission,
    SubmissionCohort,
    TrusteeNoise,
)
from federated.wire.key import KeyEpoch
from federated.wire.round import ChargeReceipt, Reason


def campaign_context_check(
    context: CampaignContext, *, spec: CampaignSpec, epoch: KeyEpoch
) -> None:
    """Check that a context belongs to this campaign, this key and a run of the spec.

    Raises Refused.
    """
    if context.campaign_id != spec.campaign_id:
        raise Refused(Reason.CAMPAIGN_UNKNOWN, f"context names campaign {context.campaign_id}")
    if context.spec != spec.digest():
        raise Refused(Reason.SPEC_CHANGED, f"context binds spec {context.spec[:16]}")
    if context.key_epoch != epoch.digest():
        raise Refused(Reason.KEY_UNKNOWN, f"context binds key epoch {context.key_epoch[:16]}")
    if context.run > spec.runs:
        raise Refused(Reason.CONTEXT_MIXED, f"run {context.run} of a campaign of {spec.runs} runs")


def campaign_approval_check(
    signed: Signed[CampaignApproval], *, spec: CampaignSpec, epoch: KeyEpoch
) -> None:
    """Check one countersignature against the spec. Raises Refused."""
    approval = signed.body
    same = (approval.spec, approval.campaign_id) == (spec.digest(), spec.campaign_id)
    countersignature_check(signed, spec.participant(approval.organization), same_spec=same)
    cost = run_cost(spec, epoch)
    if approval.cost != cost or approval.runs != spec.runs:
        raise Refused(
            Reason.APPROVAL_MISSING,
            f"{approval.organization} approved rho {approval.cost.rho} a run for "
            f"{approval.runs} runs, the campaign costs {cost.rho} for {spec.runs}",
        )


def submission_cohort_check(
    cohort: SubmissionCohort,
    *,
    spec: CampaignSpec,
    epoch: KeyEpoch,
    context: CampaignContext,
    own: Signed[Submission],
) -> None:
    """What a member checks before it charges: run, minimum, members, and its own bytes in it.

    The members' votes matter to the result and not to this site's privacy: the trustees check them
    before they decrypt, and anyone can afterwards. Raises Refused.
    """
    campaign_context_check(context, spec=spec, epoch=epoch)
    if cohort.context != context.digest():
        raise Refused(Reason.CONTEXT_MIXED, "the cohort is bound to another run")
    _check_names(sorted(cohort.members), spec=spec)
    if cohort.members.get(own.body.organization) != own.digest():
        raise Refused(
            Reason.OWN_SUBMISSION_CHANGED,
            f"the cohort does not hold what {own.body.organization} submitted",
        )


def campaign_transcript_check(
    transcript: CampaignTranscript, *, spec: CampaignSpec, epoch: KeyEpoch
) -> SubmissionCohort:
    """Check spec, context, members, approvals and every vote of a closed run.

    ``spec`` is the one this site approved, ``epoch`` the one it keeps. Returns the cohort that is
    to be charged and noised. Raises Refused with the reason of the first check that fails.
    """
    if transcript.expired is not None:
        raise Refused(
            Reason.SUBMISSION_EXPIRED, "the submissions are gone, their retention is over"
        )
    run_check(transcript, spec=spec, epoch=epoch)
    _check_submissions(transcript, spec=spec, epoch=epoch)
    return transcript.cohort()


def run_check(transcript: CampaignTranscript, *, spec: CampaignSpec, epoch: KeyEpoch) -> None:
    """Check spec, context, members and approvals, all but the submissions. Raises Refused."""
    shown = transcript.spec.digest()
    if shown != spec.digest():
        raise Refused(
            Reason.SPEC_CHANGED, f"shown spec {shown[:16]}, approved {spec.digest()[:16]}"
        )
    if spec.key_epoch != epoch.digest():
        raise Refused(Reason.KEY_UNKNOWN, f"spec pins key epoch {spec.key_epoch[:16]}")
    campaign_context_check(transcript.context, spec=spec, epoch=epoch)
    _check_names(transcript.members, spec=spec)
    _check_approvals(transcript.approvals, transcript.members, spec=spec, epoch=epoch)


def campaign_charges_check(
    receipts: Sequence[Signed[ChargeReceipt]],
    *,
    spec: CampaignSpec,
    epoch: KeyEpoch,
    cohort: SubmissionCohort,
) -> None:
    """Check that every member of the cohort committed one run's whole charge. Raises Refused."""
    charges_check(receipts, cost=run_cost(spec, epoch), participant=spec.participant, cohort=cohort)


def noised_cohort_check(
    transcript: CampaignTranscript,
    *,
    spec: CampaignSpec,
    epoch: KeyEpoch,
    own: Signed[TrusteeNoise] | None = None,
) -> NoisedCohort:
    """Check the noise shares of a transcript whose cohort was checked.

    At least t trustees' shares, each once, each signed and proven for this cohort: with fewer than
    t colluding, one of them is an honest trustee's, whoever decrypts. ``own`` is the share that
    this trustee keeps on its disk, if it gave one: what stands for it must be exactly that. It may
    be left out where t others are in. Raises Refused.
    """
    cohort = transcript.cohort()
    noise_names_check([signed.body.organization for signed in transcript.noise], epoch=epoch)
    for signed in transcript.noise:
        _check_noise(signed, spec=spec, epoch=epoch, cohort=cohort)
    if own is not None:
        _check_own_noise(transcript, own, cohort)
    return transcript.noised()


def noise_names_check(names: Sequence[str], *, epoch: KeyEpoch) -> None:
    """At least t trustees' noise, each once. Raises Refused."""
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise Refused(Reason.NOISE_REPEATED, f"more than one noise share of {repeated[0]}")
    if len(names) < epoch.threshold:
        raise Refused(
            Reason.NOISE_MISSING,
            f"{len(names)} noise shares ({', '.join(sorted(names))}), {epoch.threshold} are needed",
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
    signed: Signed[TrusteeNoise], *, spec: CampaignSpec, epoch: KeyEpoch, cohort: SubmissionCohort
) -> None:
    name = signed.body.organization
    if signed.body.context != cohort.context or signed.body.cohort != cohort.digest():
        raise Refused(Reason.CONTEXT_MIXED, f"noise of {name} is bound to another run or cohort")
    try:
        noise_check(signed, spec=spec, epoch=epoch, cohort=cohort)
    except SignatureInvalid as error:
        raise Refused(Reason.SIGNATURE_INVALID, f"noise of {name}: {error.message}") from error
    except InvalidInput as error:
        raise Refused(Reason.PROOF_INVALID, f"noise of {name}: {error.message}") from error


def _check_names(names: Sequence[str], *, spec: CampaignSpec) -> None:
    for name in names:
        if spec.participant(name) is None:
            raise Refused(Reason.MEMBER_UNKNOWN, f"submission of {name}, not in the spec")
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise Refused(Reason.MEMBER_REPEATED, f"more than one submission of {repeated[0]}")
    if len(names) < spec.minimum_cohort:
        raise Refused(
            Reason.COHORT_BELOW_MINIMUM,
            f"{len(names)} submissions, the spec's minimum is {spec.minimum_cohort}",
        )


def _check_approvals(
    approvals: Sequence[Signed[CampaignApproval]],
    members: Sequence[str],
    *,
    spec: CampaignSpec,
    epoch: KeyEpoch,
) -> None:
    for signed in approvals:
        campaign_approval_check(signed, spec=spec, epoch=epoch)
    missing = sorted(set(members) - {signed.body.organization for signed in approvals})
    if missing:
        raise Refused(Reason.APPROVAL_MISSING, f"not approved by {', '.join(missing)}")


def _check_submissions(
    transcript: CampaignTranscript, *, spec: CampaignSpec, epoch: KeyEpoch
) -> None:
    for signed in transcript.submissions:
        name = signed.body.organization
        if signed.body.context != transcript.context.digest():
            raise Refused(Reason.CONTEXT_MIXED, f"submission of {name} is bound to another run")
        try:
            submission_form_check(signed, spec=spec, context=transcript.context)
        except SignatureInvalid as error:
            raise Refused(
                Reason.SIGNATURE_INVALID, f"submission of {name}: {error.message}"
            ) from error
        except InvalidInput as error:
            raise Refused(Reason.PROOF_INVALID, f"submission of {name}: {error.message}") from error
    try:
        votes_check(transcript.submissions, spec=spec, epoch=epoch)
    except (ProofInvalid, InvalidInput) as error:
        raise Refused(Reason.PROOF_INVALID, error.message) from error
