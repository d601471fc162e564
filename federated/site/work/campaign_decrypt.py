"""Charging, adding noise, decrypting and verifying a run: check, remember on disk, then sign."""

from __future__ import annotations

from federated.errors import Conflict, DomainError, InvalidInput, NotFound
from federated.protocol.agreement import CampaignAgreement
from federated.protocol.campaign_expired import campaign_expired_check, expired_noise_check
from federated.protocol.campaign_ledger import ledger_id
from federated.protocol.campaign_noise import noise_make
from federated.protocol.campaign_release import campaign_release_check, campaign_share_make
from federated.protocol.campaign_transcript import (
    noised_cohort_check,
    submission_cohort_check,
)
from federated.protocol.checks import charges_check
from federated.protocol.refused import Refused
from federated.site.campaign_folder import NOISE, RunFolder
from federated.site.site import Site, short
from federated.site.work.attempt import (
    charge,
    key_share,
    refusal_of,
    released_check,
    verdict_of,
)
from federated.site.work.campaign import run_context, submission_renew
from federated.wire.campaign import (
    CampaignTranscript,
    SubmissionCohort,
    TrusteeNoise,
)
from federated.wire.round import DecryptionShare, Reason


def run_charge(site: Site, campaign_id: str, number: int) -> None:
    """Commit the run's charge for its cohort, then say so; or send a signed refusal."""
    run = site.home.campaign(campaign_id).run(number)
    answer = site.api.run(campaign_id, number)
    if answer.get("cohort") is None:
        raise InvalidInput(f"run {number} has no cohort to charge for")
    cohort = SubmissionCohort.parse(answer["cohort"])
    try:
        spec, context = run_context(site, run)
        _settle(site, run, cohort)
        own = run.submission()
        if own is None:
            raise Refused(
                Reason.OWN_SUBMISSION_CHANGED, "this site has submitted nothing to the run"
            )
        agreement = site.agreement(spec)
        submission_cohort_check(cohort, agreement=agreement, context=context, own=own)
        receipt = charge(site, agreement, cohort, number=number, attempt=1)
    except Refused as error:
        _refuse(site, run, cohort.context, cohort.digest(), error)
        return
    kept = run.signed_keep("receipt", site.identity.sign(receipt))
    site.api.run_send(campaign_id, number, "receipt", kept)
    site.say(
        f"campaign {campaign_id[:8]}, run {number}: charged epsilon {spec.noise.epsilon:g} for a "
        f"cohort of {len(cohort.members)}"
    )


def _settle(site: Site, run: RunFolder, cohort: SubmissionCohort) -> None:
    """A replacement that the portal took, but whose answer this site never saw, stands."""
    new = run.replacement()
    if new is not None and cohort.members.get(site.organization) == new.digest():
        run.replacement_done()


def noise_send(site: Site, campaign_id: str, number: int) -> None:
    """Add this trustee's noise share to the run's one cohort, drawn once; or refuse, signed."""
    run = site.home.campaign(campaign_id).run(number)
    transcript = site.api.run_transcript(campaign_id, number)
    try:
        agreement, cohort = _check(site, run, transcript)
        charges_check(transcript.receipts, agreement=agreement, cohort=cohort)
        kept = run.signed(TrusteeNoise, NOISE)
        if kept is None:
            _check_not_over(run)
            made = noise_make(agreement=agreement, cohort=cohort, identity=site.identity)
            kept = run.signed_keep(NOISE, made)
        if kept.body.cohort != cohort.digest():
            raise Refused(
                Reason.COHORT_ALREADY_SERVED,
                f"run {number}: noise is bound to cohort {kept.body.cohort[:16]}, asked for "
                f"{cohort.digest()[:16]}",
            )
    except Refused as error:
        _refuse(site, run, transcript.context.digest(), transcript.cohort().digest(), error)
        return
    site.api.run_send(campaign_id, number, "noise", kept)
    site.say(f"campaign {campaign_id[:8]}, run {number}: noise share sent")


