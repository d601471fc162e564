"""The kinds of joint computation: what each does in its own way, a file each."""

from __future__ import annotations

from typing import Any, overload

from federated.errors import InvalidInput
from federated.protocol.agreement import AnyAgreement, CampaignAgreement, JobAgreement
from federated.protocol.kinds.base import Kind
from federated.protocol.kinds.benchmark import BENCHMARK
from federated.protocol.kinds.evaluation import EVALUATION
from federated.protocol.kinds.training import TRAINING
from federated.wire.campaign import CampaignSpec
from federated.wire.job import JobSpec
from federated.wire.key import KeyEpoch

__all__ = ["KINDS", "Kind", "agreement_of", "kind_of"]

KINDS: tuple[Kind, ...] = (
    TRAINING,
    EVALUATION,
    BENCHMARK,
)
"""A new kind is registered by a line here."""


def kind_of(agreement: AnyAgreement) -> Kind:
    """The kind that an agreement is of."""
    return _kind(agreement.spec)


@overload
def agreement_of(spec: JobSpec, epoch: KeyEpoch) -> JobAgreement: ...
@overload
def agreement_of(spec: CampaignSpec, epoch: KeyEpoch) -> CampaignAgreement: ...
def agreement_of(spec: Any, epoch: KeyEpoch) -> AnyAgreement:
    """The agreement of any kind's spec under its key. Raises Refused(key_unknown)."""
    return _kind(spec).agreement(spec, epoch)


def _kind(spec: Any) -> Kind:
    for kind in KINDS:
        if kind.takes(spec):
            return kind
    raise InvalidInput(f"{type(spec).__name__}: no kind of joint computation agrees to it")
