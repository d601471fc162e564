"""The coordinator's step, which every site repeats bit for bit.

Elementwise float64 in a fixed order: additions, products, quotients and square roots, which IEEE
754 rounds in one way; no sums over elements, no matrix products, no powers. So every machine gets
the same bits.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from mmap import mmap

import numpy as np
from numpy.typing import NDArray

from federated.errors import InvalidInput
from federated.wire.base import canonical
from federated.wire.job import PrivacySpec
from federated.wire.strategy import ServerMomentum, ServerOptimizer, ServerSGD, Strategy

Floats = NDArray[np.float64]

LARGEST_STATE_BYTES = 1 << 30
_LARGEST_HEADER = 4096

MOMENTS: Mapping[str, tuple[str, ...]] = {
    "sgd": (),
    "momentum": ("velocity",),
    "adam": ("first_moment", "second_moment"),
}
"""The names of each server optimizer's moments, in order."""


@dataclass(frozen=True)
class ServerState:
    """Everything that the next step depends on; vectors float64 [d].

    ``step`` counts the rounds done, ``average`` is the mean of the iterates after the strategy's
    ``average_from`` (the parameters themselves before). ``moments`` are the server optimizer's:
    none for SGD, ``velocity`` for momentum, ``first_moment`` and ``second_moment`` for Adam. There
    are none at step 0, so that a job's initial state is its parameters alone.
    """

    step: int
    parameters: Floats
    average: Floats
    moments: Mapping[str, Floats] = field(default_factory=dict)

    @classmethod
    def initial(cls, parameters: NDArray[np.floating]) -> ServerState:
        """The state before round 1."""
        flat = np.array(parameters, dtype=np.float64)
        if flat.ndim != 1 or not len(flat) or not np.isfinite(flat).all():
            raise InvalidInput("parameters: not a vector of finite numbers")
        return cls(step=0, parameters=flat, average=flat.copy())

    def to_bytes(self) -> bytes:
        """The state as a safetensors file with a fixed layout: equal states are equal bytes."""
        return b"".join(self.pieces())

    def pieces(self) -> Iterator[bytes | memoryview]:
        """What ``to_bytes`` joins, the vectors not copied."""
        return encode_pieces(self._tensors())

    def _tensors(self) -> dict[str, NDArray[np.generic]]:
        return {
            "average": self.average,
            "parameters": self.parameters,
            "step": np.array([self.step], dtype=np.int64),
            **self.moments,
        }

    @classmethod
    def from_bytes(cls, data: bytes | mmap) -> ServerState:
        """The state in these bytes; its vectors are views of them, not to be written to.

        Raises InvalidInput for anything but what ``to_bytes`` writes of a finite state.
        """
        size = len(data)
        if size > LARGEST_STATE_BYTES:
            raise InvalidInput(
                f"server state: {size} bytes, at most {LARGEST_STATE_BYTES} are allowed"
            )
        start, names = _layout(data)
        vectors = len(names) - 1
        count, rest = divmod(size - start - 8, vectors * 8)
        if rest or count < 1:
            raise InvalidInput(f"server state: not {vectors} vectors of one length and a step")
        parts, at, step = {}, start, 0
        for name in names:
            if name == "step":
                (step,) = struct.unpack_from("<q", data, at)
                at += 8
            else:
                parts[name] = _vector(data, at, count)
                at += 8 * count
        if step < 0:
            raise InvalidInput("server state: step is negative")
        if not all(np.isfinite(part).all() for part in parts.values()):
            raise InvalidInput("server state: a value is not finite")
        state = cls(
            step=step,
            parameters=parts.pop("parameters"),
            average=parts.pop("average"),
            moments=parts,
        )
        if step == 0 and parts:
            raise InvalidInput("server state: moments before the first step")
        # The body is the tensors' own bits, so that the header alone can be another one.
        if tensors_header(state._tensors()) != data[:start]:
            raise InvalidInput("server state: the header is not the one of this layout")
        state.__dict__["_digest"] = hashlib.sha256(data).hexdigest()
        return state

    def digest(self) -> str:
        """SHA-256 of the bytes, hexadecimal: what contexts and releases bind."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        # Hashed once: a million parameters are 24 MB.
        seen = hashlib.sha256()
        for piece in self.pieces():
            seen.update(piece)
        return seen.hexdigest()


def server_step(
    state: ServerState,
    values: Sequence[int] | NDArray[np.int64],
    *,
    strategy: Strategy,
    privacy: PrivacySpec,
    denominator: int,
) -> ServerState:
    """The state after a round whose decoded sum is ``values`` (grid units, length d).

    gradient = values * (clipping_norm / units) / denominator; then the strategy's server optimizer,
    by the formulas of its class, and the running mean. The denominator is public and fixed
    (``JobSpec.denominator``): neither the true number of records nor that of contributors is used.

    Raises InvalidInput for another length, another optimizer's moments, or a value that float64
    cannot hold exactly.
    """
    if len(values) != len(state.parameters):
        raise InvalidInput(f"values: {len(values)} of them, the model has {len(state.parameters)}")
    ends = (values.min(), values.max()) if isinstance(values, np.ndarray) else values
    if any(not -(2**53) <= value <= 2**53 for value in ends):
        raise InvalidInput("values: one is beyond 2^53 grid units")
    if denominator < 1:
        raise InvalidInput(f"denominator: {denominator} is below 1")
    grid = privacy.clipping_norm / privacy.units
    if not isinstance(values, np.ndarray):
        values = np.array([int(value) for value in values], dtype=np.int64)
    with np.errstate(over="ignore", invalid="ignore"):
        # In place: a million parameters are 8 MB a vector.
        gradient = values.astype(np.float64)
        gradient *= grid
        gradient /= float(denominator)
        parameters, moments = _optimize(state, gradient, strategy.server_optimizer)
    step = state.step + 1
    if not all(np.isfinite(part).all() for part in (parameters, *moments.values())):
        raise InvalidInput("the step leaves the finite numbers; lower the learning rate")
    if step > strategy.average_from:
        drift = (parameters - state.average) / float(step - strategy.average_from)
        average = state.average + drift
    else:
        average = parameters.copy()
    return ServerState(step=step, parameters=parameters, average=average, moments=moments)


def _optimize(
    state: ServerState, gradient: Floats, optimizer: ServerOptimizer
) -> tuple[Floats, dict[str, Floats]]:
    """Parameters and moments after the step; each line rounds once a number, in this order."""
    names = MOMENTS[optimizer.kind]
    if state.step > 0 and tuple(sorted(state.moments)) != names:
        raise InvalidInput(
            f"server state: its moments are {', '.join(sorted(state.moments)) or 'none'}; "
            f"server optimizer {optimizer.kind} has {', '.join(names) or 'none'}"
        )
    if isinstance(optimizer, ServerSGD):
        return state.parameters - gradient * optimizer.learning_rate, {}
    if isinstance(optimizer, ServerMomentum):
        velocity = state.moments.get("velocity", np.zeros_like(gradient))
        velocity = velocity * optimizer.momentum
        velocity = velocity + gradient
        parameters = state.parameters - velocity * optimizer.learning_rate
        return parameters, {"velocity": velocity}
    first = state.moments.get("first_moment", np.zeros_like(gradient))
    floor = optimizer.tau * optimizer.tau
    second = state.moments.get("second_moment", np.full_like(gradient, floor))
    first = first * optimizer.beta1 + gradient * (1 - optimizer.beta1)
    second = second * optimizer.beta2 + (gradient * gradient) * (1 - optimizer.beta2)
    moved = (first * optimizer.learning_rate) / (np.sqrt(second) + optimizer.tau)
    return state.parameters - moved, {"first_moment": first, "second_moment": second}


def released_parameters(state: ServerState, strategy: Strategy) -> Floats:
    """The parameters that the job releases at this step, float64 [d]."""
    return state.average if state.step > strategy.average_from else state.parameters


def encode_tensors(tensors: Mapping[str, NDArray[np.generic]], architecture: str = "") -> bytes:
    """A safetensors file of float64 and int64 tensors in name order.

    Written here, byte by byte: the library orders metadata as it likes, and digests need one
    layout for good. ``architecture`` becomes the file's only metadata, where given.
    """
    return b"".join(encode_pieces(tensors, architecture))


def encode_pieces(
    tensors: Mapping[str, NDArray[np.generic]], architecture: str = ""
) -> Iterator[bytes | memoryview]:
    """The parts that encode_tensors joins: the header, then each tensor's memory."""
    yield tensors_header(tensors, architecture)
    for name in sorted(tensors):
        kind = f"<{_kind(tensors[name])[0].lower()}8"
        yield np.ascontiguousarray(tensors[name]).astype(kind, copy=False).data


