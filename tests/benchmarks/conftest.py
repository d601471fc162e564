from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.world import Consortium


@pytest.fixture
def consortium(db: None, tmp_path: Path) -> Consortium:
    """Agents of the whole cast; harbor is invited to nothing unless a test says so."""
    return Consortium(tmp_path)
