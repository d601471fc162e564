"""What a site does in every attempt, of a job or of a campaign: charge, refuse, remember."""

from __future__ import annotations

from federated.crypto.threshold import KeyShare
from federated.errors import BudgetExceeded, InvalidInput
from federated.protocol.agreement import AnyAgreement
from federated.protocol.refused import Refused
from federated.site.site import Site
from federated.wire.campaign import SubmissionCohort
from federated.wire.round import ChargeReceipt, Cohort, Reason, Refusal

AnyCohort = Cohort | SubmissionCohort


def charge(
    site: Site, agreement: AnyAgreement, cohort: AnyCohort, *, number: int, attempt: int
) -> ChargeReceipt:
    """Commit the attempt's charge for this cohort in the site's ledger; the receipt to sign.

    ``number`` is the round's or the run's. Raises Refused(budget_exceeded), InvalidInput where the
    site is no member, and what the ledger refuses.
    """
    if site.organization not in cohort.members:
        raise InvalidInput(f"{site.organization} is not in the cohort: there is nothing to charge")
    digest = cohort.digest()
    try:
        cost = site.home.ledger.commit(
            job_id=agreement.ledger_id, round=number, attempt=attempt, cohort=digest
        )
    except BudgetExceeded as error:
        raise Refused(Reason.BUDGET_EXCEEDED, error.message) from error
    return ChargeReceipt(
        context=cohort.context, cohort=digest, organization=site.organization, cost=cost
    )


def released_check(
    site: Site, agreement: AnyAgreement, cohort: AnyCohort, *, number: int, attempt: int
) -> None:
    """Check that a release is for the cohort that this site charged for, if it charged.

    Raises Refused(cohort_already_served).
    """
    charged = site.home.ledger.charged(agreement.ledger_id, number, attempt)
    if charged is not None and charged != cohort.digest():
        raise Refused(
            Reason.COHORT_ALREADY_SERVED,
            f"released for cohort {cohort.digest()[:16]}, charged was {charged[:16]}",
        )


def key_share(site: Site, agreement: AnyAgreement) -> KeyShare:
    """This site's share of the agreement's key. Raises Refused(key_unknown)."""
    share = site.home.share(agreement.spec.key_epoch)
    if share is None:
        raise Refused(Reason.KEY_UNKNOWN, f"this site holds no share of the {agreement.NOUN}'s key")
    return share


def refusal_of(site: Site, error: Refused, *, context: str, cohort: str) -> Refusal:
    """The refusal to sign, keep as evidence and send. Digests are of what the site was shown."""
    return Refusal(
        context=context,
        cohort=cohort,
        organization=site.organization,
        reason=error.reason,
        detail=error.detail[:500],
    )
