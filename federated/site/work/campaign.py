"""Approving a campaign and submitting to its runs."""

from __future__ import annotations

from typing import Any

from federated.errors import Conflict, DomainError, InvalidInput, Unavailable
from federated.protocol.agreement import CampaignAgreement
from federated.protocol.campaign_ledger import ledger_id
from federated.protocol.campaign_submit import submission_make, vote_points
from federated.protocol.refused import Refused
from federated.site.campaign_folder import CampaignFolder, RunFolder
from federated.site.policy import approval_of, check_campaign
from federated.site.site import Site, Waiting, pins_check, short
from federated.site.work.attempt import context_keep
from federated.site.work.key import epoch_of
from federated.wire.base import Signed
from federated.wire.campaign import (
    CampaignContext,
    CampaignDecline,
    CampaignSpec,
    Submission,
)
from federated.wire.round import Reason


def campaign_decide(site: Site, campaign_id: str) -> None:
    """Sign an approval of the present spec, or a decline with the reason.

    Asked again, a kept approval is resent; a decline is thought over again, for budgets renew.
    Raises Waiting where the policy leaves the decision to a person who has not made it.
    """
    found = site.api.campaign(campaign_id)
    spec = CampaignSpec.parse(found["spec"])
    if spec.campaign_id != campaign_id:
        raise InvalidInput(f"campaign {spec.campaign_id} came for {campaign_id}")
    folder = site.home.campaign(campaign_id)
    if folder.spec(spec.digest()) is None:
        agreement = CampaignAgreement(spec, epoch_of(site, spec.key_epoch))
        try:
            spec_check(site, agreement)
            check_campaign(site.home.policy(), spec, organization=site.organization)
            _check_person(site, spec, found)
            first = int(found["open_run"] or int(found["runs_opened"]) + 1)
            _reserve(site, agreement, folder, first=first)
            folder.spec_keep(spec)
        except Unavailable:
            raise
        except DomainError as error:
            _decline(site, spec, error)
            return
    approval = site.agreement(spec).approval(site.organization)
    kept = folder.signed_keep(folder.answer(spec.digest()), site.identity.sign(approval))
    site.api.campaign_approve(kept)
    site.say(
        f"campaign {campaign_id[:8]} of {spec.creator} approved: {spec.title}, {spec.runs} runs of "
        f"epsilon {spec.noise.epsilon:g}"
    )


def spec_check(site: Site, agreement: CampaignAgreement) -> None:
    """Check keys, claimed cost and fit against what this site knows. Raises InvalidInput."""
    pins_check(site, agreement)
    agreement.check()


def _check_person(site: Site, spec: CampaignSpec, found: dict[str, Any]) -> None:
    if approval_of(site.home.policy()) == "portal" and not found.get("approved_by_person"):
        raise Waiting(f"campaign {spec.campaign_id[:8]}, {spec.title}: waits for a person's yes")


def _reserve(
    site: Site, agreement: CampaignAgreement, folder: CampaignFolder, *, first: int
) -> None:
    """Reserve the remaining runs; what an earlier spec of the campaign reserved comes back first.

    ``first`` is the coordinator's word: too high, and this site refuses to charge the runs before.
    """
    spec = agreement.spec
    if first > spec.runs:
        raise InvalidInput(f"all {spec.runs} runs of the campaign are over")
    for before in folder.specs():
        if before.digest() != agreement.digest:
            site.home.ledger.return_unused(ledger_id(before))
    site.home.ledger.reserve(
        job_id=agreement.ledger_id,
        spec=agreement.digest,
        proposer=spec.creator,
        cost=agreement.cost,
        rounds=spec.runs,
        allotment=site.home.policy().allotment_of(spec.dataset),
        first=first,
        pure_epsilon=spec.noise.epsilon if spec.noise.delta is None else 0.0,
    )


