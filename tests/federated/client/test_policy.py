"""The site's policy: what it reads, and what it says no to."""

from __future__ import annotations

from pathlib import Path

import pytest

from federated.errors import InvalidInput
from federated.privacy.config import PrivacyConfig
from federated.site.join import FIRST_POLICY
from federated.site.policy import Policy, PolicyRefusal
from tests.federated.protocol.conftest import Consortium


@pytest.fixture
def write(tmp_path: Path):
    def policy(text: str) -> Policy:
        (tmp_path / "policy.yaml").write_text(text)
        return Policy.load(tmp_path / "policy.yaml")

    return policy


def test_the_modules_example_is_a_policy(write, tmp_path: Path) -> None:
    from federated.site import policy as module

    example = module.__doc__.split("::")[1]
    policy = write(example)
    heart = policy.datasets["heart"]
    assert (policy.approve, policy.max_delta) == ("auto", 1e-5)
    assert heart.path == tmp_path / "data/heart.parquet"
    assert heart.held_out == 0.3
    assert policy.allotment_of("heart").epsilon == 4.0
    assert policy.allotment_of("another") == policy.allotment


def test_the_policy_of_a_joined_site_waits_for_people(write) -> None:
    assert write(FIRST_POLICY).approve == "portal"


def test_no_file_is_the_default_policy(tmp_path: Path) -> None:
    assert Policy.load(tmp_path / "none.yaml") == Policy()


def test_a_number_that_yaml_reads_as_text_is_a_number(write) -> None:
    assert write("max_delta: 1e-5").max_delta == 1e-5


def test_a_held_out_file_lies_beside_the_policy(write, tmp_path: Path) -> None:
    policy = write("datasets: {heart: {path: a.csv, held_out: test.csv}}")
    assert policy.datasets["heart"].held_out == tmp_path / "test.csv"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("aprove: auto", "aprove: no such key .allowed: approve"),
        ("approve: sometimes", "approve: Input should be 'auto', 'portal' or 'never'"),
        ("max_epsilon: -1", "max_epsilon: Input should be greater than 0"),
        ("minimum_cohort: 2", "minimum_cohort: Input should be greater than or equal to 3"),
        ("allotment: {epsilon: .inf}", "allotment.epsilon"),
        ("allotment: {period: day}", "allotment.period"),
        ("datasets: {heart: {}}", "datasets.heart.path"),
        ("- a list", "must be a mapping"),
        ("a: [", "not YAML"),
    ],
)
def test_a_wrong_policy_is_refused_with_its_key(write, text: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        write(text)


def test_a_fitting_job_is_allowed(consortium: Consortium) -> None:
    Policy(approve="auto").check(consortium.spec, organization="summit")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"approve": "never"}, "takes no jobs"),
        ({"max_epsilon": 0.5}, "max_epsilon: the job asks 1, allowed 0.5"),
        ({"max_delta": 1e-6}, "max_delta: the job asks 1e-05, allowed 1e-06"),
        ({"max_rounds": 2}, "max_rounds: the job asks 3, allowed 2"),
        ({"proposers": ("lakeside",)}, "northwind is not among lakeside"),
        ({"minimum_cohort": 4}, "minimum_cohort: the job has 3, at least 4"),
        ({"minimum_colluding": 2}, "minimum_colluding: the job has 1, at least 2"),
    ],
)
def test_a_job_that_does_not_fit_is_refused_by_its_line(
    consortium: Consortium, changes: dict, said: str
) -> None:
    policy = Policy(approve="auto").model_copy(update=changes)
    with pytest.raises(PolicyRefusal, match=said):
        policy.check(consortium.spec, organization="summit")


def test_an_organizations_own_job_needs_no_place_in_proposers(consortium: Consortium) -> None:
    Policy(proposers=("lakeside",)).check(consortium.spec, organization="northwind")


def test_a_job_without_noise_is_refused(consortium: Consortium) -> None:
    bare = PrivacyConfig(mechanism="none", allow_no_noise=True).spec(
        rounds=3, minimum_cohort=3, dimension=4
    )
    spec = consortium.spec.model_copy(update={"privacy": bare})
    with pytest.raises(PolicyRefusal, match="epsilon = infinity"):
        Policy().check(spec, organization="summit")


def test_an_epsilon_above_10_needs_the_sites_own_permission(consortium: Consortium) -> None:
    high = PrivacyConfig(epsilon=20.0, allow_high_epsilon="synthetic").spec(
        rounds=3, minimum_cohort=3, dimension=consortium.spec.model.parameters
    )
    spec = consortium.spec.model_copy(update={"privacy": high})
    with pytest.raises(PolicyRefusal, match="allow_high_epsilon: false; the job asks epsilon 20"):
        Policy(max_epsilon=100.0).check(spec, organization="summit")
    with pytest.raises(PolicyRefusal, match="max_epsilon"):
        Policy(allow_high_epsilon=True).check(spec, organization="summit")
    Policy(max_epsilon=100.0, allow_high_epsilon=True).check(spec, organization="summit")


def test_a_key_that_is_too_short_is_refused(consortium: Consortium) -> None:
    with pytest.raises(PolicyRefusal, match="minimum_key_bits: the key has 768, at least 3072"):
        Policy().check_key(consortium.epoch, bits=768)


def test_a_key_whose_fingerprint_was_not_read_out_is_refused(consortium: Consortium) -> None:
    policy = Policy(minimum_key_bits=512, key_epochs=("ab" * 32,))
    with pytest.raises(PolicyRefusal, match="key_epochs: fingerprint"):
        policy.check_key(consortium.epoch, bits=768)
    pinned = Policy(minimum_key_bits=512, key_epochs=(consortium.epoch.digest(),))
    pinned.check_key(consortium.epoch, bits=768)
