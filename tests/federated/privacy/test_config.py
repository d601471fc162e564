import numpy as np
import pytest

from federated.errors import InvalidInput
from federated.privacy.config import PrivacyConfig
from federated.protocol.cost import check_spec_privacy
from federated.training.local import bound_records
from federated.wire.job import PrivacySpec
from tests.federated.protocol.conftest import consortium

__all__ = ["consortium"]


def test_the_seeds_arguments_and_their_defaults_are_one_config():
    assert PrivacyConfig(epsilon=1.0, delta=1e-5, mechanism="gaussian") == PrivacyConfig()


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"epsilon": 0}, "epsilon: 0 is not above 0"),
        ({"epsilon": -1.0}, "epsilon: -1 is not above 0"),
        ({"epsilon": 11}, "odds by 5.99e.04.; allowed: above 0, at most 10"),
        ({"epsilon": 11, "allow_high_epsilon": "  "}, "at most 10"),
        ({"epsilon": 11, "allow_high_epsilon": True}, "must be the reason in words"),
        ({"epsilon": 11, "allow_high_epsilon": "x" * 301}, "at most 300 characters"),
        ({"epsilon": 1, "allow_high_epsilon": "why not"}, "needs no reason"),
        ({"epsilon": float("inf")}, "epsilon: inf is not a finite number"),
        ({"epsilon": float("nan")}, "epsilon: nan is not a finite number"),
        ({"epsilon": "1.0"}, "epsilon: '1.0' is not a finite number"),
        ({"epsilon": True}, "epsilon: True is not a finite number"),
        ({"delta": 0}, "cannot give delta 0"),
        ({"delta": 1.0}, "not a probability"),
        ({"delta": -1e-5}, "not a probability"),
        ({"delta": 0.5}, "published whole"),
        ({"delta": float("nan")}, "delta: nan is not a finite number"),
        ({"delta": None}, "delta: None is not a finite number"),
        ({"mechanism": "laplace"}, r"up to sqrt\(d\) C; it serves benchmarks"),
        ({"mechanism": "laplace", "delta": 0}, "it serves benchmarks"),
        ({"mechanism": "magic"}, "'magic' is not known"),
        ({"mechanism": "none"}, "epsilon = infinity"),
        ({"unit": "row"}, "allowed: record, organization"),
        ({"clipping_norm": 0}, "clipping_norm: 0 is not above 0"),
        ({"clipping_norm": -1.0}, "clipping_norm: -1 is not above 0"),
        ({"clipping_norm": float("inf")}, "clipping_norm: inf is not a finite number"),
        ({"clipping_norm": float("nan")}, "clipping_norm: nan is not a finite number"),
        ({"clipping_norm": "1"}, "clipping_norm: '1' is not a finite number"),
        ({"colluding": 1000}, "colluding: 1000 is not a whole number of 1 to 999"),
        ({"colluding": True}, "colluding: True is not a whole number"),
        ({"units": 0}, "units: 0 is not a whole number of 1 to 1048576"),
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


JOB = {"rounds": 10, "minimum_cohort": 3, "dimension": 25}


@pytest.mark.parametrize(
    ("fields", "job", "reason"),
    [
        ({"colluding": 2}, {}, "colluding: 2 of 3 sites leaves 1 honest; at least 2"),
        ({"colluding": 3}, {}, "colluding: 3 of 3 sites leaves 0 honest"),
        ({"colluding": 9}, {}, "colluding: 9 of 3 sites leaves -6 honest"),
        ({"units": 4}, {}, "grid of 4 steps a clipped vector of 25 parameters may round to zero"),
        ({"units": 256}, {"dimension": 1_000_000}, "at least 1000 are needed"),
        ({"epsilon": 1e-7, "units": 2**20}, {}, "take more epsilon, fewer rounds or units"),
        ({}, {"rounds": 0}, "rounds: 0 is below 1"),
    ],
)
def test_a_config_that_does_not_fit_its_job_is_refused_with_numbers(fields, job, reason):
    with pytest.raises(InvalidInput, match=reason):
        PrivacyConfig(**fields).spec(**{**JOB, **job})


def test_a_grid_that_is_fine_enough_keeps_an_evenly_spread_gradient():
    privacy = PrivacyConfig(units=5).spec(**JOB)
    spread = np.full((1, 25), 1 / 5)
    assert (bound_records(spread, privacy) != 0).all()
    coarse = privacy.model_copy(update={"units": 4})
    assert (bound_records(spread, coarse) == 0).all()


def test_an_epsilon_above_10_carries_its_reason_on_the_wire():
    config = PrivacyConfig(epsilon=12.0, allow_high_epsilon="a public data set ")
    spec = config.spec(**JOB)
    assert (spec.epsilon, spec.high_epsilon_reason) == (12.0, "a public data set")
    assert PrivacyConfig().spec(**JOB).high_epsilon_reason is None


@pytest.mark.parametrize(
    "changes",
    [{"high_epsilon_reason": None}, {"epsilon": 10.0}, {"high_epsilon_reason": ""}],
)
def test_a_spec_above_10_without_a_reason_is_no_spec(changes):
    spec = PrivacyConfig(epsilon=12.0, allow_high_epsilon="public").spec(**JOB).dump()
    with pytest.raises(InvalidInput, match="high_epsilon_reason"):
        PrivacySpec.parse(spec | changes)


@pytest.mark.parametrize(("delta", "refused"), [(0.0099, False), (0.01, True)])
def test_a_delta_that_lets_a_record_be_published_whole_is_refused(consortium, delta, refused):
    """The consortium's dictionary has 100 nominal records."""
    assert consortium.spec.data.nominal_records == 100
    privacy = PrivacyConfig(delta=delta).spec(
        rounds=3, minimum_cohort=3, dimension=consortium.spec.model.parameters
    )
    spec = consortium.spec.model_copy(update={"privacy": privacy})
    if not refused:
        check_spec_privacy(spec)
        return
    with pytest.raises(InvalidInput, match=r"delta: 0.01 is not below 1 / 100 records \(0.01\)"):
        check_spec_privacy(spec)
