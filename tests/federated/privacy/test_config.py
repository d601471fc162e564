import pytest

from federated.errors import InvalidInput
from federated.privacy.config import PrivacyConfig


def test_the_seeds_arguments_and_their_defaults_are_one_config():
    assert PrivacyConfig(epsilon=1.0, delta=1e-5, mechanism="gaussian") == PrivacyConfig()


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"epsilon": 0}, "epsilon: 0 is not above 0"),
        ({"epsilon": -1.0}, "epsilon: -1 is not above 0"),
        ({"epsilon": 11}, "at most 10"),
        ({"epsilon": float("nan")}, "epsilon: nan is not a finite number"),
        ({"epsilon": "1.0"}, "epsilon: '1.0' is not a finite number"),
        ({"epsilon": True}, "epsilon: True is not a finite number"),
        ({"delta": 0}, "cannot give delta 0"),
        ({"delta": 1.0}, "not a probability"),
        ({"delta": -1e-5}, "not a probability"),
        ({"delta": 0.5}, "published whole"),
        ({"mechanism": "laplace"}, "allowed for training: gaussian"),
        ({"mechanism": "magic"}, "'magic' is not known"),
        ({"mechanism": "none"}, "epsilon = infinity"),
        ({"unit": "organization"}, "later; allowed: record"),
        ({"unit": "row"}, "allowed: record"),
        ({"clipping_norm": 0}, "clipping_norm"),
        ({"colluding": 0}, "colluding: 0 is not a whole number of 1 to 999"),
        ({"units": 2.5}, "units"),
        ({"units": 2**21}, "units"),
    ],
)
def test_a_meaningless_config_is_refused_with_its_reason(fields, reason):
    with pytest.raises(InvalidInput, match=reason):
        PrivacyConfig(**fields)


def test_the_wire_spec_carries_the_noise_that_meets_the_target():
    spec = PrivacyConfig().spec(rounds=10, minimum_cohort=3, dimension=25)
    assert (spec.epsilon, spec.delta, spec.units, spec.colluding) == (1.0, 1e-5, 256, 1)
    assert spec.noise_sigma == 2315.6


def test_no_noise_has_no_finite_epsilon():
    spec = PrivacyConfig(mechanism="none", allow_no_noise=True).spec(
        rounds=10, minimum_cohort=3, dimension=25
    )
    assert (spec.epsilon, spec.delta, spec.noise_sigma) == (None, None, 0)


def test_two_honest_sites_must_be_left():
    with pytest.raises(InvalidInput, match="leaves 1 honest"):
        PrivacyConfig(colluding=2).spec(rounds=10, minimum_cohort=3, dimension=25)
