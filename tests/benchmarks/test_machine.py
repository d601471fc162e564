"""When campaigns open, close, wait, change and end; what comes back to the budget."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from apps.attempts.models import Attempt
from apps.attempts.services.answers import endorse
from apps.benchmarks.services.campaigns import (
    OPERATOR,
    campaign_cancel,
    campaign_change,
    campaign_create,
)
from apps.common.actor import Actor
from federated.errors import Forbidden, InvalidInput
from federated.protocol.agreement import ledger_id
from federated.protocol.arrival import CampaignClosed
from federated.wire.round import Reason, Refusal, Verdict
from tests.benchmarks.world import (
    CAST,
    OPERATOR_ACTOR,
    Consortium,
    draft,
    fresh,
    make_due,
    pass_deadline,
    run_of,
    workers,
)
from tests.rows import sent

YEARLY = {
    # Half a year from now, so that no test runs across a due minute.
    "schedule": f"0 0 1 {(datetime.now(UTC).month + 5) % 12 + 1} *",
    "runs": 3,
    "epsilon": 0.5,
}


def states(consortium: Consortium, slug: str = "lakeside") -> list[tuple[int, str]]:
    report = consortium[slug].home.ledger.report(slug)
    return sorted((charge.round, charge.state) for charge in report.charges)


def settle(consortium: Consortium) -> None:
    """Agents look at ended campaigns every fifteen seconds; their clock is the test's."""
    consortium.step()


def test_a_missed_schedule_is_caught_up_once(consortium: Consortium) -> None:
    campaign = consortium.create(**YEARLY)
    consortium.step()
    assert not Attempt.objects.exists()
    make_due(campaign, timezone.now() - timedelta(days=3))
    workers()
    workers()
    assert run_of(campaign).number == 1
    due = fresh(campaign).next_run_at
    assert due is not None
    assert timedelta(days=90) < due - timezone.now() < timedelta(days=270)
    consortium.measure(campaign)
    consortium.until(campaign, "released")
    workers()
    assert Attempt.objects.filter(agreement=campaign).count() == 1


def test_what_is_due_waits_for_approvals_and_says_for_whose(consortium: Consortium) -> None:
    campaign = consortium.create()
    consortium.step("lakeside", "northwind")
    assert not Attempt.objects.exists()
    assert fresh(campaign).reason == (
        "2 of at least 3 organizations have approved; summit to answer"
    )
    consortium.step("summit")
    assert run_of(campaign).state == "collecting"


def test_a_cost_that_cannot_be_reserved_does_not_open_and_says_why(
    consortium: Consortium,
) -> None:
    policy = consortium["summit"].home.policy_path
    policy.write_text(policy.read_text() + "allotment: {epsilon: 0.5}\n")
    campaign = consortium.create()
    consortium.step()
    reason = fresh(campaign).reason
    assert "summit declined: benchmarks: needs epsilon" in reason
    assert "0.500 left; it renews on" in reason
    assert not Attempt.objects.exists()
    # With a larger allotment a person asks again, and it opens.
    policy.write_text(policy.read_text().replace("epsilon: 0.5", "epsilon: 9"))
    endorse(fresh(campaign), organization="summit", actor=Actor("user", "1", "s", "summit"))
    consortium.step()
    assert run_of(campaign).state == "collecting"


# The close.


def test_under_the_minimum_nothing_is_decrypted_and_the_cost_returns(
    consortium: Consortium,
) -> None:
    campaign = consortium.create()
    consortium.step()
    consortium.measure(campaign, "lakeside", "northwind")
    consortium.step()
    assert states(consortium) == [(1, "reserved")]
    pass_deadline(run_of(campaign))
    found = run_of(campaign)
    assert found.state == "abandoned"
    assert "2 submissions (" in found.reason and "the attempt's minimum is 3" in found.reason
    assert (found.cohort, found.product) == (None, None)
    settle(consortium)
    assert states(consortium) == [(1, "returned")]
    assert consortium["lakeside"].said("its cost is returned")


