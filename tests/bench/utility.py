"""``make bench-utility``: test AUC against epsilon, beside pooled DP-SGD at the same epsilon.

Three tables with natural sites (utility_data). Ours: the job's own clipping, rounding, noise shares
and server steps, without encryption; every site comes to every round, and the shares cover the
spec's colluder, so the sum carries more noise than a central mechanism's. Pooled: Opacus on the
rows of all sites together, which their owners would not allow, with the noise of its own PRV
accountant. Both sides have the same logistic model from zeros, rows, epsilon and delta, momentum
0.9 and mean of the second half's iterates, and choose from the same recipes: 10, 40 or 100 steps,
learning rate 0.1, 0.3 or 1, clipping norm 0.3 or 1, full batches; Opacus also 40 and 100
mini-batches that take every row with probability 1/4. Each side's recipe for an epsilon is the one
with the best mean over splits of other seeds than those reported. Neither is charged for that
choice.

Reported beside: ours as the SDK chooses by itself (40 rounds, clipping norm 1, the learning rate
from the noise), both sides without noise, and a ladder from the central mechanism to the federated
one on our recipe, which tells what each step of it costs.

JSON and a plot go to var/bench.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterable
from typing import Any

from tests.bench import utility_plot
from tests.bench.frame import VAR, machine
from tests.bench.peers.base import NotMeasured
from tests.bench.utility_data import TABLES, Table
from tests.bench.utility_sides import (
    CLAIM,
    CLIPS,
    DELTA,
    EPSILONS,
    LEARNING_RATES,
    RUNGS,
    STEPS,
    Areas,
    Peer,
    Recipe,
    Sites,
    best,
    difference,
)

SEEDS = {"heart": 40, "opt": 100, "RandHIE": 20}
"""Splits reported. opt's test sets hold about thirty early births: its AUC varies most."""
TUNING = {"heart": 40, "opt": 100, "RandHIE": 3}
FIRST_TUNING = 1000
DEFAULT_ROUNDS = 40
RECIPES = tuple(
    Recipe(steps=steps, learning_rate=rate, clipping_norm=clip)
    for steps in STEPS
    for rate in LEARNING_RATES
    for clip in CLIPS
)
PEER_RECIPES = RECIPES + tuple(
    Recipe(steps=one.steps, learning_rate=one.learning_rate, clipping_norm=one.clipping_norm,
           sampling=0.25)
    for one in RECIPES
    if one.steps > STEPS[0]
)  # fmt: skip


def bench(
    name: str,
    seeds: int,
    tuning: int,
    *,
    epsilons: tuple[float, ...] = EPSILONS,
    recipes: tuple[Recipe, ...] = RECIPES,
    peer_recipes: tuple[Recipe, ...] = PEER_RECIPES,
) -> dict[str, Any]:
    """One table's results; where a part cannot be had, ``not measured`` says why.

    Every list is an AUC over the test rows of all sites for each seed, and all are on the same
    splits, so that two of them can be compared seed by seed.
    """
    try:
        table = TABLES[name]()
    except NotMeasured as reason:
        return {"not measured": str(reason)}
    reported, others = range(seeds), range(FIRST_TUNING, FIRST_TUNING + tuning)
    sites = Sites(table)
    result = _facts(table, sites) | {"seeds": seeds, "tuning seeds": tuning}
    result["pooled, without privacy"] = sites.without_privacy(reported)
    chosen = {
        epsilon: best({one: sites.areas(one, epsilon, others) for one in recipes})
        for epsilon in (*epsilons, None)
    }
    result["ours"] = {
        str(epsilon): _told(recipe, sites.areas(recipe, epsilon, reported))
        for epsilon, recipe in chosen.items()
    }
    result["as the SDK chooses"] = {
        str(epsilon): _told(recipe, sites.areas(recipe, epsilon, reported))
        for epsilon in epsilons
        for recipe in [sites.default(epsilon, DEFAULT_ROUNDS)]
    }
    noises: dict[str, float] = {}
    peer = Peer(sites)
    try:
        tuned = peer.areas([(r, e) for r in peer_recipes for e in (*epsilons, None)], others)
        noises = dict(peer.noises)
        picked = {
            epsilon: best({one: tuned[one, epsilon] for one in peer_recipes})
            for epsilon in (*epsilons, None)
        }
        found = peer.areas([(recipe, epsilon) for epsilon, recipe in picked.items()], reported)
        result["pooled"] = {
            str(epsilon): _told(recipe, found[recipe, epsilon])
            for epsilon, recipe in picked.items()
        }
    except NotMeasured as reason:
        result["not measured"] = f"pooled DP-SGD (Opacus): {reason}"
    result["noise multipliers"] = noises
    result["ladder"] = {
        str(epsilon): sites.ladder(chosen[epsilon], epsilon, reported, noises)
        for epsilon in epsilons
    }
    if "pooled" in result:
        for side in ("ours", "as the SDK chooses"):
            result[f"difference, {side}"] = {
                str(e): difference(result[side][str(e)]["areas"], result["pooled"][str(e)]["areas"])
                for e in epsilons
            }
    return result


