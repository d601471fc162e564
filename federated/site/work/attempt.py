"""What a site does in every attempt, of a job or of a campaign: charge, refuse, remember."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from federated.crypto.threshold import KeyShare
from federated.errors import BudgetExceeded, InvalidInput
from federated.protocol.agreement import AnyAgreement
from federated.protocol.refused import Refused
from federated.site.site import Site, short
from federated.wire.campaign import CampaignContext, CampaignRelease, SubmissionCohort
from federated.wire.round import (
    ChargeReceipt,
    Cohort,
    Reason,
    Refusal,
    Release,
    RoundContext,
    Verdict,
)

AnyCohort = Cohort | SubmissionCohort
C = TypeVar("C", RoundContext, CampaignContext)


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


def context_keep(
    agreement: AnyAgreement, context: C, keep: Callable[[C], C], *, right: bool, name: str
) -> C:
    """An attempt's context, checked; the first one that the site sees is the only one it answers.

    ``keep`` stores it and returns what was stored first, ``right`` says whether it is of the
    attempt that was asked for. Raises Refused.
    """
    if not right:
        raise Refused(Reason.CONTEXT_MIXED, f"the context of another attempt came for {name}")
    agreement.context_check(context)  # type: ignore[arg-type]
    kept = keep(context)
    if kept != context:
        raise Refused(Reason.CONTEXT_MIXED, f"{name} had another context before")
    return kept


def verdict_of(
    site: Site, release: Release | CampaignRelease, follow: Callable[[], None]
) -> Verdict:
    """The verdict to sign: ``follow`` recomputes the release, and raises where it does not follow.

    Its errors other than InvalidInput and Refused are no disagreement, and are raised.
    """
    agrees, detail = True, ""
    try:
        follow()
    except (InvalidInput, Refused) as error:
        agrees, detail = False, short(error)[:500]
    return Verdict(
        context=release.context,
        cohort=release.cohort,
        release=release.digest(),
        organization=site.organization,
        agrees=agrees,
        detail=detail,
    )


def refusal_of(site: Site, error: Refused, *, context: str, cohort: str) -> Refusal:
    """The refusal to sign, keep as evidence and send. Digests are of what the site was shown."""
    return Refusal(
        context=context,
        cohort=cohort,
        organization=site.organization,
        reason=error.reason,
        detail=error.detail[:500],
    )