def run_share(site: Site, campaign_id: str, number: int) -> None:
    """Give this trustee's share for the one noised cohort of the run; or refuse, signed."""
    run = site.home.campaign(campaign_id).run(number)
    transcript = site.api.run_transcript(campaign_id, number)
    noised = transcript.noised()
    try:
        agreement, cohort = _check(site, run, transcript)
        share = key_share(site, agreement)
        charges_check(transcript.receipts, agreement=agreement, cohort=cohort)
        own = run.signed(TrusteeNoise, NOISE)
        if own is None and site.organization in noised.noise:
            raise Refused(Reason.NOISE_CHANGED, "noise is shown as this site's that it never made")
        noised_cohort_check(transcript, agreement=agreement, own=own)
        # The ledger's record of what was served: one noised cohort a run, ever.
        site.home.ledger.serve(
            job_id=agreement.ledger_id,
            round=number,
            attempt=1,
            cohort=noised.digest(),
            charged=False,
        )
        _check_charged(site, agreement, number, cohort)
    except Refused as error:
        _refuse(site, run, transcript.context.digest(), noised.digest(), error)
        return
    kept = run.signed(DecryptionShare, "share")
    if kept is None:
        made = campaign_share_make(
            transcript, agreement=agreement, share=share, identity=site.identity
        )
        kept = run.signed_keep("share", made)
    site.api.run_send(campaign_id, number, "share", kept)
    site.say(f"campaign {campaign_id[:8]}, run {number}: decryption share {kept.body.index} sent")


def _check_not_over(run: RunFolder) -> None:
    if run.expired:
        raise Refused(
            Reason.SUBMISSION_EXPIRED, f"run {run.number} is over, its noise is not kept any more"
        )


def _check_charged(
    site: Site, agreement: CampaignAgreement, number: int, cohort: SubmissionCohort
) -> None:
    """A trustee in the cohort has committed its own charge, for this very cohort."""
    if site.organization not in cohort.members:
        return
    charged = site.home.ledger.charged(agreement.ledger_id, number, 1)
    if charged is None:
        raise Refused(Reason.CHARGE_MISSING, f"run {number}: not charged in this ledger")
    if charged != cohort.digest():
        raise Refused(
            Reason.COHORT_ALREADY_SERVED,
            f"run {number}: charged for cohort {charged[:16]}, asked for {cohort.digest()[:16]}",
        )


def _check(
    site: Site, run: RunFolder, transcript: CampaignTranscript
) -> tuple[CampaignAgreement, SubmissionCohort]:
    """The agreement and the cohort, once the transcript is what this site knows of the run."""
    context = transcript.context
    if (context.campaign_id, context.run) != (run.campaign.campaign_id, run.number):
        raise Refused(
            Reason.CONTEXT_MIXED, f"the transcript is of run {context.run}, not of {run.number}"
        )
    spec = run.campaign.spec(transcript.spec.digest())
    if spec is None:
        raise Refused(
            Reason.SPEC_CHANGED, f"spec {transcript.spec.digest()[:16]} was not approved here"
        )
    kept = run.message_keep("context", context)
    if kept != context:
        raise Refused(Reason.CONTEXT_MIXED, f"run {run.number} had another context before")
    agreement = site.agreement(spec)
    cohort = site.check_run(transcript, agreement=agreement)
    listed = cohort.members.get(site.organization)
    own = run.submission()
    if listed is not None and (own is None or own.digest() != listed):
        raise Refused(
            Reason.OWN_SUBMISSION_CHANGED,
            f"the submission listed for {site.organization} is not the one this site sent",
        )
    return agreement, cohort


