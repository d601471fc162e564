"""The plot of ``make bench-utility``: AUC over log epsilon, a panel a table."""

from __future__ import annotations

import math
import statistics
from typing import Any

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 380, 300, 50, 40, 240
OURS, DEFAULT, POOLED, PLAIN = "#114466", "#5599bb", "#aa5500", "#777777"


def plot(results: dict[str, Any]) -> str:
    """An SVG of each side's chosen recipe; a bar is one standard deviation over the splits.

    Dashed: pooled without privacy.
    """
    shown = {name: result for name, result in results.items() if "ours" in result}
    panels = [
        f'<g transform="translate({place * WIDTH} 0)">{_panel(name, result)}</g>'
        for place, (name, result) in enumerate(shown.items())
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {max(1, len(shown)) * WIDTH} '
        f'{HEIGHT}" font-family="sans-serif" font-size="11">'
        f'<rect width="100%" height="100%" fill="#fff"/>{"".join(panels)}'
        f'<text x="{LEFT}" y="{HEIGHT - 8}">test AUC over epsilon at delta 1e-5: '
        f'<tspan fill="{OURS}">federated</tspan>, <tspan fill="{DEFAULT}">as the SDK chooses'
        f'</tspan>, <tspan fill="{POOLED}">pooled DP-SGD (Opacus)'
        f'</tspan>, <tspan fill="{PLAIN}">dashed: pooled without privacy</tspan></text></svg>\n'
    )


def _panel(name: str, result: dict[str, Any]) -> str:
    sides = {
        OURS: result["ours"],
        DEFAULT: result["as the SDK chooses"],
        POOLED: result.get("pooled"),
    }
    series = {colour: _curve(of) for colour, of in sides.items() if of}
    plain = statistics.fmean(result["pooled, without privacy"])
    ends = [m + sign * s for of in series.values() for _, m, s in of for sign in (-1, 1)]
    lowest, highest = min(*ends, plain) - 0.01, max(*ends, plain) + 0.01
    epsilons = [epsilon for epsilon, _, _ in series[OURS]]

    def x(epsilon: float) -> float:
        span = math.log(epsilons[-1] / epsilons[0]) or 1.0
        return LEFT + 15 + (WIDTH - LEFT - 40) * math.log(epsilon / epsilons[0]) / span

    def y(value: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * (value - lowest) / (highest - lowest)

    title = f"{name}: {result['records']} records, {result['sites']} sites"
    parts = [
        f'<text x="{LEFT}" y="{TOP - 14}" font-weight="bold">{title}</text>',
        f'<path d="M{LEFT} {TOP}V{BOTTOM}H{WIDTH - 15}" stroke="#000" fill="none"/>',
        f'<path d="M{LEFT} {y(plain):.1f}H{WIDTH - 15}" stroke="{PLAIN}" stroke-dasharray="5 4"/>',
    ]
    for tick in _ticks(lowest, highest):
        at = f'x="{LEFT - 5}" y="{y(tick) + 4:.1f}"'
        parts.append(f'<text {at} text-anchor="end">{tick:.2f}</text>')
    for epsilon in epsilons:
        at = f'x="{x(epsilon):.1f}" y="{BOTTOM + 16}"'
        parts.append(f'<text {at} text-anchor="middle">{epsilon:g}</text>')
    for place, (colour, of) in enumerate(series.items()):
        points = [(x(e) + 4 * place - 2, y(mean), y(mean + s), y(mean - s)) for e, mean, s in of]
        path = "L".join(f"{a:.1f} {b:.1f}" for a, b, _, _ in points)
        parts.append(f'<path d="M{path}" stroke="{colour}" fill="none"/>')
        for a, b, top, foot in points:
            bar = f"M{a:.1f} {top:.1f}V{foot:.1f}"
            parts.append(f'<path d="{bar}" stroke="{colour}" stroke-opacity=".5"/>')
            parts.append(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{colour}"/>')
    return "".join(parts)


def _curve(side: dict[str, Any]) -> list[tuple[float, float, float]]:
    """``(epsilon, mean, standard deviation)`` of every epsilon; without noise is no point."""
    return [
        (float(epsilon), statistics.fmean(told["areas"]), statistics.pstdev(told["areas"]))
        for epsilon, told in side.items()
        if epsilon != "None"
    ]


def _ticks(lowest: float, highest: float) -> list[float]:
    step = 0.05 if highest - lowest > 0.2 else 0.02 if highest - lowest > 0.08 else 0.01
    return [step * n for n in range(math.ceil(lowest / step), math.floor(highest / step) + 1)]
