"""What a job's unit fixes: sensitivity, clamp, denominator, and where noise swamps the signal."""

import math

import pytest

from federated.errors import InvalidInput
from federated.privacy.accountant import round_rho
from federated.privacy.config import PrivacyConfig
from federated.protocol.cost import (
    check_spec_privacy,
    noise_and_signal,
    privacy_warnings,
    round_cost,
    share_sigma,
)
from federated.protocol.layout import clamp_of
from federated.protocol.strategy import strategy_make
from federated.wire.job import LinearLayer, ModelSpec
from tests.federated.protocol.conftest import CAST, make_spec

MANY = (*CAST, *(f"clinic{number:02}" for number in range(36)))
ORGANIZATION = PrivacyConfig(unit="organization", epsilon=8.0)


def job(names=CAST, privacy=ORGANIZATION, **options):
    return make_spec(
        names, strategy=strategy_make(epochs=4, strategy="fedavg"), privacy=privacy, **options
    )


def test_one_organization_is_one_vector_of_at_most_the_units():
    spec = job()
    assert (clamp_of(spec), spec.denominator) == (spec.privacy.units, 4)
    assert round_cost(spec).unit == "organization"
    assert round_cost(spec).rho == round_rho(
        noise_sigma=spec.privacy.noise_sigma,
        sensitivity=spec.privacy.units,
        honest=spec.honest,
        dimension=4,
    )
    by_record = make_spec()
    assert clamp_of(by_record) == by_record.data.max_records * by_record.privacy.units
    assert by_record.denominator == by_record.data.nominal_records


@pytest.mark.parametrize(
    ("dimension", "record", "organization"),
    [(4, 256, 256), (300, 256, 512), (10_000, 256, 2048), (1_000_000, 1024, 16_384)],
)
def test_the_grid_grows_with_the_vector(dimension, record, organization):
    for unit, units in (("record", record), ("organization", organization)):
        spec = PrivacyConfig(unit=unit).spec(rounds=1, minimum_cohort=3, dimension=dimension)
        assert spec.units == units


def test_few_organizations_are_warned_with_the_numbers_and_many_are_not():
    spec = job()
    noise, signal = noise_and_signal(spec)
    grid = spec.privacy.clipping_norm / spec.privacy.units
    assert noise == pytest.approx(share_sigma(spec, minimum_cohort=4) * grid * math.sqrt(4) / 4)
    assert signal == pytest.approx(0.5)
    model = ModelSpec(layers=(LinearLayer(in_features=24, out_features=1),))
    (warning,) = privacy_warnings(job(model=model))
    assert "carries noise of 0.3" in warning
    assert "at most 0.2 (clipping_norm / sqrt of 25 parameters)" in warning
    assert "organizations would bring them level" in warning
    assert privacy_warnings(job(MANY, model=model)) == []
    swamped = make_spec(privacy=PrivacyConfig(epsilon=0.001))
    assert "more records" in privacy_warnings(swamped)[0]
    assert privacy_warnings(make_spec()) == []


def test_a_delta_that_publishes_an_organization_is_refused():
    spec = job()
    loose = spec.privacy.model_copy(update={"delta": 0.26})
    with pytest.raises(InvalidInput, match="not below 1 / 4 organizations"):
        check_spec_privacy(spec.model_copy(update={"privacy": loose}))


def test_rounds_of_local_epochs_are_charged_once_each():
    once = strategy_make(epochs=12, strategy="fedavg", local_epochs=4)
    spec = make_spec(strategy=once, privacy=ORGANIZATION)
    assert spec.strategy.rounds == 3
    check_spec_privacy(spec)
