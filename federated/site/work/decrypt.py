"""Charging and decrypting a closed attempt: check everything, remember on disk, then sign."""

from __future__ import annotations

from federated.protocol.address import Attempt
from federated.protocol.checks import charges_check
from federated.protocol.refused import Refused
from federated.protocol.share import share_make
from federated.site.job_folder import JobFolder
from federated.site.site import Site
from federated.site.work.attempt import charge, key_share, refusal_of
from federated.wire.job import JobSpec
from federated.wire.round import (
    Cohort,
    Contribution,
    DecryptionShare,
    Reason,
    RoundContext,
    Transcript,
)


def charge_send(site: Site, at: Attempt) -> None:
    """Commit the attempt's charge for its cohort, then say so; or send a signed refusal."""
    transcript = site.api.transcript(at)
    try:
        spec, cohort = _check(site, transcript, at)
        agreement = site.agreement(spec)
        receipt = charge(site, agreement, cohort, number=at.round, attempt=at.number)
    except Refused as error:
        _refuse(site, transcript, at, error)
        return
    name = at.file("receipt")
    kept = site.home.job(at.job_id).signed_keep(name, site.identity.sign(receipt))
    site.api.attempt_send(at, "receipt", kept)
    site.say(
        f"{at} of {spec.strategy.rounds}: charged rho "
        f"{receipt.cost.rho:.3g} for a cohort of {len(cohort.members)}"
    )


def share_send(site: Site, at: Attempt) -> None:
    """Give this trustee's share for the one cohort of the attempt, or a signed refusal."""
    transcript = site.api.transcript(at)
    folder = site.home.job(at.job_id)
    name = at.file("share")
    try:
        spec, cohort = _check(site, transcript, at)
        agreement = site.agreement(spec)
        share = key_share(site, agreement)
        charges_check(transcript.receipts, agreement=agreement, cohort=cohort)
        site.home.ledger.serve(
            job_id=at.job_id,
            round=at.round,
            attempt=at.number,
            cohort=cohort.digest(),
            charged=site.organization in cohort.members,
        )
    except Refused as error:
        _refuse(site, transcript, at, error)
        return
    kept = folder.signed(DecryptionShare, name)
    if kept is None:
        made = share_make(transcript, agreement=agreement, share=share, identity=site.identity)
        kept = folder.signed_keep(name, made)
    site.api.attempt_send(at, "share", kept)
    site.say(f"{at} of {spec.strategy.rounds}: decryption share {kept.body.index} sent")


def _check(site: Site, transcript: Transcript, at: Attempt) -> tuple[JobSpec, Cohort]:
    """The approved spec and the cohort, once the transcript is what this site took part in."""
    context = transcript.context
    if (context.job_id, context.round, context.attempt) != (at.job_id, at.round, at.number):
        raise Refused(
            Reason.CONTEXT_MIXED,
            f"the transcript is of round {context.round}/{context.attempt}, asked for {at}",
        )
    spec = _spec(site, transcript, at.job_id)
    cohort = site.check(transcript, agreement=site.agreement(spec))
    _check_own(site, site.home.job(at.job_id), transcript, at)
    return spec, cohort


def _spec(site: Site, transcript: Transcript, job_id: str) -> JobSpec:
    """The approved spec; for a job of others, the transcript's, held against the key epoch.

    A trustee that takes no part has no approval to compare with: the members' keys that it knows
    are the epoch's, and the members' signed approvals bind the rest.
    """
    claimed = transcript.spec.body
    if claimed.participant(site.organization) is not None:
        return site.spec(job_id)
    epoch = site.epoch(claimed.key_epoch)
    for participant in claimed.participants:
        trustee = epoch.trustee(participant.organization)
        if trustee is not None and trustee.public_key != participant.public_key:
            raise Refused(
                Reason.SPEC_CHANGED,
                f"the spec pins another key of {participant.organization} than the key epoch",
            )
    return claimed


def _check_own(site: Site, folder: JobFolder, transcript: Transcript, at: Attempt) -> None:
    """This site's own contribution is in the cohort unchanged, under the context it saw."""
    context = folder.message(RoundContext, at.file("context"))
    if context is not None and context != transcript.context:
        raise Refused(Reason.CONTEXT_MIXED, f"{at} had another context before")
    sent = folder.signed(Contribution, at.file("contribution"))
    listed = [c for c in transcript.contributions if c.body.organization == site.organization]
    if listed and (sent is None or listed[0] != sent):
        raise Refused(
            Reason.OWN_CONTRIBUTION_CHANGED,
            f"the contribution listed for {site.organization} is not the one this site sent",
        )


def _refuse(site: Site, transcript: Transcript, at: Attempt, error: Refused) -> None:
    """Sign the refusal, keep it as evidence, send it, and say it by name."""
    cohort = transcript.cohort()
    refusal = refusal_of(site, error, context=cohort.context, cohort=cohort.digest())
    site.say(f"REFUSED {error.reason.value}: {error.detail} (job {at.job_id[:8]}, {at})")
    name = at.file(f"refusal-{refusal.digest()[:16]}")
    kept = site.home.job(at.job_id).signed_keep(name, site.identity.sign(refusal))
    site.api.attempt_send(at, "refusal", kept)
