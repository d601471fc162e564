"""How long tests wait for a condition: long enough for a slow machine whose processors are busy.

Nothing here is a measurement. A wait ends as soon as its condition holds, and its limit only ends a
test that would hang. ``FSC_TEST_PATIENCE`` multiplies every limit (default 6).
"""

from __future__ import annotations

import os

FACTOR = float(os.environ.get("FSC_TEST_PATIENCE", "6"))


def patient(seconds: float) -> float:
    """The limit of a wait that takes at most ``seconds`` on an idle machine of two cores."""
    return seconds * FACTOR