def test_at_the_deadline_those_who_submitted_are_the_cohort(consortium: Consortium) -> None:
    everybody = ["harbor", *CAST]
    campaign = consortium.create(participants=everybody)
    consortium.step(*everybody)
    consortium.measure(campaign)
    consortium.step(*everybody)
    assert run_of(campaign).state == "collecting"
    pass_deadline(run_of(campaign))
    assert run_of(campaign).members == list(CAST)
    consortium.until(campaign, "released", *everybody)
    settle(consortium)
    consortium["harbor"].step()
    assert states(consortium, "harbor") == [(1, "returned")]


def test_who_approves_while_a_run_is_open_may_still_submit(consortium: Consortium) -> None:
    everybody = ["harbor", *CAST]
    campaign = consortium.create(participants=everybody)
    consortium.step()
    consortium.measure(campaign)
    consortium.step()
    assert run_of(campaign).messages.filter(name="submission").count() == 3
    # Harbor has not answered: the run waits for it, or for its deadline.
    assert run_of(campaign).state == "collecting"
    consortium.measure(campaign, "harbor")
    consortium.step("harbor")
    consortium.step("harbor")
    assert run_of(campaign).members == everybody
    consortium.until(campaign, "released", *everybody)


# Replacing, changing, cancelling.


def test_a_submission_is_replaced_before_the_close_by_naming_the_old_one(
    consortium: Consortium,
) -> None:
    campaign = consortium.create()
    consortium.step()
    consortium.measure(campaign, "lakeside")
    consortium["lakeside"].step()
    folder = consortium["lakeside"].home.campaign(str(campaign.pk))
    first = folder.run(1).submission()
    consortium.measure(campaign, "lakeside", value=99.0)
    folder.run(1).replacement_ask()
    consortium["lakeside"].step()
    assert consortium["lakeside"].said("submission replaced"), consortium["lakeside"].lines
    second = folder.run(1).submission()
    assert first is not None
    assert second is not None
    assert second.digest() != first.digest()
    row = run_of(campaign).messages.filter(name="submission").get()
    assert (row.digest, row.replaces) == (second.digest(), first.digest())
    measured = folder.run(1).measured()
    assert measured is not None
    assert measured.values["latency_ms"].value == 99.0
    # A crash after the portal took it: the same bytes again change nothing, and it stands.
    folder.run(1).replacement_keep(measured, second)
    consortium["lakeside"].restart()
    consortium.measure(campaign, "northwind", "summit")
    consortium.until(campaign, "released")


def test_a_replacement_that_comes_too_late_waits_for_the_next_run(consortium: Consortium) -> None:
    campaign = consortium.create()
    consortium.step()
    consortium.measure(campaign)
    consortium.step()
    site = consortium["lakeside"]
    folder = site.home.campaign(str(campaign.pk))
    assert run_of(campaign).state == "charging"
    consortium.measure(campaign, "lakeside", value=99.0)
    folder.run(1).replacement_ask()
    first = folder.run(1).submission()
    site.step()
    assert site.said("replacement not taken, it waits")
    waiting = folder.waiting()
    assert waiting is not None
    assert waiting.values["latency_ms"].value == 99.0
    assert not folder.run(1).replacement_asked
    assert folder.run(1).replacement() is None
    assert folder.run(1).submission() == first
    consortium.until(campaign, "released")


