from __future__ import annotations

import pytest

from tests.training.world import World


@pytest.fixture
def world(db: None) -> World:
    """The cast, before any key is dealt."""
    return World()
