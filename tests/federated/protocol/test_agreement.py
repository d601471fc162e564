"""What an agreement refuses, and what it says of spec and key."""

from __future__ import annotations

import pytest

from federated.crypto import signatures
from federated.errors import InvalidInput, SignatureInvalid
from federated.protocol.agreement import CampaignAgreement, JobAgreement
from federated.protocol.checks import approval_check
from federated.protocol.cost import job_cost, round_cost
from federated.protocol.identity import SiteIdentity
from federated.protocol.kinds import KINDS, agreement_of, kind_of
from federated.protocol.refused import Refused
from federated.wire.round import Reason, Verdict

from .campaign_world import make_campaign
from .conftest import CAST, OUTSIDER, with_


@pytest.fixture(scope="module")
def campaign(consortium):
    return make_campaign(consortium)


def test_another_key_epoch_is_refused_for_either_kind_of_spec(consortium, campaign):
    other = with_(consortium.epoch, number=9)
    for spec in (consortium.spec, campaign.spec):
        with pytest.raises(Refused, match=spec.key_epoch[:16]) as caught:
            agreement_of(spec, other)
        assert caught.value.reason is Reason.KEY_UNKNOWN


def test_it_is_of_the_spec_s_kind(consortium, campaign):
    job, run = (agreement_of(s, consortium.epoch) for s in (consortium.spec, campaign.spec))
    assert isinstance(job, JobAgreement) and isinstance(run, CampaignAgreement)
    assert [kind_of(each).name for each in (job, run)] == ["training", "benchmark"]
    assert [sum(kind.takes(each.spec) for kind in KINDS) for each in (job, run)] == [1, 1]


def test_costs_are_those_of_spec_and_key(consortium, campaign):
    job, run = consortium.agreement, campaign.agreement
    assert (job.cost, job.whole_cost) == (round_cost(consortium.spec), job_cost(consortium.spec))
    assert job.whole_cost.rho == job.releases * job.cost.rho
    assert run.whole_cost.rho == 4 * run.cost.rho == 8.0
    assert (job.seconds, run.seconds) == (consortium.spec.round_seconds, campaign.spec.run_seconds)


def test_only_a_participant_speaks_and_with_its_pinned_key(consortium, campaign):
    for agreement in (consortium.agreement, campaign.agreement):
        zeros = "0" * 64
        verdict = Verdict(
            context=zeros, cohort=zeros, release=zeros, organization="summit", agrees=True
        )
        signed = consortium.identities["summit"].sign(verdict)
        assert agreement.verify(signed) == verdict
        stranger = SiteIdentity("summit", signatures.generate_private_key())
        with pytest.raises(SignatureInvalid):
            agreement.verify(stranger.sign(verdict))
        outside = stranger.sign(with_(verdict, organization=OUTSIDER))
        with pytest.raises(Refused) as caught:
            agreement.verify(outside)
        assert caught.value.reason is Reason.MEMBER_UNKNOWN


def test_trustees_serve_in_order_of_their_index_where_they_approved(consortium):
    agreement = consortium.agreement
    assert agreement.serving(CAST) == [t.organization for t in consortium.epoch.trustees]
    assert agreement.serving({"westbrook", OUTSIDER, "lakeside"}) == ["lakeside", "westbrook"]


def test_an_attempt_asks_for_no_fewer_than_the_spec(consortium, campaign):
    assert consortium.agreement.minimum(consortium.context()) == consortium.spec.minimum_cohort
    assert consortium.agreement.minimum(consortium.context(minimum_cohort=4)) == 4
    assert campaign.agreement.minimum(campaign.context()) == campaign.spec.minimum_cohort


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"spec": "0" * 64}, Reason.SPEC_CHANGED),
        ({"key_epoch": "0" * 64}, Reason.KEY_UNKNOWN),
    ],
)
def test_a_context_of_another_spec_or_key_is_refused(consortium, campaign, change, reason):
    for one in (consortium, campaign):
        with pytest.raises(Refused) as caught:
            one.agreement.context_check(one.context(**change))
        assert caught.value.reason is reason


def test_a_context_of_another_subject_or_beyond_the_last_release_is_refused(consortium, campaign):
    other = "00000000-0000-4000-8000-000000000000"
    refused = [
        (consortium, consortium.context(job_id=other), Reason.JOB_UNKNOWN),
        (campaign, campaign.context(campaign_id=other), Reason.CAMPAIGN_UNKNOWN),
        (consortium, consortium.context(round=4), Reason.CONTEXT_MIXED),
        (campaign, campaign.context(run=5), Reason.CONTEXT_MIXED),
    ]
    for one, context, reason in refused:
        with pytest.raises(Refused) as caught:
            one.agreement.context_check(context)
        assert caught.value.reason is reason


def test_an_approval_is_of_this_spec_with_all_its_terms(consortium, campaign):
    for agreement, times in ((consortium.agreement, "rounds"), (campaign.agreement, "runs")):
        identity = consortium.identities["summit"]
        right = agreement.approval("summit")
        approval_check(identity.sign(right), agreement=agreement)
        cheap = with_(right.cost, rho=right.cost.rho / 2)
        wrong = [{"cost": cheap}, {times: getattr(right, times) - 1}, {"spec": "0" * 64}]
        for change in wrong:
            with pytest.raises(Refused) as caught:
                approval_check(identity.sign(with_(right, **change)), agreement=agreement)
            assert caught.value.reason is Reason.APPROVAL_MISSING


def test_the_approval_of_another_kind_is_refused(consortium, campaign):
    signed = consortium.identities["summit"].sign(campaign.agreement.approval("summit"))
    with pytest.raises(Refused, match="another spec"):
        approval_check(signed, agreement=consortium.agreement)


def test_a_spec_that_expects_fewer_colluding_than_its_key_is_refused(consortium):
    epoch = with_(consortium.epoch, max_colluding=2, threshold=4)
    spec = with_(consortium.spec, key_epoch=epoch.digest())
    with pytest.raises(InvalidInput, match="colluding is 1, the key epoch expects up to 2"):
        JobAgreement(spec, epoch).check()
