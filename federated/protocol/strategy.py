"""From a scientist's words to a Strategy, refusing options that belong to another one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from federated.errors import InvalidInput
from federated.wire.base import Message
from federated.wire.strategy import FedAvg, FedProx, FedSGD, Strategy

STRATEGIES: Mapping[str, type[FedSGD | FedAvg | FedProx]] = {
    "fedsgd": FedSGD,
    "fedavg": FedAvg,
    "fedprox": FedProx,
}
OPTIMIZERS = ("sgd", "momentum", "adam")
_LOCAL = ("local_epochs", "local_learning_rate", "batch_size")


def strategy_make(
    *,
    epochs: int,
    strategy: str = "fedsgd",
    server_optimizer: str | Mapping[str, Any] | Message | None = None,
    learning_rate: float | None = None,
    momentum: float | None = None,
    local_epochs: int | None = None,
    local_learning_rate: float | None = None,
    batch_size: int | None = None,
    mu: float | None = None,
) -> Strategy:
    """A strategy of ``epochs`` passes over each site's rows.

    FedSGD takes one full-batch gradient a round, so that an epoch is a round. FedAvg and FedProx
    take ``local_epochs`` a round (1 unless given), of which ``epochs`` must be a multiple.
    ``server_optimizer`` is sgd, momentum, adam, or its fields ({"kind": "adam", "beta1": 0.9});
    ``learning_rate`` and ``momentum`` are the server's. The default is momentum for FedSGD, sgd for
    the others. The released model is the mean of the iterates of the second half.

    Raises InvalidInput that names the option and where it belongs.
    """
    if strategy not in STRATEGIES:
        raise InvalidInput(f"strategy: {strategy!r} is not known; allowed: {', '.join(STRATEGIES)}")
    local = {
        "local_epochs": local_epochs,
        "local_learning_rate": local_learning_rate,
        "batch_size": batch_size,
    }
    own = {"fedsgd": (), "fedavg": _LOCAL, "fedprox": (*_LOCAL, "mu")}[strategy]
    given = {name: value for name, value in {**local, "mu": mu}.items() if value is not None}
    for name in given:
        if name not in own:
            belongs = "fedprox" if name == "mu" else "fedavg and fedprox"
            raise InvalidInput(f"{name}: belongs to strategy {belongs}, not to {strategy}")
    body: dict[str, Any] = {
        "kind": strategy,
        "server_optimizer": _optimizer(
            server_optimizer or ("momentum" if strategy == "fedsgd" or momentum else "sgd"),
            learning_rate=learning_rate,
            momentum=momentum,
        ),
        **given,
    }
    rounds = _rounds(epochs, 1 if local_epochs is None else local_epochs)
    return STRATEGIES[strategy].parse({**body, "rounds": rounds, "average_from": rounds // 2})


def _rounds(epochs: int, local_epochs: int) -> int:
    for name, value in (("epochs", epochs), ("local_epochs", local_epochs)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InvalidInput(f"{name}: {value!r} is not a whole number above 0")
    if epochs % local_epochs:
        raise InvalidInput(
            f"epochs: {epochs} passes are no whole rounds of local_epochs {local_epochs}"
        )
    return epochs // local_epochs


def _optimizer(
    given: str | Mapping[str, Any] | Message,
    *,
    learning_rate: float | None,
    momentum: float | None,
) -> dict[str, Any]:
    """The fields of a ServerOptimizer; its message checks their values."""
    if isinstance(given, Message):
        fields = given.dump()
    elif isinstance(given, Mapping):
        fields = dict(given)
    else:
        fields = {"kind": given}
    if fields.get("kind") not in OPTIMIZERS:
        raise InvalidInput(
            f"server_optimizer: {fields.get('kind')!r} is not known; "
            f"allowed: {', '.join(OPTIMIZERS)}, or the fields of one with its kind"
        )
    if momentum is not None and fields["kind"] != "momentum":
        raise InvalidInput(
            f"momentum: belongs to server_optimizer momentum, not to {fields['kind']}"
        )
    for name, value in (("learning_rate", learning_rate), ("momentum", momentum)):
        if value is None:
            continue
        if fields.get(name, value) != value:
            raise InvalidInput(f"{name}: given twice, as {value!r} and in server_optimizer")
        fields[name] = value
    return fields
