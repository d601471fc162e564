from __future__ import annotations

from tests.training.conftest import world

__all__ = ["world"]
