"""A campaign's run from votes to statistics, and what the messages refuse."""

from __future__ import annotations

import math
import random
from fractions import Fraction

import pytest

from federated.aggregation.vote_statistics import statistics_of
from federated.errors import InvalidInput
from federated.privacy import discrete_laplace
from federated.privacy.accountant import rho_to_epsilon
from federated.protocol.agreement import CampaignAgreement
from federated.protocol.campaign_propose import _rounded_down
from federated.protocol.checks import charges_check
from federated.protocol.kinds.benchmark import BENCHMARK, _close, vote_points, vote_values
from federated.protocol.noise import noised_cohort_check
from federated.protocol.release import release_check
from federated.protocol.share import product_of, share_check
from federated.protocol.transcript import cohort_check, transcript_check
from federated.wire.campaign import CampaignSpec, CampaignTranscript, Measured, grid_points
from tests.federated.aggregation.vote_cases import case

from .campaign_world import LATENCY, MEASURED, make_campaign
from .conftest import CAST, with_


@pytest.fixture(scope="module")
def campaign(consortium):
    return make_campaign(consortium)


@pytest.fixture(scope="module")
def released(campaign):
    return campaign.released()


def opened(campaign, ciphertexts):
    """The sums inside ciphertexts, decrypted by all trustees at once."""
    from federated.crypto.threshold import combine, partial_decrypt
    from federated.protocol.keys import public_key_of, verification_of

    consortium = campaign.consortium
    partials = {
        share.index: partial_decrypt(share, ciphertexts) for share in consortium.shares.values()
    }
    key = public_key_of(consortium.epoch)
    plaintexts = combine(key, verification_of(consortium.epoch), partials)
    return [
        campaign.agreement.layouts[position].unpack(plaintext, key.n)
        for position, plaintext in enumerate(plaintexts)
    ]


def test_votes_without_noise_add_up_to_their_codewords(campaign):
    sums = opened(campaign, product_of(campaign.closed(), agreement=campaign.agreement))
    for position, found in enumerate(sums):
        layout = campaign.agreement.layouts[position]
        points = [vote_points(campaign.spec, campaign.measured(n))[position] for n in CAST]
        assert found == tuple(map(sum, zip(*(layout.points[p] for p in points), strict=True)))


def test_a_run_from_votes_to_a_release_that_everybody_recomputes(campaign, released):
    agreement = campaign.agreement
    transcript = CampaignTranscript.parse(released.canonical())
    cohort = transcript_check(transcript, agreement=agreement)
    charges_check(transcript.receipts, agreement=agreement, cohort=cohort)
    noised_cohort_check(transcript, agreement=agreement)
    for signed in transcript.shares:
        share_check(
            signed,
            agreement=agreement,
            cohort=transcript.decrypted(),
            product=product_of(transcript, agreement=agreement),
        )
    release_check(transcript, agreement=agreement)
    release = transcript.release
    assert release.count == 4
    latency, throughput = release.metrics
    assert latency.illustrative and throughput.illustrative
    assert set(latency.statistics) == {"mean", "std", "median"}  # no p90 of four organizations
    assert set(throughput.statistics) == {"mean"}
    for metric in release.metrics:
        for estimate in metric.statistics.values():
            assert estimate.lower <= estimate.value <= estimate.upper


def test_each_trustee_decrypts_only_what_holds_its_own_noise(campaign, released):
    for own in released.noise:
        noised_cohort_check(released, own=own, agreement=campaign.agreement)


def test_a_member_checks_its_own_bytes_and_the_minimum_without_the_votes(campaign, released):
    cohort_check(
        released.cohort(),
        agreement=campaign.agreement,
        context=released.context,
        own=released.submissions[2],
    )


def test_a_submission_checks_alone(campaign):
    context = campaign.context(run=2)
    BENCHMARK.contribution_check(
        campaign.submit("summit", context),
        agreement=campaign.agreement,
        context=context,
    )


def test_what_a_site_would_send_is_the_nearest_grid_point(campaign):
    values = vote_values(campaign.spec, campaign.measured("northwind"))
    latency, throughput = (grid_points(metric) for metric in campaign.spec.metrics)
    assert values["latency_ms"] == min(latency, key=lambda x: max(x / 90, 90 / x))
    assert values["throughput_ops"] == min(throughput, key=lambda x: abs(x - 510))