def test_a_changed_campaign_is_approved_and_reserved_anew(consortium: Consortium) -> None:
    campaign = consortium.create(**YEARLY)
    consortium.step()
    assert states(consortium) == [(1, "reserved"), (2, "reserved"), (3, "reserved")]
    before = fresh(campaign)
    campaign_change(
        campaign=before, draft=draft(**YEARLY | {"runs": 2}), editor=OPERATOR, actor=OPERATOR_ACTOR
    )
    changed = fresh(campaign)
    assert changed.spec_digest != before.spec_digest
    assert {p.state for p in changed.participants.all()} == {"pending"}
    make_due(campaign, timezone.now())
    consortium.step()
    report = consortium["lakeside"].home.ledger.report("lakeside")
    of = {charge.job_id: [] for charge in report.charges}
    for charge in report.charges:
        of[charge.job_id].append(charge.state)
    assert of == {
        ledger_id(before.wire): ["returned"] * 3,
        ledger_id(changed.wire): ["reserved"] * 2,
    }
    consortium.measure(campaign)
    found = consortium.until(campaign, "released")
    with pytest.raises(InvalidInput, match="1 runs are over"):
        campaign_change(
            campaign=fresh(campaign),
            draft=draft(**YEARLY | {"runs": 1}),
            editor=OPERATOR,
            actor=OPERATOR_ACTOR,
        )
    assert found.wire.digest() == changed.spec_digest


def test_a_campaign_is_not_changed_while_a_run_goes_nor_by_others(
    consortium: Consortium,
) -> None:
    campaign = consortium.opened().agreement.campaign
    with pytest.raises(CampaignClosed, match="in run 1"):
        campaign_change(campaign=campaign, draft=draft(), editor=OPERATOR, actor=OPERATOR_ACTOR)
    for act in (
        lambda: campaign_change(
            campaign=campaign, draft=draft(), editor="lakeside", actor=OPERATOR_ACTOR
        ),
        lambda: campaign_cancel(
            campaign=campaign, editor="lakeside", reason="", actor=OPERATOR_ACTOR
        ),
    ):
        with pytest.raises(Forbidden):
            act()
    assert campaign_cancel(
        campaign=campaign, editor=OPERATOR, reason="wrong bounds", actor=OPERATOR_ACTOR
    )
    assert run_of(campaign).state == "abandoned"
    settle(consortium)
    assert states(consortium) == [(1, "returned")]


def test_organizations_create_campaigns_only_where_the_consortium_allows(
    consortium: Consortium, settings
) -> None:
    with pytest.raises(Forbidden, match="organizations_create"):
        campaign_create(draft=draft(), creator="lakeside", actor=OPERATOR_ACTOR)
    allowed = settings.FSC_CONFIG.benchmarks.model_copy(update={"organizations_create": True})
    settings.FSC_CONFIG = settings.FSC_CONFIG.model_copy(update={"benchmarks": allowed})
    made = campaign_create(draft=draft(), creator="lakeside", actor=OPERATOR_ACTOR)
    assert made.wire.creator == "lakeside"


# Disagreement.


def test_a_verdict_that_disagrees_ends_the_campaign(consortium: Consortium) -> None:
    found = consortium.released(**YEARLY | {"schedule": "once", "runs": 1})
    release = found.wire_release
    assert release is not None
    site = consortium["summit"]
    verdict = Verdict(
        context=release.context,
        cohort=release.cohort,
        release=release.digest(),
        organization="summit",
        agrees=False,
        detail="the sums differ",
    )
    site.api.run_send(str(found.agreement_id), 1, "verdict", site.agent.site.identity.sign(verdict))
    campaign = fresh(found.agreement.campaign)
    assert (campaign.state, sent("verdict").get().agrees) == ("cancelled", False)
    assert "summit does not agree" in campaign.reason


def test_a_member_that_refuses_to_charge_ends_the_run(consortium: Consortium) -> None:
    campaign = consortium.opened().agreement.campaign
    found = consortium.until(campaign, "charging")
    site = consortium["summit"]
    refusal = Refusal(
        context=found.context_digest,
        cohort=found.cohort_digest,
        organization="summit",
        reason=Reason.BUDGET_EXCEEDED,
        detail="no",
    )
    site.api.run_send(str(campaign.pk), 1, "refusal", site.agent.site.identity.sign(refusal))
    workers()
    assert run_of(campaign).state == "abandoned"
    assert "summit refuses, budget_exceeded" in run_of(campaign).reason
