"""Federated training and private benchmarks across organizations.

Names are imported when they are first used, so that ``import federated`` and the offline verifier
load neither torch nor anything else that they do not need.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from federated.errors import DomainError
    from federated.privacy.config import PrivacyConfig
    from federated.sdk.benchmark import BenchmarkAggregator
    from federated.sdk.client import FederatedClient
    from federated.sdk.global_model import GlobalModel
    from federated.service import FederatedService
    from federated.wire.job import ModelSpec

__all__ = [
    "BenchmarkAggregator",
    "DomainError",
    "FederatedClient",
    "FederatedService",
    "GlobalModel",
    "ModelSpec",
    "PrivacyConfig",
]

_HOMES = {
    "BenchmarkAggregator": "federated.sdk.benchmark",
    "DomainError": "federated.errors",
    "FederatedClient": "federated.sdk.client",
    "FederatedService": "federated.service",
    "GlobalModel": "federated.sdk.global_model",
    "ModelSpec": "federated.wire.job",
    "PrivacyConfig": "federated.privacy.config",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'federated' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
