"""The learning rate that a job's noise allows: noise alone carries a parameter so far, no more."""

import numpy as np
import pytest

from federated.privacy.config import PrivacyConfig
from federated.protocol.cost import share_sigma
from federated.protocol.propose import LARGEST_WALK, learning_rate_chosen
from federated.protocol.strategy import strategy_make
from federated.training.server import ServerState, server_step
from federated.wire.job import LinearLayer, ModelSpec
from tests.federated.protocol.conftest import make_spec

WIDE = ModelSpec(layers=(LinearLayer(in_features=400, out_features=1),))


def rate(spec):
    return spec.strategy.server_optimizer.learning_rate


@pytest.mark.parametrize("options", [{}, {"momentum": 0.5}, {"server_optimizer": "sgd"}])
def test_noise_alone_carries_a_parameter_as_far_as_allowed(options):
    asked = make_spec(
        model=WIDE,
        strategy=strategy_make(epochs=30, **options),
        privacy=PrivacyConfig(epsilon=0.5, clipping_norm=0.7),
    )
    spec = learning_rate_chosen(asked)
    assert 0 < rate(spec) < rate(asked) == 1
    generator = np.random.default_rng(5)
    state = ServerState.initial(np.zeros(WIDE.parameters))
    for _ in range(30):
        shares = generator.normal(0, share_sigma(spec, minimum_cohort=4), (4, WIDE.parameters))
        state = server_step(
            state,
            np.rint(shares.sum(axis=0)).astype(np.int64),
            strategy=spec.training,
            privacy=spec.privacy,
            denominator=spec.denominator,
        )
    # 401 parameters tell a standard deviation to 3.5%, and the rate is rounded to two digits.
    assert np.std(state.parameters) == pytest.approx(LARGEST_WALK, rel=0.12)


def test_it_is_one_where_noise_does_not_matter_and_falls_with_more_rounds_and_less_epsilon():
    def of(epochs, epsilon):
        strategy = strategy_make(epochs=epochs)
        return rate(learning_rate_chosen(make_spec(strategy=strategy, privacy=epsilon)))

    none = PrivacyConfig(mechanism="none", allow_no_noise=True)
    assert of(100, none) == 1
    rates = [of(2, PrivacyConfig(epsilon=8.0)), of(10, PrivacyConfig()), of(40, PrivacyConfig())]
    assert rates[0] == 1 and rates == sorted(rates, reverse=True)
    assert of(40, PrivacyConfig(epsilon=0.25)) < of(40, PrivacyConfig())


@pytest.mark.parametrize(
    ("strategy", "unit"),
    [
        (strategy_make(epochs=4, server_optimizer="adam"), "record"),
        (strategy_make(epochs=4, strategy="fedavg"), "organization"),
    ],
)
def test_others_keep_their_own(strategy, unit):
    spec = make_spec(strategy=strategy, privacy=PrivacyConfig(unit=unit, epsilon=0.5))
    assert learning_rate_chosen(spec) == spec