# Bad input.


def measured(campaign, **changes):
    return {**campaign.measured("summit"), **changes}


def test_out_of_bounds_is_clamped_or_refused_as_the_campaign_says(campaign):
    high = measured(campaign, latency_ms=Measured(value=1e6, unit="ms"))
    assert vote_points(campaign.spec, high)[0] == 7
    with pytest.raises(InvalidInput, match=r"throughput_ops: 1001 ops/s is out of .* 0 to 1000"):
        vote_points(
            campaign.spec,
            measured(campaign, throughput_ops=Measured(value=1001.0, unit="ops/s")),
        )


def test_a_whole_number_is_a_measurement():
    assert Measured.parse({"value": 12, "unit": "ms"}).value == 12.0


def test_another_unit_an_unknown_metric_and_a_missing_one(campaign):
    with pytest.raises(InvalidInput, match="latency_ms: measured in s, the unit is ms"):
        vote_points(campaign.spec, measured(campaign, latency_ms=Measured(value=1.0, unit="s")))
    with pytest.raises(InvalidInput, match="energy_j: no metric of this campaign; allowed: laten"):
        vote_points(campaign.spec, measured(campaign, energy_j=Measured(value=1.0, unit="J")))
    with pytest.raises(InvalidInput, match="throughput_ops: not measured"):
        vote_points(campaign.spec, {"latency_ms": Measured(value=1.0, unit="ms")})


@pytest.mark.parametrize("value", ["NaN", "Infinity", "null", '"12"', "true"])
def test_a_measurement_is_a_finite_number(value):
    with pytest.raises(InvalidInput, match="Measured"):
        Measured.parse(f'{{"value": {value}, "unit": "ms"}}')


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"upper": 1.0}, "lower must be below upper"),
        ({"lower": 0.0}, "a log grid needs lower above 0"),
        ({"bins": 3}, "do not divide the 8 points"),
        ({"statistics": ("mean", "mean")}, "listed twice"),
        ({"statistics": ()}, "statistics"),
        ({"statistics": ("mode",)}, "statistics"),
        ({"upper": 1.0000000000001}, "too close together"),
        ({"weight": 0.0}, "weight must be above 0"),
        ({"key": "Latency"}, "key"),
        ({"unit": ""}, "unit"),
        ({"grid": "cubic"}, "kind"),
    ],
)
def test_a_metric_that_makes_no_sense_is_refused(consortium, change, message):
    draft = type(LATENCY)(**{**LATENCY.__dict__, **change})
    with pytest.raises(InvalidInput, match=message):
        make_campaign(consortium, metrics=(draft,))


def test_a_split_may_not_add_up_to_more_than_the_run_has(campaign):
    body = campaign.spec.dump()
    body["metrics"][1]["split"]["values"] += 0.01
    with pytest.raises(InvalidInput, match="split: the metrics take epsilon 2.01, the run has 2"):
        CampaignSpec.parse(body)


@pytest.mark.parametrize("epsilon", [1.0, 0.3, 0.7, 2.0, 10.0])
@pytest.mark.parametrize("weights", [(1, 1), (1, 2), (0.1, 0.7), (1, 4)])
def test_a_proposed_split_is_within_epsilon_to_the_last_bit(consortium, epsilon, weights):
    metrics = tuple(
        type(LATENCY)(**{**LATENCY.__dict__, "key": f"own_{at}", "weight": weight})
        for at, weight in enumerate(weights)
    )
    spec = make_campaign(consortium, metrics=metrics, epsilon=epsilon).spec
    parts = [p for m in spec.metrics for p in (m.split.values, m.split.squares, m.split.histogram)]
    assert sum(map(Fraction, parts)) <= Fraction(epsilon)
    assert sum(parts) == pytest.approx(epsilon, rel=1e-7)


def test_a_fifth_is_never_more_than_a_fifth():
    # The float nearest to 0.2 is above it.
    assert Fraction(0.2) * 5 > 1
    assert Fraction(_rounded_down(Fraction(1, 5))) * 5 <= 1
    assert _rounded_down(Fraction(1, 4)) == 0.25
    assert _rounded_down(Fraction(1, 10**10)) == 0.0


