"""``make bench-utility``: test AUC against epsilon, beside pooled DP-SGD at the same epsilon.

Three tables with natural sites (utility_data). Ours: the job's own clipping, rounding, noise shares
and server steps, without encryption; the shares cover the spec's colluder and dropouts, so the sum
carries more noise than a central mechanism's. Pooled: Opacus on the rows of all sites together,
which their owners would not allow, with the noise of its own PRV accountant. Both sides have the
same logistic model from zeros, rows, epsilon and delta, per-record clipping to 1, learning rate 1,
momentum 0.9 and mean of the second half's iterates, and nothing else is tuned. Both try 10, 40 and
100 full batches, Opacus also 40 and 100 mini-batches that take every row with probability 1/4. At
each epsilon the better schedule of one side, by its mean over the seeds, is compared with the
better one of the other, seed by seed.

JSON and a plot go to var/bench.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from federated.privacy.config import PrivacyConfig
from federated.privacy.discrete_gaussian import sample
from federated.training.data import Dataset
from federated.training.local import bounded_update
from federated.training.metrics import auc, predict
from federated.training.server import ServerState, released_parameters, server_step
from federated.wire.job import JobSpec
from portal.demo.experiment import logistic_scores
from tests.bench import utility_plot
from tests.bench.auc import job_over
from tests.bench.frame import VAR, machine
from tests.bench.peers import opacus
from tests.bench.peers.base import NotMeasured
from tests.bench.utility_data import TABLES, Table

EPSILONS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
SEEDS = 20
DELTA = 1e-5
CLAIM = 0.01
ROUNDS = (10, 40, 100)
VARIANTS = {
    **{f"{steps} full batches": {"rate": 1, "steps": steps} for steps in ROUNDS},
    **{f"{steps} mini-batches": {"rate": 0.25, "steps": steps} for steps in ROUNDS[1:]},
}
Split = list[tuple[Dataset, Dataset]]
Noise = Callable[[float, int], NDArray[np.int64]]


def spec_at(table: Table, epsilon: float, rounds: int = ROUNDS[0]) -> JobSpec:
    """A job over the table's sites with the noise of a target."""
    privacy = PrivacyConfig(epsilon=epsilon, delta=DELTA)
    return job_over(table.dictionary, len(table.sites), privacy, rounds=rounds)


def train(spec: JobSpec, split: Split, noise: Noise | None) -> NDArray[np.float64]:
    """The released parameters of the job's rounds over the sites' training rows."""
    parameters = spec.model.parameters
    state = ServerState.initial(np.zeros(parameters))
    for _ in range(spec.strategy.rounds):
        total = np.zeros(parameters, dtype=np.int64)
        for rows, _ in split:
            total += bounded_update(spec, state.parameters, rows, order=str(state.step))
            if noise is not None:
                total += noise(spec.privacy.noise_sigma, parameters)
        state = server_step(
            state,
            total.tolist(),
            strategy=spec.strategy,
            privacy=spec.privacy,
            denominator=spec.denominator,
        )
    return released_parameters(state, spec.strategy)


def together(parts: list[Dataset]) -> Dataset:
    return Dataset(
        features=np.concatenate([part.features for part in parts]),
        target=np.concatenate([part.target for part in parts]),
    )


def area(test: Dataset, scores: NDArray[np.float64]) -> float:
    value = auc(test.target, np.asarray(scores, dtype=np.float64))
    if value is None:
        raise ValueError("all test rows hold one class: the split is broken")
    return value


def measure(table: Table, seeds: int, epsilons: tuple[float, ...] = EPSILONS) -> dict[str, Any]:
    """AUC over the test rows of all sites, a list of one a seed: ours, and without privacy.

    ``ours`` is by schedule and epsilon.
    """
    schedules = {f"{rounds} rounds": rounds for rounds in ROUNDS}
    specs = {
        (name, str(epsilon)): spec_at(table, epsilon, rounds)
        for name, rounds in schedules.items()
        for epsilon in epsilons
    }
    found: dict[str, Any] = {
        "ours": {name: {str(epsilon): [] for epsilon in epsilons} for name in schedules},
        "without noise": {name: [] for name in schedules},
        "pooled, without privacy": [],
    }
    for seed in range(seeds):
        split = table.split(seed)
        test = together([rows for _, rows in split])
        for (name, epsilon), spec in specs.items():
            found["ours"][name][epsilon].append(_scored(spec, split, test, sample))
        for name in schedules:
            spec = specs[name, str(epsilons[0])]
            found["without noise"][name].append(_scored(spec, split, test, None))
        pooled = logistic_scores(together([rows for rows, _ in split]))
        found["pooled, without privacy"].append(area(test, pooled(test)))
    return found


def _scored(spec: JobSpec, split: Split, test: Dataset, noise: Noise | None) -> float:
    scores = predict(spec.model, spec.data.target, train(spec, split, noise), test.features)
    return area(test, scores)


