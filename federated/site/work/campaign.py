"""Approving a campaign, and settling what it reserved."""

from __future__ import annotations

from typing import Any

from federated.errors import Conflict, DomainError, InvalidInput, NotFound, Unavailable
from federated.protocol.agreement import CampaignAgreement, ledger_id
from federated.site.campaign_folder import CampaignFolder, RunFolder
from federated.site.policy import approval_of, check_campaign
from federated.site.site import Site, Waiting, pins_check, reserve, short
from federated.site.work.key import epoch_of
from federated.site.work.run import RunPart
from federated.wire.campaign import CampaignDecline, CampaignSpec


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
            pins_check(site, agreement)
            agreement.check()
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


def _check_person(site: Site, spec: CampaignSpec, campaign: dict[str, Any]) -> None:
    if approval_of(site.home.policy()) == "portal" and not campaign.get("approved_by_person"):
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
    reserve(site, agreement, first=first)


def _decline(site: Site, spec: CampaignSpec, error: DomainError) -> None:
    decline = CampaignDecline(
        campaign_id=spec.campaign_id,
        spec=spec.digest(),
        organization=site.organization,
        reason=short(error)[:500],
    )
    site.say(f"campaign {spec.campaign_id[:8]} of {spec.creator} declined: {short(error)}")
    site.api.campaign_decline(site.identity.sign(decline))


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
            RunPart(site, run.campaign.campaign_id, run.number).replace()
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
