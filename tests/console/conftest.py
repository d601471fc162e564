from __future__ import annotations

from tests.federation.conftest import world

__all__ = ["world"]