def test_a_release_of_the_older_variance_formula_is_verified(monkeypatch):
    def older(scale):
        p = math.exp(-1 / scale)
        return 2 * p / (1 - p) ** 2

    rng = random.Random(1)
    layout = case("linear", 0.03, 1000)
    largest = 0.0
    for _ in range(50):
        sums = [round(rng.gauss(0, float(slot.scale))) for slot in layout.slots]
        ours = statistics_of(layout, sums, count=1000, shares=3)
        with monkeypatch.context() as patch:
            patch.setattr(discrete_laplace, "variance", older)
            theirs = statistics_of(layout, sums, count=1000, shares=3)
        for name, estimate in ours.items():
            assert _close(estimate, theirs[name])
            for a, b in zip(estimate.dump().values(), theirs[name].dump().values(), strict=True):
                largest = max(largest, abs(a - b) / max(abs(a), 1.0))
    assert largest > 1e-9


def test_a_campaign_that_does_not_fit_the_key_is_refused(consortium):
    wide = type(LATENCY)(**{**LATENCY.__dict__, "points": 128, "bins": 128})
    campaign = make_campaign(consortium, metrics=(wide,), epsilon=0.01)
    with pytest.raises(InvalidInput, match="latency_ms needs .* the key has 766; take fewer bins"):
        campaign.agreement.check()


# Cost.


def test_a_run_costs_pure_epsilon_converted(campaign):
    cost = campaign.agreement.cost
    assert (cost.dataset, cost.unit, cost.rho) == ("benchmarks", "organization", 2.0)
    assert campaign.agreement.whole_cost.rho == 4 * cost.rho
    campaign.agreement.check()


def test_gaussian_noise_costs_what_it_claims_with_honest_shares_alone(consortium):
    campaign = make_campaign(consortium, noise="gaussian", delta=1e-6, epsilon=1.0)
    campaign.agreement.check()
    rho = campaign.agreement.cost.rho
    assert 0.99 < rho_to_epsilon(rho, 1e-6) <= 1.0
    layout = campaign.agreement.layouts[0]
    part = campaign.spec.metrics[0].split
    for slot in layout.slots:
        # t - f = 2 shares alone give what this sum may cost.
        alone = slot.sensitivity**2 / (2 * 2 * slot.scale**2)
        assert alone == pytest.approx(getattr(part, slot.kind), rel=1e-4)
        assert slot.scale >= 3


def test_a_gaussian_spec_that_claims_too_little_is_refused(consortium):
    campaign = make_campaign(consortium, noise="gaussian", delta=1e-6, epsilon=1.0)
    body = campaign.spec.dump()
    body["noise"]["epsilon"] = 0.9
    with pytest.raises(InvalidInput, match=r"gives epsilon 0\.99.* claims 0.9"):
        CampaignAgreement(CampaignSpec.parse(body), consortium.epoch).check()


def test_a_gaussian_run_releases(consortium):
    campaign = make_campaign(consortium, noise="gaussian", delta=1e-6, epsilon=1.0)
    transcript = campaign.released()
    release_check(transcript, agreement=campaign.agreement)


def test_noise_is_in_the_release_once_and_for_each_trustee(campaign, released):
    """The released sums minus the votes are exactly the shares' plaintexts."""
    agreement = campaign.agreement
    votes = opened(campaign, product_of(with_(released, noise=()), agreement=agreement))
    whole = opened(campaign, product_of(released, agreement=agreement))
    assert [metric.slots for metric in released.release.metrics] == whole
    shares = []
    for signed in released.noise:
        alone = [int.from_bytes(c, "big") for c in map(_bytes, signed.body.ciphertexts)]
        shares.append(opened(campaign, alone))
    for position, sums in enumerate(votes):
        noise = [sum(column) for column in zip(*(s[position] for s in shares), strict=True)]
        assert [w - v for w, v in zip(whole[position], sums, strict=True)] == noise
        assert any(noise)


def _bytes(text):
    from federated.wire.base import decode_bytes

    return decode_bytes(text)


def test_statistics_follow_from_the_noisy_sums_alone(campaign, released):
    for position, metric in enumerate(released.release.metrics):
        layout = campaign.agreement.layouts[position]
        assert metric.statistics == statistics_of(layout, metric.slots, count=4, shares=3)


def test_the_cast_has_measurements():
    assert set(MEASURED) == set(CAST)