def _facts(table: Table, sites: Sites) -> dict[str, Any]:
    return {
        "sites": len(table.sites),
        "records": sum(len(rows) for rows in table.sites.values()),
        "parameters": sites.parameters,
    }


def _told(recipe: Recipe, areas: Areas) -> dict[str, Any]:
    return {"recipe": str(recipe), "areas": areas}


def say(name: str, result: dict[str, Any]) -> None:
    """One table for people."""
    if "ours" not in result:
        print(f"{name}: not measured, {result['not measured']}")
        return
    pooled = result.get("pooled")
    print(
        f"{name}: {result['records']} records, {result['sites']} sites, {result['parameters']} "
        f"parameters, {result['seeds']} splits; AUC pooled without privacy "
        f"{statistics.fmean(result['pooled, without privacy']):.4f}, without noise: ours "
        f"{_shown(result['ours']['None'])}"
        + (f", Opacus {_shown(pooled['None'])}" if pooled else "")
    )
    if not pooled:
        print(f"  not measured: {result['not measured']}")
    for epsilon, own in result["ours"].items():
        if epsilon == "None":
            continue
        line = f"  epsilon {epsilon:<5} ours {_shown(own)}"
        if pooled:
            line += f"   pooled {_shown(pooled[epsilon])}"
            line += f"   {_gap(result['difference, ours'][epsilon])}"
        print(line)
        by_itself = result["as the SDK chooses"][epsilon]
        line = f"{'':15}SDK's choice {_shown(by_itself)}"
        if pooled:
            line += f"   {_gap(result['difference, as the SDK chooses'][epsilon])}"
        print(line)
        rungs = result["ladder"][epsilon]
        steps = [f"{rung} {statistics.fmean(rungs[rung]):.4f}" for rung in RUNGS if rung in rungs]
        print(f"{'':15}ladder: {'; '.join(steps)}")


def _shown(side: dict[str, Any]) -> str:
    mean, spread = statistics.fmean(side["areas"]), statistics.pstdev(side["areas"])
    return f"{mean:.4f} sd {spread:.4f} ({side['recipe']})"


def _gap(gap: dict[str, Any]) -> str:
    around = "" if gap["half"] is None else f" ± {gap['half']:.4f}"
    return f"{gap['mean']:+.4f}{around}: {'within' if gap['within'] else 'NOT within'} {CLAIM}"


def held(results: Iterable[dict[str, Any]], side: str) -> str:
    """In how many cases the claim holds, as ``N of M``."""
    gaps = [gap for r in results for gap in r.get(f"difference, {side}", {}).values()]
    return f"{sum(gap['within'] for gap in gaps)} of {len(gaps)}"


def main() -> int:
    results: dict[str, Any] = {}
    for name in sys.argv[1:] or TABLES:
        results[name] = bench(name, SEEDS[name], TUNING[name])
        say(name, results[name])
    whole = {"machine": machine(), "delta": DELTA, "tables": results}
    VAR.mkdir(parents=True, exist_ok=True)
    (VAR / "utility.json").write_text(json.dumps(whole, indent=2) + "\n")
    (VAR / "utility.svg").write_text(utility_plot.plot(results))
    print(f"within {CLAIM} AUC of pooled DP-SGD at equal epsilon, by the mean over the splits:")
    print(f"  {held(results.values(), 'ours')} cases, both sides choosing from the same recipes")
    print(f"  {held(results.values(), 'as the SDK chooses')} cases as the SDK chooses by itself")
    print(f"{VAR / 'utility.json'}, utility.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
