"""Text colours of both schemes reach WCAG 2.2 AA (1.4.3: 4.5 to 1) on what they lie on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CSS = (Path(__file__).parents[2] / "federated/card/css/tokens.css").read_text()
ROOTS = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)
LIGHT, DARK, PRINT = (dict(re.findall(r"--([\w-]+): (#[0-9a-f]+);", block)) for block in ROOTS)
#: Paper is white whatever the screen's scheme is; it keeps what it does not name of the light one.
PAPER = LIGHT | PRINT

PAIRS = [
    *[("ink", ground) for ground in ("paper", "surface", "sunken", "idle-soft")],
    *[("muted", ground) for ground in ("paper", "surface", "sunken", "idle-soft")],
    *[("accent", ground) for ground in ("paper", "surface", "accent-soft")],
    ("accent-ink", "accent"),
    *[(tone, f"{tone}-soft") for tone in ("good", "warn", "bad")],
    ("bad", "surface"),
]


def luminance(colour: str) -> float:
    if len(colour) == 4:
        colour = "#" + "".join(2 * sign for sign in colour[1:])
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [LIGHT, DARK, PAPER], ids=["light", "dark", "paper"])
@pytest.mark.parametrize(("text", "ground"), PAIRS)
def test_text_can_be_read(scheme: dict[str, str], text: str, ground: str) -> None:
    assert contrast(scheme[text], scheme[ground]) >= 4.5


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("part", ["chart-1", "chart-2", "chart-3", "chart-4", "focus"])
def test_graphics_stand_out(scheme: dict[str, str], part: str) -> None:
    """WCAG 2.2, 1.4.11."""
    assert contrast(scheme[part], scheme["surface"]) >= 3