def run_verify(site: Site, campaign_id: str, number: int) -> None:
    """Recompute a release from its signed shares, keep it, and say what this site found.

    After the run's retention only a no is signed: what is left may contradict the release, but
    without the shares' proofs it cannot bear it out. Raises NotFound where it does not contradict.
    """
    run = site.home.campaign(campaign_id).run(number)
    transcript = site.api.run_transcript(campaign_id, number)
    release = transcript.release
    if release is None:
        raise InvalidInput(f"run {number}: the transcript has no release yet")
    verdict = verdict_of(site, release, lambda: _follow(site, run, transcript))
    if verdict.agrees and transcript.expired is not None:
        raise NotFound(
            f"run {number}: its submissions expired by retention; the signed shares combine to "
            "the release, but their proofs cannot be checked any more: no verdict"
        )
    kept = run.signed_keep("verdict", site.identity.sign(verdict))
    site.api.run_send(campaign_id, number, "verdict", kept)
    told = "verified" if kept.body.agrees else f"DISAGREES: {kept.body.detail}"
    site.say(f"campaign {campaign_id[:8]}, run {number}: release {told}")


def _follow(site: Site, run: RunFolder, transcript: CampaignTranscript) -> None:
    spec = run.campaign.spec(transcript.spec.digest())
    if spec is None:
        raise Refused(Reason.SPEC_CHANGED, "released by a spec that was not approved here")
    agreement = site.agreement(spec)
    if transcript.expired is not None:
        campaign_expired_check(transcript, agreement=agreement)
        expired_noise_check(transcript, agreement=agreement)
    else:
        noised_cohort_check(transcript, agreement=agreement)
    cohort = transcript.cohort()
    released_check(site, agreement, cohort, number=run.number, attempt=1)
    whole = transcript.expired is None
    release = campaign_release_check(transcript, agreement=agreement, proofs=whole)
    if whole:
        run.release_keep(release, spec)


def _refuse(site: Site, run: RunFolder, context: str, cohort: str, error: Refused) -> None:
    signed = site.identity.sign(refusal_of(site, error, context=context, cohort=cohort))
    name = f"refusal-{cohort[:16]}-{error.reason.value}"
    kept = run.signed_keep(name, signed)
    site.say(
        f"REFUSED campaign {run.campaign.campaign_id[:8]}, run {run.number}: {error.reason.value}: "
        f"{error.detail}"
    )
    site.api.run_send(run.campaign.campaign_id, run.number, "refusal", kept)


def campaigns_settle(site: Site) -> None:
    """Return what ended campaigns and uncharged runs reserved; finish replacements on their way."""
    ledger = site.home.ledger
    entries = set(ledger.open_jobs())
    for campaign_id in site.home.campaigns():
        folder = site.home.campaign(campaign_id)
        mine = {ledger_id(spec): spec.digest() for spec in folder.specs()}
        if not entries & mine.keys():
            continue
        for number in folder.runs():
            _finish(site, folder.run(number))
        try:
            found = site.api.campaign(campaign_id)
        except NotFound:
            # Changed, and this organization is no longer in it.
            found = {"run_list": [], "spec_digest": "", "state": "changed", "open_run": None}
        for name in sorted(entries & mine.keys()):
            for run in found["run_list"]:
                free = run["state"] == "abandoned" and not run["charged"]
                if free and ledger.return_round(name, int(run["number"])):
                    site.say(
                        f"campaign {campaign_id[:8]}: run {run['number']} was abandoned, its cost "
                        "is returned"
                    )
            over = found["state"] != "active" or mine[name] != found["spec_digest"]
            if over and (count := ledger.return_unused(name)):
                site.say(f"campaign {campaign_id[:8]}: {count} unused runs returned to the budget")


def _finish(site: Site, run: RunFolder) -> None:
    if run.replacement() is not None or run.replacement_asked:
        try:
            submission_renew(site, run.campaign.campaign_id, run.number)
        except Conflict as error:
            run.replacement_drop()
            site.say(f"run {run.number}: replacement not taken, it waits: {short(error)}")
        except DomainError as error:
            site.say(f"run {run.number}: replacement not taken: {short(error)}")


def campaign_entries(site: Site) -> set[str]:
    """The names under which the ledger keeps this site's campaigns."""
    return {
        ledger_id(spec)
        for campaign_id in site.home.campaigns()
        for spec in site.home.campaign(campaign_id).specs()
    }
