"""Short vectors are packed into ciphertexts, long ones masked, by the number of ciphertexts."""

from __future__ import annotations

import pytest

from federated.errors import InvalidInput
from federated.protocol.layout import aggregator_of
from federated.protocol.propose import aggregation_chosen
from federated.wire.job import JobSpec, LinearLayer, ModelSpec
from tests.federated.protocol.conftest import Consortium, with_


def sized(spec: JobSpec, parameters: int) -> JobSpec:
    layer = LinearLayer(in_features=1000, out_features=parameters // 1001)
    return with_(spec, model=ModelSpec.model_construct(layers=(layer,)))


def counts(consortium: Consortium, spec: JobSpec) -> dict[str, int]:
    return {
        kind: aggregator_of(
            with_(spec, aggregation=kind), consortium.agreement.key
        ).ciphertexts_per_contribution
        for kind in ("packed", "masked")
    }


@pytest.mark.parametrize("parameters", [1001, 3003, 1_001_000])
def test_the_fewest_ciphertexts_win(consortium: Consortium, parameters: int) -> None:
    spec = sized(consortium.spec, parameters)
    chosen = aggregation_chosen(spec, consortium.agreement.key).aggregation
    number = counts(consortium, spec)
    assert number[chosen] == min(number.values())
    assert chosen == ("packed" if number["packed"] <= number["masked"] else "masked")
    assert (chosen == "masked") == (parameters > 2500)


def test_a_tiny_model_is_packed(consortium: Consortium) -> None:
    assert aggregation_chosen(consortium.spec, consortium.agreement.key) == consortium.spec


def test_what_fits_one_kind_alone_takes_it(consortium: Consortium) -> None:
    privacy = with_(consortium.spec.privacy, noise_sigma=1e15)
    spec = with_(sized(consortium.spec, 1_001_000), privacy=privacy)
    assert aggregation_chosen(spec, consortium.agreement.key).aggregation == "packed"
    many = consortium.spec.participants * 300
    huge = with_(consortium.spec.data, max_records=10**300)
    with pytest.raises(InvalidInput, match="1200 contributors"):
        aggregation_chosen(with_(spec, participants=many, data=huge), consortium.agreement.key)