def measure_pooled(
    table: Table, seeds: int, epsilons: tuple[float, ...] = EPSILONS
) -> dict[str, Any]:
    """AUC of Opacus by variant and epsilon, on the same splits. Raises NotMeasured."""
    arrays, tests = {}, []
    for seed in range(seeds):
        split = table.split(seed)
        rows, test = together([r for r, _ in split]), together([t for _, t in split])
        arrays |= {f"features_{seed}": rows.features, f"target_{seed}": rows.target}
        arrays[f"test_{seed}"] = test.features
        tests.append(test)
    settings = {
        "variants": VARIANTS, "epsilons": epsilons, "delta": DELTA, "seeds": seeds,
        "learning_rate": 1.0, "momentum": 0.9, "clipping_norm": 1.0,
    }  # fmt: skip
    told = opacus.train(arrays, settings)
    areas = {
        name: {
            str(epsilon): [
                area(test, told["scores"][f"{name}/{epsilon}/{seed}"])
                for seed, test in enumerate(tests)
            ]
            for epsilon in epsilons
        }
        for name in VARIANTS
    }
    return {"areas": areas, "noise_multipliers": told["noise_multipliers"]}


def best(by_schedule: dict[str, dict[str, list[float]]], epsilon: str) -> tuple[str, list[float]]:
    """The schedule with the largest mean at an epsilon, and its AUC of every seed."""
    name = max(by_schedule, key=lambda one: statistics.fmean(by_schedule[one][epsilon]))
    return name, by_schedule[name][epsilon]


def difference(ours: tuple[str, list[float]], pooled: tuple[str, list[float]]) -> dict[str, Any]:
    """Ours less pooled, the mean over the seeds with a 95% interval."""
    each = [mine - theirs for mine, theirs in zip(ours[1], pooled[1], strict=True)]
    mean = statistics.fmean(each)
    half = 1.96 * statistics.stdev(each) / math.sqrt(len(each)) if len(each) > 1 else None
    compared = {"ours": ours[0], "pooled": pooled[0]}
    return {"of": compared, "mean": mean, "half": half, "within": mean >= -CLAIM}


def bench(name: str, seeds: int, epsilons: tuple[float, ...] = EPSILONS) -> dict[str, Any]:
    """One table's results; where a part cannot be had, ``not measured`` says why."""
    try:
        table = TABLES[name]()
    except NotMeasured as reason:
        return {"not measured": str(reason)}
    result = measure(table, seeds, epsilons)
    result |= {"sites": len(table.sites), "parameters": spec_at(table, 1.0).model.parameters}
    result["records"] = sum(len(rows) for rows in table.sites.values())
    try:
        result["pooled"] = measure_pooled(table, seeds, epsilons)
    except NotMeasured as reason:
        return result | {"pooled": {"not measured": str(reason)}}
    areas = result["pooled"]["areas"]
    result["difference"] = {
        str(epsilon): difference(best(result["ours"], str(epsilon)), best(areas, str(epsilon)))
        for epsilon in epsilons
    }
    return result


def say(name: str, result: dict[str, Any]) -> None:
    """One table for people."""
    if "ours" not in result:
        print(f"{name}: not measured, {result['not measured']}")
        return
    print(
        f"{name}: {result['records']} records, {result['sites']} sites, "
        f"{result['parameters']} parameters; AUC pooled without privacy "
        f"{statistics.fmean(result['pooled, without privacy']):.4f}, ours without noise "
        f"{max(map(statistics.fmean, result['without noise'].values())):.4f}"
    )
    pooled = result["pooled"]
    if "areas" not in pooled:
        print(f"  pooled DP-SGD (Opacus): not measured, {pooled['not measured']}")
    for epsilon in next(iter(result["ours"].values())):
        schedule, values = best(result["ours"], epsilon)
        mean, spread = statistics.fmean(values), statistics.pstdev(values)
        line = f"  epsilon {epsilon:<5} ours {mean:.4f} sd {spread:.4f} ({schedule})"
        if "areas" in pooled:
            schedule, values = best(pooled["areas"], epsilon)
            gap = result["difference"][epsilon]
            around = "" if gap["half"] is None else f" ± {gap['half']:.4f}"
            line += (
                f"   pooled {statistics.fmean(values):.4f} ({schedule})   {gap['mean']:+.4f}"
                f"{around}: {'within' if gap['within'] else 'NOT within'} {CLAIM}"
            )
        print(line)


def main() -> int:
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else SEEDS
    results: dict[str, Any] = {}
    for name in TABLES:
        results[name] = bench(name, seeds)
        say(name, results[name])
    whole = {
        "machine": machine(), "seeds": seeds, "delta": DELTA, "variants": VARIANTS,
        "tables": results,
    }  # fmt: skip
    VAR.mkdir(parents=True, exist_ok=True)
    (VAR / "utility.json").write_text(json.dumps(whole, indent=2) + "\n")
    (VAR / "utility.svg").write_text(utility_plot.plot(results))
    gaps = [gap for r in results.values() for gap in r.get("difference", {}).values()]
    held = sum(gap["within"] for gap in gaps)
    print(f"within {CLAIM} AUC of pooled DP-SGD at equal epsilon: {held} of {len(gaps)} cases")
    print(f"{Path(VAR / 'utility.json')}, utility.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
