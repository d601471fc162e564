"""An attempt that asks for more contributions than the spec's minimum needs less noise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federated.errors import InvalidInput
from federated.privacy import accountant, discrete_gaussian
from federated.privacy.config import PrivacyConfig
from federated.protocol.cost import insiders_rho, job_epsilons, round_rho, share_sigma
from federated.protocol.refused import Refused
from federated.protocol.transcript import transcript_check
from federated.wire.round import Reason, RoundContext
from tests.federated.protocol.conftest import CAST, Consortium, make_spec

MANY = make_spec(tuple(sorted((*CAST, *(f"site_{n:02}" for n in range(36))))))


@given(
    minimum=st.integers(3, 40),
    colluding=st.integers(1, 4),
    epsilon=st.floats(0.1, 8),
    units=st.sampled_from([8, 256, 1024]),
    data=st.data(),
)
def test_every_cohort_that_an_attempt_may_have_meets_the_target(
    minimum, colluding, epsilon, units, data
):
    if minimum - colluding < 2:
        return
    privacy = PrivacyConfig(epsilon=epsilon, delta=1e-4, colluding=colluding, units=units)
    noise = privacy.spec(rounds=3, minimum_cohort=minimum, dimension=MANY.dimension)
    spec = MANY.model_copy(update={"privacy": noise, "minimum_cohort": minimum})
    asked = data.draw(st.integers(minimum, 40))
    members = data.draw(st.integers(asked, 40))
    sigma = share_sigma(spec, minimum_cohort=asked)
    assert min(3.0, spec.privacy.noise_sigma) <= sigma <= spec.privacy.noise_sigma
    rho = accountant.round_rho(
        noise_sigma=sigma,
        sensitivity=units,
        honest=members - colluding,
        dimension=spec.dimension,
    )
    assert rho <= round_rho(spec)
    alone = accountant.round_rho(
        noise_sigma=sigma, sensitivity=units, honest=1, dimension=spec.dimension
    )
    assert alone <= insiders_rho(spec)


def test_the_specs_own_minimum_has_the_specs_noise_and_all_of_four_a_third_less_variance():
    spec = make_spec()
    assert share_sigma(spec, minimum_cohort=3) == spec.privacy.noise_sigma
    ratio = share_sigma(spec, minimum_cohort=4) / spec.privacy.noise_sigma
    assert ratio == pytest.approx((2 / 3) ** 0.5)
    assert job_epsilons(spec)["insiders"] > job_epsilons(spec)["coordinator"]


def test_a_site_draws_the_noise_that_its_context_asks_for(
    consortium: Consortium, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    honest = discrete_gaussian.sample

    def sample(sigma, count):
        drawn.append(sigma)
        return honest(sigma, count)

    monkeypatch.setattr(discrete_gaussian, "sample", sample)
    spec = consortium.spec
    for changes, minimum in (({}, 3), ({"minimum_cohort": 4}, 4)):
        consortium.contribute("northwind", consortium.context(**changes))
        assert drawn.pop() == share_sigma(spec, minimum_cohort=minimum)
        assert drawn == []


def test_a_cohort_that_the_noise_does_not_cover_is_refused(consortium: Consortium) -> None:
    context = consortium.context(minimum_cohort=4)
    everybody = consortium.transcript(context, CAST)
    assert len(transcript_check(everybody, agreement=consortium.agreement).members)
    fewer = everybody.model_copy(update={"contributions": everybody.contributions[:3]})
    with pytest.raises(Refused, match="this attempt's minimum is 4") as caught:
        transcript_check(fewer, agreement=consortium.agreement)
    assert caught.value.reason == Reason.COHORT_BELOW_MINIMUM


def test_a_context_that_takes_the_minimum_away_after_the_noise_was_drawn_is_refused(
    consortium: Consortium,
) -> None:
    context = consortium.context(minimum_cohort=4)
    whole = consortium.transcript(context, CAST)
    lax = whole.model_copy(
        update={"context": consortium.context(), "contributions": whole.contributions[:3]}
    )
    with pytest.raises(Refused) as caught:
        transcript_check(lax, agreement=consortium.agreement)
    assert caught.value.reason == Reason.CONTEXT_MIXED


def test_a_minimum_beyond_the_participants_is_refused(consortium: Consortium) -> None:
    context = consortium.context(minimum_cohort=5)
    with pytest.raises(Refused, match=r"minimum_cohort 5; above the spec's 3 and at most 4"):
        consortium.agreement.context_check(context)


@pytest.mark.parametrize("value", [0, 3, None, 4.0, "4"])
def test_there_is_one_way_to_write_it(consortium: Consortium, value: object) -> None:
    body = consortium.context().dump()
    assert "minimum_cohort" not in body
    with pytest.raises(InvalidInput, match="minimum_cohort"):
        RoundContext.parse({**body, "minimum_cohort": value})
