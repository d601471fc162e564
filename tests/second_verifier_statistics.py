"""Statistics of a campaign for the second verifier, written from docs/audit/bundle.md."""

from __future__ import annotations

import math

U = 1 << 20
Z95, Z975 = 1.959963984540054, 2.241402727604947
LEVELS = {"p10": 0.1, "p25": 0.25, "median": 0.5, "p75": 0.75, "p90": 0.9}


class Noise:
    """Standard deviation and excess kurtosis of what ``shares`` noise shares add to a slot."""

    def __init__(self, scale: float, *, gaussian: bool, shares: int) -> None:
        if gaussian:
            self.sd, self.kurtosis = scale * math.sqrt(shares), 0.0
        else:
            v = 2 * math.exp(-1 / scale) / (-math.expm1(-1 / scale)) ** 2
            self.sd, self.kurtosis = math.sqrt(shares * v), (3 + 1 / v) / shares

    def width(self, z: float) -> float:
        return self.sd * (z + (z**3 - 3 * z) / 24 * self.kurtosis)


def finish(value: float, low: float, high: float, floor: float, top: float) -> dict[str, float]:
    low, high = (min(max(end, floor), top) for end in (low, high))
    three = {"value": min(max(value, low), high), "lower": low, "upper": high}
    return {name: float(f"{number:.12g}") for name, number in three.items()}


def statistics(metric: dict, xs: list[float], slots, sums: list[int], n: int, shares: int, weight):
    """Of slots (name, sensitivity, scale); ``weight`` is 64 under Gaussian noise, else 1."""
    noise = {s[0]: Noise(s[2], gaussian=weight == 64, shares=shares) for s in slots}
    total = {s[0]: t for s, t in zip(slots, sums, strict=True) if s[0] != "histogram"}
    votes = [t / weight for s, t in zip(slots, sums, strict=True) if s[0] == "histogram"]
    out = {}
    for name in metric["statistics"]:
        if name == "mean":
            out[name] = mean(metric, xs, total["values"], noise["values"], n)
        elif name == "std":
            out[name] = std(metric, xs, total, noise, n)
        elif name == "median" or n >= 50:
            out[name] = quantile(metric, xs, votes, noise["histogram"], n, weight, LEVELS[name])
    return out


def step(metric: dict, xs: list[float]) -> float:
    return xs[1] / xs[0] if metric["grid"]["kind"] == "log" else xs[1] - xs[0]


def mean(metric: dict, xs: list[float], total: int, noise: Noise, n: int) -> dict[str, float]:
    lower, upper = metric["lower"], metric["upper"]
    middle, half = (lower + upper) / 2, (upper - lower) / 2
    first, w = total / n, noise.width(Z95) / n
    value, low, high = (middle + half * u / U for u in (first, first - w, first + w))
    low = min(max(low, lower), upper)
    if metric["grid"]["kind"] == "log":
        root = math.sqrt(step(metric, xs))
        low, high = low / root - half / U, high * root + half / U
    else:
        slack = step(metric, xs) / 2 + half / U
        low, high = low - slack, high + slack
    return finish(value, low, high, lower, upper)


def std(metric: dict, xs: list[float], total: dict, noise: dict, n: int) -> dict[str, float]:
    half = (metric["upper"] - metric["lower"]) / 2
    a, b = total["values"] / n, (total["squares"] / n + U / 2) * U
    wa = noise["values"].width(Z975) / n
    wb = noise["squares"].width(Z975) / n * U + U / 2
    left, right = max(a - wa, -U), min(a + wa, U)
    most = max(left**2, right**2)
    least = 0.0 if left <= 0 <= right else min(left**2, right**2)
    low, value, high = (
        math.sqrt(max(x, 0.0)) * half / U
        for x in (b - wb - most, b - a**2, min(b + wb, U**2) - least)
    )
    if metric["grid"]["kind"] == "log":
        top = mean(metric, xs, total["values"], noise["values"], n)["upper"]
        largest = min(math.sqrt(top**2 + high**2), metric["upper"])
        slack = (math.sqrt(step(metric, xs)) - 1) * largest + half / U
    else:
        slack = step(metric, xs) / 2 + half / U
    return finish(value, low - slack, high + slack, 0.0, half)


def borders(metric: dict, xs: list[float]) -> list[float]:
    size, ends = metric["grid"]["points"] // metric["grid"]["bins"], [metric["lower"]]
    for at in range(size, len(xs), size):
        a, b = xs[at - 1], xs[at]
        log = metric["grid"]["kind"] == "log"
        ends.append(math.sqrt(a) * math.sqrt(b) if log else a + (b - a) / 2)
    return [*ends, metric["upper"]]


def monotone(counts: list[float], n: int) -> list[float]:
    """Isotonic regression by its minimax formula: max over i of min over k of mean(i..k)."""
    size, sums = len(counts), [0.0]
    for count in counts:
        sums.append(sums[-1] + count)
    fit = [
        max(
            min((sums[k + 1] - sums[i]) / (k + 1 - i) for k in range(b, size)) for i in range(b + 1)
        )
        for b in range(size)
    ]
    return [0.0, *(min(max(value, 0.0), float(n)) for value in fit[1:-1]), float(n)]


def quantile(metric, xs, votes, noise: Noise, n: int, weight: int, p: float) -> dict[str, float]:
    bins, ends = len(votes), borders(metric, xs)
    excess = (math.fsum(votes) - n) / bins
    counts = [0.0]
    for vote in votes:
        counts.append(counts[-1] + (vote - excess))
    counts[-1] = float(n)
    reach = []
    for b in range(bins + 1):
        below, above = 1 - b / bins, b / bins
        second = b * below**2 + (bins - b) * above**2
        fourth = b * below**4 + (bins - b) * above**4
        spread = Noise(1.0, gaussian=True, shares=1)
        spread.sd = noise.sd / weight * math.sqrt(second)
        spread.kurtosis = noise.kurtosis * fourth / second**2 if second else 0.0
        reach.append(spread.width(Z95))
    rank = math.floor((n - 1) * p) + 1
    first = min(b for b in range(1, bins + 1) if counts[b] + reach[b] >= rank)
    last = max(b for b in range(1, bins + 1) if counts[b - 1] - reach[b - 1] <= rank)
    first, last = min(first, last), max(first, last)
    flat = monotone(counts, n)
    at = min(b for b in range(1, bins + 1) if flat[b] >= p * n)
    rise = flat[at] - flat[at - 1]
    part = (p * n - flat[at - 1]) / rise if rise > 0 else 0.5
    low, high = ends[at - 1], ends[at]
    if metric["grid"]["kind"] == "log":
        value = low * math.exp(part * math.log(high / low))
    else:
        value = low + part * (high - low)
    return finish(value, ends[first - 1], ends[last], ends[0], ends[-1])
