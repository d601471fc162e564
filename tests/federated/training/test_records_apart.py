"""One record must not change another record's bits: to blank or to remove one is exact.

Every sum moves by exactly the record's own vector, whatever the library, its threads, the
processor's instructions and the size of chunks.
"""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from federated.training.data import Dataset
from tests.federated.training import adversarial as given_by
from tests.federated.training.adversarial import CASES, UNITS, alone, blanked, without

EXTREMES = [0.0, -0.0, 1.0, -1.0, 0.5, 1e-38, 3e38, np.nan, np.inf, -np.inf]
slow = settings(
    deadline=None, max_examples=12, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)


def moves_by_its_own(compute, rows):
    whole = compute(rows)
    for place in range(len(rows)):
        own = compute(alone(rows, place))
        assert (whole - compute(without(rows, place)) == own).all()
        assert (whole - compute(blanked(rows, place)) == own).all()
        assert int(own @ own) <= UNITS**2


@pytest.mark.parametrize("seed", range(20))
def test_held_out_rows_at_a_bins_edge_stay_in_their_bins(seed):
    rows, weights = given_by.near_zero(seed, 8)
    parameters = np.append(weights, 0.0)
    moves_by_its_own(lambda some: given_by.counts(CASES["logistic"], parameters, some), rows)


@pytest.mark.parametrize("seed", range(20))
def test_gradients_at_half_a_unit_are_rounded_as_before(seed):
    rows, parameters = given_by.half_units(seed, 10)
    moves_by_its_own(lambda some: given_by.gradient_sum(CASES["squared"], parameters, some), rows)


def test_one_of_65_100_rows_at_half_a_unit_moves_the_sum_by_its_own_vector():
    few, parameters = given_by.half_units(3, 10)
    many = Dataset(np.tile(few.features, (6510, 1)), np.tile(few.target, 6510))
    case = CASES["squared"]
    whole = given_by.gradient_sum(case, parameters, many)
    for place in (0, 1, 20_971, 65_099):
        own = given_by.gradient_sum(case, parameters, alone(many, place))
        rest = given_by.gradient_sum(case, parameters, without(many, place))
        assert (whole - rest == own).all()


@pytest.mark.parametrize("name", CASES)
@slow
@given(data=st.data())
def test_any_record_moves_the_sums_by_its_own_vector(name, data):
    case = CASES[name]
    count = data.draw(st.integers(1, 7))
    rows = given_by.random_records(case, count, data.draw(st.integers(0, 99)))
    strange = data.draw(st.lists(st.tuples(st.integers(0, count - 1), st.integers(0, 23))))
    for place, column in strange:
        rows.features[place, column] = data.draw(st.sampled_from(EXTREMES))
    if data.draw(st.booleans()):
        rows.target[data.draw(st.integers(0, count - 1))] = data.draw(
            st.sampled_from([np.nan, np.inf, 2.0, -1.0, 300.0, 0.5])
        )
    scale = data.draw(st.sampled_from([1e-300, 1e-8, 1.0, 40.0, 1e60, 1e160]))
    parameters = given_by.parameters_of(case.model, data.draw(st.integers(0, 99)), scale)
    moves_by_its_own(lambda some: given_by.gradient_sum(case, parameters, some), rows)
    moves_by_its_own(lambda some: given_by.counts(case, parameters, some), rows)


@slow
@given(
    rows=hnp.arrays(
        np.float64,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=9),
        elements=st.floats(allow_nan=True, allow_infinity=True),
    )
)
def test_a_clipped_row_follows_from_that_row_alone(rows):
    from federated.training.local import bound_records

    whole = bound_records(rows, given_by.PRIVACY)
    for place, row in enumerate(rows):
        assert (bound_records(row[None], given_by.PRIVACY)[0] == whole[place]).all()
    turned = bound_records(np.asfortranarray(rows[::-1]), given_by.PRIVACY)
    assert (turned[::-1] == whole).all()


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e160])
def test_a_process_that_raises_floating_point_errors_changes_nothing(name, scale):
    case = CASES[name]
    rows = given_by.random_records(case, 7, 1)
    rows.features[0] = 1e-45
    rows.features[1] = 3e38
    parameters = given_by.parameters_of(case.model, 1, scale)
    found = []
    for reaction in ("ignore", "raise"):
        with np.errstate(all=reaction):
            found.append(given_by.gradient_sum(case, parameters, rows))
            found.append(given_by.counts(case, parameters, rows))
    assert (found[0] == found[2]).all()
    assert (found[1] == found[3]).all()


def _numpy_takes(features: str) -> bool:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "import numpy"],
        env={**os.environ, "NPY_DISABLE_CPU_FEATURES": features},
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


def _avx512() -> bool:
    try:
        with open("/proc/cpuinfo") as file:
            return "avx512dq" in file.read()
    except OSError:
        return False


def test_the_bits_are_those_of_every_kernel_thread_count_and_instruction_set():
    kernels = ["Haswell", "Nehalem", "Prescott"] + (["SkylakeX"] if _avx512() else [])
    features = ["", *(name for name in ("X86_V4", "X86_V3", "AVX2 FMA3") if _numpy_takes(name))]
    ways = [*((kernel, "2", "") for kernel in kernels), ("Haswell", "1", "")]
    ways += [("", "2", disabled) for disabled in features]
    found = {}
    for kernel, threads, disabled in ways:
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": threads}
        if kernel:
            environment["OPENBLAS_CORETYPE"] = kernel
        if disabled:
            environment["NPY_DISABLE_CPU_FEATURES"] = disabled
        done = subprocess.run(
            [sys.executable, "-m", "tests.federated.training.adversarial"],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        found[kernel, threads, disabled] = done.stdout
    assert len(set(found.values())) == 1, found
