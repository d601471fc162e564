"""A scientist's words for a strategy, and what does not go together."""

import pytest

from federated.errors import InvalidInput
from federated.protocol.strategy import strategy_make
from federated.wire.job import (
    FedAvg,
    FedProx,
    FedSGD,
    ServerAdam,
    ServerMomentum,
    ServerSGD,
)


def test_the_defaults_of_each_strategy():
    plain = strategy_make(epochs=10)
    assert plain == FedSGD(rounds=10, average_from=5, server_optimizer=ServerMomentum())
    average = strategy_make(epochs=10, strategy="fedavg", local_epochs=5)
    assert average == FedAvg(rounds=2, average_from=1, server_optimizer=ServerSGD(), local_epochs=5)
    near = strategy_make(epochs=3, strategy="fedprox", mu=0.1, batch_size=8)
    assert isinstance(near, FedProx)
    assert (near.rounds, near.mu, near.batch_size, near.local_epochs) == (3, 0.1, 8, 1)


@pytest.mark.parametrize(
    ("given", "optimizer"),
    [
        ({"server_optimizer": "adam"}, ServerAdam()),
        ({"server_optimizer": "adam", "learning_rate": 0.5}, ServerAdam(learning_rate=0.5)),
        ({"server_optimizer": {"kind": "adam", "tau": 0.1}}, ServerAdam(tau=0.1)),
        ({"server_optimizer": ServerSGD(learning_rate=2)}, ServerSGD(learning_rate=2)),
        ({"strategy": "fedavg", "momentum": 0.5}, ServerMomentum(momentum=0.5)),
        ({"momentum": 0.0}, ServerMomentum(momentum=0.0)),
    ],
)
def test_a_server_optimizer_by_name_or_fields(given, optimizer):
    assert strategy_make(epochs=2, **given).server_optimizer == optimizer


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"strategy": "fedyogi"}, "'fedyogi' is not known; allowed: fedsgd, fedavg, fedprox"),
        ({"local_epochs": 2}, "local_epochs: belongs to strategy fedavg and fedprox, not to fed"),
        ({"batch_size": 2}, "batch_size: belongs to strategy fedavg and fedprox"),
        ({"strategy": "fedavg", "mu": 0.1}, "mu: belongs to strategy fedprox, not to fedavg"),
        ({"strategy": "fedavg", "local_epochs": 4}, "6 passes are no whole rounds of local_epochs"),
        ({"strategy": "fedavg", "local_epochs": 0}, "local_epochs: 0 is not a whole number"),
        ({"epochs": 2.5}, "epochs: 2.5 is not a whole number above 0"),
        ({"server_optimizer": "lamb"}, "'lamb' is not known; allowed: sgd, momentum, adam"),
        ({"server_optimizer": {"beta1": 0.9}}, "None is not known"),
        ({"server_optimizer": {"kind": "sgd", "beta1": 0.9}}, "server_optimizer.sgd.beta1"),
        ({"server_optimizer": "adam", "momentum": 0.9}, "momentum: belongs to server_optimizer"),
        (
            {"server_optimizer": ServerSGD(learning_rate=2.0), "learning_rate": 1.0},
            "learning_rate: given twice",
        ),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"momentum": 1.0}, "momentum"),
        ({"strategy": "fedprox", "mu": -1.0}, "mu"),
    ],
)
def test_what_does_not_go_together_is_refused(given, reason):
    with pytest.raises(InvalidInput, match=reason):
        strategy_make(**{"epochs": 6, **given})
