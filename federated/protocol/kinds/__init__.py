"""The kinds of joint computation: what each does in its own way, a file each."""

from __future__ import annotations

from federated.protocol.agreement import AnyAgreement
from federated.protocol.kinds.base import Kind
from federated.protocol.kinds.benchmark import BENCHMARK
from federated.protocol.kinds.evaluation import EVALUATION
from federated.protocol.kinds.training import TRAINING

__all__ = ["KINDS", "Kind", "kind_of"]

KINDS: tuple[Kind, ...] = (TRAINING, EVALUATION, BENCHMARK)


def kind_of(agreement: AnyAgreement) -> Kind:
    """The kind that an agreement is of."""
    return next(kind for kind in KINDS if kind.takes(agreement))
