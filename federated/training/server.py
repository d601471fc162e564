"""The coordinator's step, which every site repeats bit for bit.

Elementwise float64 in a fixed order: no sums, no matrix products, so that IEEE 754 alone fixes
every bit on every machine.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from federated.errors import InvalidInput
from federated.wire.base import canonical
from federated.wire.job import PrivacySpec, Strategy

Floats = NDArray[np.float64]

_LARGEST_BYTES = 1 << 30


@dataclass(frozen=True)
class ServerState:
    """Everything that the next step depends on; vectors float64 [d].

    ``step`` counts the rounds done, ``average`` is the mean of the iterates after
    ``Strategy.average_from`` (the parameters themselves before).
    """

    step: int
    parameters: Floats
    velocity: Floats
    average: Floats

    @classmethod
    def initial(cls, parameters: NDArray[np.floating]) -> ServerState:
        """The state before round 1."""
        flat = np.array(parameters, dtype=np.float64)
        if flat.ndim != 1 or not len(flat) or not np.isfinite(flat).all():
            raise InvalidInput("parameters: not a vector of finite numbers")
        return cls(step=0, parameters=flat, velocity=np.zeros_like(flat), average=flat.copy())

    def to_bytes(self) -> bytes:
        """The state as a safetensors file with a fixed layout: equal states are equal bytes."""
        tensors = {
            "average": self.average,
            "parameters": self.parameters,
            "step": np.array([self.step], dtype=np.int64),
            "velocity": self.velocity,
        }
        return encode_tensors(tensors)

    @classmethod
    def from_bytes(cls, data: bytes) -> ServerState:
        """The state in these bytes.

        Raises InvalidInput for anything but what ``to_bytes`` writes of a finite state.
        """
        size = len(data)
        if size > _LARGEST_BYTES:
            raise InvalidInput(f"server state: {size} bytes, at most {_LARGEST_BYTES} are allowed")
        header = int.from_bytes(data[:8], "little") if size >= 8 else -1
        count, rest = divmod(size - 8 - header - 8, 3 * 8)
        if header < 0 or rest or count < 1:
            raise InvalidInput("server state: not a safetensors file of three vectors and a step")
        body = data[8 + header :]
        average, parameters = (_vector(body, count * 8 * i, count) for i in (0, 1))
        (step,) = struct.unpack_from("<q", body, count * 16)
        velocity = _vector(body, count * 16 + 8, count)
        if step < 0:
            raise InvalidInput("server state: step is negative")
        if not all(np.isfinite(part).all() for part in (average, parameters, velocity)):
            raise InvalidInput("server state: a value is not finite")
        state = cls(step=step, parameters=parameters, velocity=velocity, average=average)
        if state.to_bytes() != data:
            raise InvalidInput("server state: the header is not the one of this layout")
        return state

    def digest(self) -> str:
        """SHA-256 of the bytes, hexadecimal: what contexts and releases bind."""
        return hashlib.sha256(self.to_bytes()).hexdigest()


def server_step(
    state: ServerState,
    values: Sequence[int] | NDArray[np.int64],
    *,
    strategy: Strategy,
    privacy: PrivacySpec,
    nominal_records: int,
) -> ServerState:
    """The state after a round whose decoded sum is ``values`` (grid units, length d).

    gradient = values * (clipping_norm / units) / nominal_records; velocity = momentum * velocity
    + gradient; parameters -= learning_rate * velocity. The denominator is public and fixed: the
    true number of records is never used.

    Raises InvalidInput for another length, or a value that float64 cannot hold exactly.
    """
    if len(values) != len(state.parameters):
        raise InvalidInput(f"values: {len(values)} of them, the model has {len(state.parameters)}")
    ends = (values.min(), values.max()) if isinstance(values, np.ndarray) else values
    if any(not -(2**53) <= value <= 2**53 for value in ends):
        raise InvalidInput("values: one is beyond 2^53 grid units")
    if nominal_records < 1:
        raise InvalidInput(f"nominal_records: {nominal_records} is below 1")
    grid = privacy.clipping_norm / privacy.units
    if not isinstance(values, np.ndarray):
        values = np.array([int(value) for value in values], dtype=np.int64)
    gradient = values.astype(np.float64)
    gradient = (gradient * grid) / float(nominal_records)
    velocity = state.velocity * strategy.momentum
    velocity = velocity + gradient
    parameters = state.parameters - velocity * strategy.learning_rate
    step = state.step + 1
    if step > strategy.average_from:
        drift = (parameters - state.average) / float(step - strategy.average_from)
        average = state.average + drift
    else:
        average = parameters.copy()
    if not (np.isfinite(parameters).all() and np.isfinite(velocity).all()):
        raise InvalidInput("the step leaves the finite numbers; lower the learning rate")
    return ServerState(step=step, parameters=parameters, velocity=velocity, average=average)


def released_parameters(state: ServerState, strategy: Strategy) -> Floats:
    """The parameters that the job releases at this step, float64 [d]."""
    return state.average if state.step > strategy.average_from else state.parameters


def encode_tensors(tensors: Mapping[str, NDArray[np.generic]], architecture: str = "") -> bytes:
    """A safetensors file of float64 and int64 tensors in name order.

    Written here, byte by byte: the library orders metadata as it likes, and digests need one
    layout for good. ``architecture`` becomes the file's only metadata, where given.
    """
    header: dict[str, object] = {"__metadata__": {"architecture": architecture}}
    if not architecture:
        header = {}
    body = b""
    for name in sorted(tensors):
        kind = {"float64": "F64", "int64": "I64"}[tensors[name].dtype.name]
        data = np.ascontiguousarray(tensors[name]).astype(f"<{kind[0].lower()}8").tobytes()
        header[name] = {
            "dtype": kind,
            "shape": list(tensors[name].shape),
            "data_offsets": [len(body), len(body) + len(data)],
        }
        body += data
    text = canonical(header)
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + body


def _vector(body: bytes, offset: int, count: int) -> Floats:
    return np.frombuffer(body, dtype="<f8", count=count, offset=offset).astype(np.float64)
