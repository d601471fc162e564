"""What submit_training makes of its arguments, and the errors before anything is sent."""

from __future__ import annotations

import ssl

import httpx
import numpy as np
import pytest

from federated.api.coordinator import CoordinatorAPI
from federated.errors import InvalidInput, NotFound
from federated.privacy.config import PrivacyConfig
from federated.protocol.strategy import strategy_make
from federated.sdk.proposal import (
    Asked,
    dictionary_choose,
    participants_choose,
    privacy_choose,
    spec_propose,
)
from federated.training.model import LoadedModel
from federated.wire.base import encode_bytes
from federated.wire.job import BinaryTarget, DataDictionary, LinearLayer, ModelSpec, NumericFeature
from federated.wire.key import Roster, RosterSite
from tests.federated.protocol.conftest import Consortium

FEATURES = {"age": (20, 100), "sex": ["Female", "Male"]}
WARD = DataDictionary(
    dataset="ward",
    features=(NumericFeature(name="age", lower=20, upper=100),),
    target=BinaryTarget(name="sick"),
    nominal_records=100,
)
DEFAULTS = {"epsilon": 0.5, "delta": 1e-6, "mechanism": "gaussian", "allow_no_noise": False}


@pytest.fixture
def api() -> CoordinatorAPI:
    """A coordinator that knows the dictionary of ward alone."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/dictionaries/ward":
            return httpx.Response(200, content=WARD.canonical())
        return httpx.Response(404, json=NotFound("There is no such dictionary.").problem())

    transport = httpx.MockTransport(answer)
    return CoordinatorAPI(
        "https://coordinator.test", ssl.create_default_context(), transport=transport
    )


def test_features_and_target_from_the_arguments(api: CoordinatorAPI) -> None:
    asked = Asked(features=FEATURES, target="sick", dataset="heart", nominal_records=640)
    found = dictionary_choose(asked, {}, api, name="rows")
    assert found.dataset == "heart"
    assert [feature.width for feature in found.features] == [1, 2]
    assert found.target == BinaryTarget(name="sick", positive_above=0.0)


def test_the_datas_file_names_the_dataset(api: CoordinatorAPI) -> None:
    asked = Asked(features=FEATURES, target="sick", nominal_records=640)
    assert dictionary_choose(asked, {}, api, name="rows").dataset == "rows"


def test_fields_of_the_models_file(api: CoordinatorAPI) -> None:
    options = {
        "features": [{"name": "age", "lower": np.float64(20), "upper": 100}],
        "target": {"name": "sick", "positive_above": 2},
        "dataset": "heart",
        "nominal_records": np.int64(640),
        "learning_rate": 0.5,
    }
    found = dictionary_choose(Asked(), options, api, name="rows")
    assert (found.dataset, found.nominal_records) == ("heart", 640)
    assert found.target.positive_above == 2
    # An argument goes before the file.
    assert dictionary_choose(Asked(target="ill"), options, api, name="rows").target.name == "ill"


def test_a_registered_dictionary_by_the_datas_name_or_its_own(api: CoordinatorAPI) -> None:
    assert dictionary_choose(Asked(), {}, api, name="ward") == WARD
    assert dictionary_choose(Asked(dataset="ward"), {}, api, name=None) == WARD
    assert dictionary_choose(Asked(dictionary="ward"), {}, api, name=None) == WARD


@pytest.mark.parametrize("given", [WARD, WARD.dump()])
def test_a_dictionary_object(api: CoordinatorAPI, given: object) -> None:
    assert dictionary_choose(Asked(dictionary=given), {}, api, name=None) == WARD


def test_no_features_says_how_to_give_them(api: CoordinatorAPI) -> None:
    for name in ("rows", None):
        with pytest.raises(InvalidInput, match="no features with public bounds .* dictionary="):
            dictionary_choose(Asked(), {}, api, name=name)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (Asked(features=FEATURES), "not target, nominal_records: give target="),
        (Asked(features={"age": 3}), "age: give .lower, upper. for a number"),
        (Asked(features={"age": (1, 2, 3)}), "age: give .lower, upper."),
        (Asked(features=["age"]), "features.0: 'age' has no public bounds"),
        (Asked(features="age"), "must be a mapping"),
        (Asked(features=FEATURES, target=3), "target: must be a column's name"),
        (Asked(dictionary=7), "dictionary: must be"),
        (
            Asked(features={"age": (9, 1)}, target="sick", nominal_records=9),
            "lower must be below upper",
        ),
        (Asked(dataset="ward", target="ill"), "registered with another target"),
    ],
)
def test_what_is_wrong_is_named(api: CoordinatorAPI, asked: Asked, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        dictionary_choose(asked, {}, api, name="rows")


def test_privacy_defaults_are_the_coordinators() -> None:
    assert privacy_choose(None, {}, DEFAULTS) == PrivacyConfig(epsilon=0.5, delta=1e-6)
    own = privacy_choose(None, {"privacy": {"epsilon": 0.1, "colluding": 2}}, DEFAULTS)
    assert (own.epsilon, own.delta, own.colluding) == (0.1, 1e-6, 2)
    given = PrivacyConfig(epsilon=2.0)
    assert privacy_choose(given, {"privacy": {"epsilon": 0.1}}, DEFAULTS) is given


def test_an_unknown_privacy_field_of_the_models_file_is_refused() -> None:
    with pytest.raises(InvalidInput, match="may hold .*epsilon"):
        privacy_choose(None, {"privacy": {"eps": 1}}, DEFAULTS)


def roster_of(consortium: Consortium, **changed: str) -> Roster:
    keys = {name: identity.public_key for name, identity in consortium.identities.items()}
    sites = tuple(
        RosterSite(organization=name, public_key=key, encryption_key=encode_bytes(bytes(32)))
        for name, key in {**keys, **changed}.items()
    )
    return Roster(consortium="test", sites=sites)


def test_participants_are_the_whole_consortium_by_default(consortium: Consortium) -> None:
    roster = roster_of(consortium)
    found = participants_choose(None, roster, consortium.epoch, own="northwind")
    assert [p.organization for p in found] == sorted(consortium.identities)
    some = participants_choose(["summit", "lakeside"], roster, consortium.epoch, own="northwind")
    assert [p.organization for p in some] == ["lakeside", "northwind", "summit"]


def test_an_unknown_participant_is_named(consortium: Consortium) -> None:
    with pytest.raises(InvalidInput, match="nobody has no admitted site; there are lakeside"):
        participants_choose(["nobody"], roster_of(consortium), consortium.epoch, own="northwind")


def test_a_key_that_is_not_the_epochs_is_refused(consortium: Consortium) -> None:
    other = roster_of(consortium, summit=consortium.identities["lakeside"].public_key)
    with pytest.raises(InvalidInput, match="key of summit is not the one in the key epoch"):
        participants_choose(None, other, consortium.epoch, own="northwind")


def test_a_model_of_another_width_is_refused_with_the_widths(consortium: Consortium) -> None:
    model = ModelSpec(layers=(LinearLayer(in_features=5, out_features=1),))
    with pytest.raises(InvalidInput, match=r"takes 5 inputs, the features make 1 \(age 1\)"):
        spec_propose(
            loaded=LoadedModel(model, np.zeros(6), {}),
            data=WARD,
            strategy=strategy_make(epochs=3),
            participants=list(consortium.spec.participants),
            privacy=PrivacyConfig(),
            epoch=consortium.epoch,
            proposer="northwind",
            initial_state="0" * 64,
            training={},
        )


@pytest.mark.parametrize("forced", ["packed", "masked", None])
def test_the_aggregation_can_be_forced(consortium: Consortium, forced: str | None) -> None:
    spec = spec_propose(
        loaded=LoadedModel(
            ModelSpec(layers=(LinearLayer(in_features=1, out_features=1),)), np.zeros(2), {}
        ),
        data=WARD,
        strategy=strategy_make(epochs=3),
        participants=list(consortium.spec.participants),
        privacy=PrivacyConfig(),
        epoch=consortium.epoch,
        proposer="northwind",
        initial_state="0" * 64,
        training={"aggregation": forced},
    )
    assert spec.aggregation == (forced or "packed")
