"""``make bench-utility``: test AUC against epsilon on the four hospitals, with the noise-free AUC.

The demonstration's job by an experimenter who holds the public data: the same clipping, rounding,
noise shares and server steps as a federation's, without encryption. JSON and a plot in var/bench.
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path

import numpy as np

from federated.privacy.config import PrivacyConfig
from federated.privacy.discrete_gaussian import sample
from federated.training.server import ServerState
from federated.wire.job import JobSpec
from portal.demo.experiment import ALL, federated, pooled
from portal.demo.hospitals import hospitals
from tests.bench.auc import job

EPSILONS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
SEEDS = 20
OUT = Path("var/bench")
WIDTH, HEIGHT, LEFT, BOTTOM = 560, 300, 50, 260


def spec_at(epsilon: float) -> JobSpec:
    """The demonstration's job with the noise of another target."""
    spec = job()
    privacy = PrivacyConfig(epsilon=epsilon).spec(
        rounds=spec.strategy.rounds,
        minimum_cohort=spec.minimum_cohort,
        dimension=spec.model.parameters,
    )
    return spec.model_copy(update={"privacy": privacy})


def measure(seeds: int, epsilons: tuple[float, ...] = EPSILONS) -> dict:
    """Mean and standard deviation of the test AUC over all hospitals' rows, by epsilon."""
    specs = {epsilon: spec_at(epsilon) for epsilon in epsilons}
    found: dict[str, list[float]] = {str(epsilon): [] for epsilon in epsilons}
    found |= {"without noise": [], "pooled, without privacy": []}
    for seed in range(seeds):
        cast = hospitals(seed=seed)
        for epsilon, spec in specs.items():
            initial = ServerState.initial(np.zeros(spec.model.parameters))
            found[str(epsilon)].append(federated(cast, spec, initial, sample)[ALL])
        found["without noise"].append(federated(cast, specs[epsilons[0]], initial)[ALL])
        found["pooled, without privacy"].append(pooled(cast)[ALL])
    return {
        "seeds": seeds,
        "rows": [
            {"epsilon": name, "auc": statistics.fmean(values), "sd": statistics.pstdev(values)}
            for name, values in found.items()
        ],
    }


def plot(result: dict) -> str:
    """An SVG of mean AUC (with one standard deviation) over log epsilon."""
    rows = {row["epsilon"]: row for row in result["rows"]}
    lowest = min(row["auc"] - row["sd"] for row in rows.values()) - 0.01
    highest = max(row["auc"] + row["sd"] for row in rows.values()) + 0.01
    epsilons = [float(name) for name in rows if name[0].isdigit()]

    def x(epsilon: float) -> float:
        span = np.log(epsilons[-1] / epsilons[0])
        return LEFT + 20 + (WIDTH - LEFT - 160) * float(np.log(epsilon / epsilons[0]) / span)

    def y(auc: float) -> float:
        return BOTTOM - (BOTTOM - 20) * (auc - lowest) / (highest - lowest)

    parts = []
    for epsilon in epsilons:
        row, at = rows[str(epsilon)], x(epsilon)
        top, foot = y(row["auc"] + row["sd"]), y(row["auc"] - row["sd"])
        parts.append(f'<path d="M{at:.1f} {top:.1f}V{foot:.1f}" stroke="#467"/>')
        parts.append(f'<circle cx="{at:.1f}" cy="{y(row["auc"]):.1f}" r="4" fill="#146"/>')
        parts.append(
            f'<text x="{at:.1f}" y="{BOTTOM + 18}" text-anchor="middle">{epsilon:g}</text>'
        )
        parts.append(f'<text x="{at + 7:.1f}" y="{y(row["auc"]) - 6:.1f}">{row["auc"]:.3f}</text>')
    for name in ("without noise", "pooled, without privacy"):
        at = y(rows[name]["auc"])
        line = f"M{LEFT} {at:.1f}H{WIDTH - 130}"
        parts.append(f'<path d="{line}" stroke="#a50" stroke-dasharray="5 4"/>')
    legend = "; ".join(f"{n} {rows[n]['auc']:.3f}" for n in rows if not n[0].isdigit())
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="#fff"/>'
        f'<path d="M{LEFT} 20V{BOTTOM}H{WIDTH - 130}" stroke="#000" fill="none"/>'
        f"{''.join(parts)}"
        f'<text x="{LEFT}" y="{HEIGHT - 6}">test AUC over epsilon; dashed: {legend}</text></svg>\n'
    )


def main() -> int:
    result = measure(int(sys.argv[1]) if len(sys.argv) > 1 else SEEDS)
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "utility.json").write_text(json.dumps(result, indent=2) + "\n")
    (OUT / "utility.svg").write_text(plot(result))
    for row in result["rows"]:
        print(f"{row['epsilon']:>24}  AUC {row['auc']:.4f}  sd {row['sd']:.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
