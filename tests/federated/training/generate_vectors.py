"""Write tests/vectors/training.json: ``python -m tests.federated.training.generate_vectors``."""

import json
from pathlib import Path

import numpy as np

from federated.privacy.config import PrivacyConfig
from federated.protocol.layout import clamp_of, layout_of, mask_layout_of
from federated.training.network import initial_parameters
from federated.training.server import ServerState, released_parameters, server_step
from federated.wire.job import (
    FedAvg,
    FedSGD,
    ModelSpec,
    ServerAdam,
    ServerMomentum,
    ServerSGD,
)
from tests.federated.protocol.conftest import make_spec

FILE = Path("tests/vectors/training.json")
VALUES = [[1280, -1280, 7], [0, 3, -900], [-5, 40_000, 12], [1, 1, 1]]
START = [0.25, -1.0, 3.0]
DENOMINATOR = 10
OPTIMIZERS = {
    "sgd": ServerSGD(learning_rate=0.3),
    "momentum": ServerMomentum(learning_rate=0.3, momentum=0.9),
    "adam": ServerAdam(learning_rate=0.1, beta1=0.9, beta2=0.99, tau=0.001),
}
MODELS = {
    "logistic": [{"kind": "linear", "in_features": 3, "out_features": 1}],
    "mlp": [
        {"kind": "linear", "in_features": 3, "out_features": 4},
        {"kind": "tanh"},
        {"kind": "linear", "in_features": 4, "out_features": 2},
    ],
    "cnn": [
        {"kind": "unflatten", "channels": 1, "height": 4, "width": 4},
        {"kind": "conv2d", "in_channels": 1, "out_channels": 2, "kernel": [3, 3]},
        {"kind": "relu"},
        {"kind": "maxpool2d", "kernel": [2, 2], "stride": [2, 2]},
        {"kind": "flatten"},
        {"kind": "linear", "in_features": 2, "out_features": 2},
    ],
}


def steps():
    """Every optimizer's states over four rounds, numbers in hexadecimal."""
    privacy = PrivacyConfig(units=256, clipping_norm=2.0).spec(
        rounds=4, minimum_cohort=3, dimension=3
    )
    found = {}
    for name, optimizer in OPTIMIZERS.items():
        strategy = FedSGD(rounds=4, average_from=2, server_optimizer=optimizer)
        state, rounds = ServerState.initial(np.array(START)), []
        for values in VALUES:
            state = server_step(
                state, values, strategy=strategy, privacy=privacy, denominator=DENOMINATOR
            )
            rounds.append(
                {
                    "values": values,
                    "parameters": _hex(state.parameters),
                    "moments": {key: _hex(part) for key, part in sorted(state.moments.items())},
                    "released": _hex(released_parameters(state, strategy)),
                    "state": state.digest(),
                }
            )
        found[name] = {"optimizer": optimizer.dump(), "rounds": rounds}
    return {
        "start": START,
        "initial_state": ServerState.initial(np.array(START)).digest(),
        "clipping_norm": privacy.clipping_norm,
        "units": privacy.units,
        "denominator": DENOMINATOR,
        "average_from": 2,
        "optimizers": found,
    }


def layouts():
    """How a contribution of each unit lies in 3072-bit plaintexts and in a mask."""
    average = FedAvg(rounds=3, average_from=1)
    jobs = {
        "record": make_spec(),
        "organization": make_spec(
            strategy=average, privacy=PrivacyConfig(unit="organization", epsilon=4.0)
        ),
    }
    return {
        unit: {
            "participants": len(spec.participants),
            "max_records": spec.data.max_records,
            "units": spec.privacy.units,
            "noise_sigma": spec.privacy.noise_sigma,
            "clamp": clamp_of(spec),
            "slot_bits": layout_of(spec, modulus_bits=3072).slot_bits,
            "slots": layout_of(spec, modulus_bits=3072).slots,
            "mask_width": mask_layout_of(spec).width,
            "denominator": spec.denominator,
        }
        for unit, spec in jobs.items()
    }


def models():
    """Digests and initial parameters of each kind of model."""
    found = {}
    for name, layers in MODELS.items():
        spec = ModelSpec.parse({"layers": layers})
        found[name] = {
            "layers": layers,
            "digest": spec.digest(),
            "parameters": spec.parameters,
            "initial_state": ServerState.initial(initial_parameters(spec)).digest(),
        }
    return found


def _hex(values):
    return [float(value).hex() for value in values]


def vectors():
    return {"server_steps": steps(), "contribution_layouts": layouts(), "models": models()}


if __name__ == "__main__":
    FILE.write_text(json.dumps(vectors(), indent=1) + "\n")