def _decline(site: Site, spec: CampaignSpec, error: DomainError) -> None:
    decline = CampaignDecline(
        campaign_id=spec.campaign_id,
        spec=spec.digest(),
        organization=site.organization,
        reason=short(error)[:500],
    )
    site.say(f"campaign {spec.campaign_id[:8]} of {spec.creator} declined: {short(error)}")
    site.api.campaign_decline(site.identity.sign(decline))


# Submitting.


def submission_send(site: Site, campaign_id: str, number: int) -> None:
    """Submit the measurements that wait here: rounded, encrypted, proven, signed, kept, sent.

    Raises Waiting where none wait, and InvalidInput for a measurement that the campaign refuses;
    it then waits for a better one.
    """
    folder = site.home.campaign(campaign_id)
    run = folder.run(number)
    kept = run.submission()
    if kept is None:
        if run.expired:
            raise Refused(
                Reason.SUBMISSION_EXPIRED,
                f"run {number} is over, its submission is not kept any more",
            )
        if run.measured() is None and folder.waiting() is None:
            raise Waiting(
                f"campaign {campaign_id[:8]}, run {number}: no measurement waits; "
                f"federated bench run --home {site.home.path} -- COMMAND makes one"
            )
        spec, context = run_context(site, run)
        if run.measured() is None and (waiting := folder.waiting()) is not None:
            # Measurements that the campaign refuses wait on; others become this run's.
            vote_points(spec, waiting.values)
        measured = run.measured_take()
        assert measured is not None
        made = submission_make(
            agreement=site.agreement(spec),
            context=context,
            identity=site.identity,
            measured=measured.values,
        )
        kept = run.signed_keep("submission", made)
    site.api.run_send(campaign_id, number, "submission", kept)
    site.say(f"campaign {campaign_id[:8]}, run {number}: submitted, {_size(kept):,} characters")


def submission_renew(site: Site, campaign_id: str, number: int) -> None:
    """Replace this site's submission by the measurements that wait, before the run closes."""
    folder = site.home.campaign(campaign_id)
    run = folder.run(number)
    standing, waiting = run.submission(), folder.waiting()
    if standing is None or (waiting is None and run.replacement() is None):
        raise Conflict(f"run {number}: there is nothing to replace, or nothing to replace it by")
    if run.replacement() is None:
        assert waiting is not None
        spec, context = run_context(site, run)
        made = submission_make(
            agreement=site.agreement(spec),
            context=context,
            identity=site.identity,
            measured=waiting.values,
        )
        run.replacement_keep(waiting, made)
        (folder.path / "waiting.json").unlink(missing_ok=True)
    replacement_finish(site, run)
    site.say(f"campaign {campaign_id[:8]}, run {number}: submission replaced")


def replacement_finish(site: Site, run: RunFolder) -> None:
    """Send a replacement that was kept and perhaps never arrived; it stands from then on."""
    standing, new = run.submission(), run.replacement()
    if standing is None or new is None:
        return
    campaign_id = run.campaign.campaign_id
    site.api.submission_replace(campaign_id, run.number, new, replaces=standing.digest())
    run.replacement_done()


def run_context(site: Site, run: RunFolder) -> tuple[CampaignSpec, CampaignContext]:
    """The run's approved spec and its context, checked; the first one seen is the only one.

    Raises Refused.
    """
    folder, number = run.campaign, run.number
    answer = site.api.run(folder.campaign_id, number)
    context = CampaignContext.parse(answer["context"])
    spec = folder.spec(context.spec)
    if spec is None:
        raise Refused(
            Reason.SPEC_CHANGED, f"run {number} is of spec {context.spec[:16]}, not approved here"
        )
    kept = context_keep(
        site.agreement(spec),
        context,
        lambda checked: run.message_keep("context", checked),
        right=context.run == number,
        name=f"run {number}",
    )
    return spec, kept


def _size(signed: Signed[Submission]) -> int:
    return sum(len(vote.ciphertext) + len(vote.proof) for vote in signed.body.votes)