def tensors_header(tensors: Mapping[str, NDArray[np.generic]], architecture: str = "") -> bytes:
    """What encode_tensors writes before the tensors' bytes: its own length, and their layout."""
    header: dict[str, object] = {"__metadata__": {"architecture": architecture}}
    if not architecture:
        header = {}
    at = 0
    for name in sorted(tensors):
        size = 8 * tensors[name].size
        header[name] = {
            "dtype": _kind(tensors[name]),
            "shape": list(tensors[name].shape),
            "data_offsets": [at, at + size],
        }
        at += size
    text = canonical(header)
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def _kind(tensor: NDArray[np.generic]) -> str:
    return {"float64": "F64", "int64": "I64"}[tensor.dtype.name]


def _layout(data: bytes | mmap) -> tuple[int, list[str]]:
    """Where the tensors begin and their names in order. Raises InvalidInput for no state's."""
    header = int.from_bytes(data[:8], "little") if len(data) >= 8 else _LARGEST_HEADER + 1
    try:
        if header > _LARGEST_HEADER:
            raise ValueError
        names = sorted(json.loads(data[8 : 8 + header]))
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidInput("server state: not a safetensors file of a state") from error
    if names not in [sorted(["average", "parameters", "step", *m]) for m in MOMENTS.values()]:
        raise InvalidInput("server state: not the vectors of a server optimizer and a step")
    return 8 + header, names


def _vector(body: bytes | mmap, offset: int, count: int) -> Floats:
    return np.frombuffer(body, dtype="<f8", count=count, offset=offset).astype(
        np.float64, copy=False
    )
