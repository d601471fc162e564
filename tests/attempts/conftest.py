from __future__ import annotations

import pytest

from tests.training.world import World


@pytest.fixture
def world(db: None) -> World:
    """The cast with an active 3-of-4 key."""
    made = World()
    made.publish_key()
    made.confirm_key()
    return made
