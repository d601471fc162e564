"""What is left of an attempt whose contributions' retention is over, and what it still shows.

A contribution's bytes are gone, so its own signature and proof cannot be checked any more. Its
digest still is in the cohort, which every member's charge receipt and every share signs; the
shares still combine to the released sum.
"""

from __future__ import annotations

import hashlib

from federated.errors import InvalidInput
from federated.protocol.agreement import JobAgreement
from federated.protocol.checks import members_check
from federated.protocol.share import share_signature_check
from federated.protocol.transcript import attempt_check
from federated.wire.base import Signed, decode_bytes
from federated.wire.round import Cohort, Contribution, ExpiredContribution, Transcript


def expired_of(signed: Signed[Contribution]) -> ExpiredContribution:
    """What stays of a contribution."""
    body = signed.body
    return ExpiredContribution(
        organization=body.organization,
        envelope=signed.digest(),
        ciphertexts=len(body.ciphertexts),
        proof=hashlib.sha256(decode_bytes(body.proof)).hexdigest(),
        masked=body.masked,
    )


def expired_check(transcript: Transcript, *, agreement: JobAgreement) -> Cohort:
    """All that transcript_check checks but the contributions' own signatures and proofs.

    Raises Refused. Nobody charges or decrypts on it: transcript_check refuses such a transcript.
    """
    attempt_check(transcript, agreement=agreement)
    names = [left.organization for left in transcript.expired]
    members_check(names, agreement=agreement, minimum=agreement.minimum(transcript.context))
    return transcript.cohort()


def expired_shares_check(transcript: Transcript, *, agreement: JobAgreement) -> str:
    """Trustees' signatures for this very cohort, t of them; their proofs need the ciphertexts.

    Returns how many. Raises InvalidInput or SignatureInvalid.
    """
    cohort = transcript.cohort()
    for signed in transcript.shares:
        share_signature_check(signed, agreement=agreement, cohort=cohort)
    given = {signed.body.index for signed in transcript.shares}
    if len(given) < agreement.threshold:
        raise InvalidInput(f"{len(given)} shares, {agreement.threshold} are needed")
    return f"{len(given)} signed shares"
