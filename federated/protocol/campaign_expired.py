"""What a run still shows once its submissions and noise are past their retention.

As for rounds (protocol/expired.py): their bytes are gone, so neither their signatures and proofs
can be checked nor the proofs of shares, which need the product. Their digests are in the cohorts
that receipts and shares sign, and the signed shares still combine to the released sums.
"""

from __future__ import annotations

from federated.protocol.agreement import CampaignAgreement
from federated.protocol.campaign_transcript import noise_names_check, run_check
from federated.protocol.refused import Refused
from federated.wire.campaign import CampaignTranscript, ExpiredRun, SubmissionCohort
from federated.wire.round import Reason


def expired_of(transcript: CampaignTranscript) -> ExpiredRun:
    """What stays of a transcript's ciphertexts."""
    return ExpiredRun.parse(
        {
            kind: [{"organization": s.body.organization, "envelope": s.digest()} for s in rows]
            for kind, rows in (("submissions", transcript.submissions), ("noise", transcript.noise))
        }
    )


def campaign_expired_check(
    transcript: CampaignTranscript, *, agreement: CampaignAgreement
) -> SubmissionCohort:
    """All that campaign_transcript_check checks but signatures and proofs of submissions.

    Raises Refused. Nobody charges, adds noise or decrypts on it.
    """
    run_check(transcript, agreement=agreement)
    return transcript.cohort()


def expired_noise_check(
    transcript: CampaignTranscript, *, agreement: CampaignAgreement
) -> list[str]:
    """That t of the key's trustees are named, each once; their names. Raises Refused."""
    left = () if transcript.expired is None else transcript.expired.noise
    names = [one.organization for one in left]
    noise_names_check(names, agreement=agreement)
    for name in names:
        if agreement.trustee(name) is None:
            raise Refused(Reason.PROOF_INVALID, f"noise of {name}, which is no trustee")
    return sorted(names)
