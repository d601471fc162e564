"""How a job trains: the sites' computation on their rows, and the server's optimizer."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from federated.wire.base import Message
from federated.wire.data import Positive

Share = Annotated[float, Field(strict=False, ge=0, lt=1)]


class ServerSGD(Message):
    """x -= learning_rate * g, g the mean (pseudo-)gradient of a round."""

    kind: Literal["sgd"] = "sgd"
    learning_rate: Positive = 1.0


class ServerMomentum(Message):
    """v = momentum * v + g; x -= learning_rate * v (heavy ball, as torch's SGD)."""

    kind: Literal["momentum"] = "momentum"
    learning_rate: Positive = 1.0
    momentum: Share = 0.9


class ServerAdam(Message):
    """FedAdam (arXiv 2003.00295, algorithm 2): no bias correction, v starts at tau^2.

    m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2; x -= learning_rate m / (sqrt(v) +
    tau).
    """

    kind: Literal["adam"] = "adam"
    learning_rate: Positive = 0.03
    beta1: Share = 0.9
    beta2: Share = 0.99
    tau: Positive = 1e-3


ServerOptimizer = Annotated[ServerSGD | ServerMomentum | ServerAdam, Field(discriminator="kind")]


class _Rounds(Message):
    """``average_from``: the released model is the mean of the iterates after that round."""

    rounds: Annotated[int, Field(ge=1, le=10_000)]
    average_from: Annotated[int, Field(ge=0)]
    server_optimizer: ServerOptimizer = ServerMomentum()

    @model_validator(mode="after")
    def _averages(self) -> _Rounds:
        if self.average_from >= self.rounds:
            raise ValueError("average_from must be below rounds")
        return self


class FedSGD(_Rounds):
    """One full-batch gradient a round."""

    kind: Literal["fedsgd"] = "fedsgd"


class FedAvg(_Rounds):
    """Minibatch SGD at each site for ``local_epochs`` passes over its rows (arXiv 1602.05629).

    A site contributes the pseudo-gradient: the model it was given minus the one it trained.
    """

    kind: Literal["fedavg"] = "fedavg"
    local_epochs: Annotated[int, Field(ge=1, le=100)] = 1
    local_learning_rate: Positive = 0.1
    batch_size: Annotated[int, Field(ge=1, le=100_000)] = 32


class FedProx(_Rounds):
    """FedAvg with mu/2 |x - x_round|^2 added to the local loss (arXiv 1812.06127)."""

    kind: Literal["fedprox"] = "fedprox"
    local_epochs: Annotated[int, Field(ge=1, le=100)] = 1
    local_learning_rate: Positive = 0.1
    batch_size: Annotated[int, Field(ge=1, le=100_000)] = 32
    mu: Annotated[float, Field(strict=False, ge=0, le=1e6)] = 0.01


Strategy = Annotated[FedSGD | FedAvg | FedProx, Field(discriminator="kind")]
