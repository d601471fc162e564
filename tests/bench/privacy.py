"""``make bench-privacy``: errors and intervals of private benchmarks; seconds to prove and verify.

Three Laplace shares, as a 3-of-4 quorum adds them, beside a trusted curator that adds diffprivlib's
Geometric mechanism (the same discrete Laplace) once to the same sums; and beside statistics of the
measurements themselves with the same epsilon, by this project's curator and by diffprivlib.
Measurements are drawn by a seed; noise of this project too, by
the product's sampler. JSON and a plot in var/bench.
"""

from __future__ import annotations

import math
import random
import sys
import time
import uuid
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from federated.aggregation.vote_statistics import PERCENTILES_FROM, statistics_of
from federated.aggregation.votes import VoteLayout, nearest_point
from federated.privacy import curator
from federated.privacy.bounds import Bounds, linear_points, log_points
from federated.protocol.kinds.benchmark import BENCHMARK, submission_make
from federated.protocol.noise import noise_make, noised_cohort_check
from federated.protocol.release import release_make, shares_check
from federated.protocol.share import share_make
from federated.simulation.campaign_world import CampaignScenario, CampaignWorld
from federated.wire.campaign import QUANTILES, CampaignContext, CampaignTranscript
from tests.bench.frame import OURS, VAR, Row, machine, show, write
from tests.federated.aggregation.vote_cases import ALL, case, exact, measured, release

EPSILONS = (0.5, 1.0, 2.0, 4.0, 8.0)
ORGANIZATIONS = (5, 10, 20, 50, 100, 200)
TIMED = (10, 50, 200)
KINDS = ("linear", "log")
SHARES = 3
CURATOR = "trusted curator, diffprivlib's Geometric on the same sums"
TOOLS = "trusted curator, diffprivlib's own statistics"
IN_PROCESS = "trusted curator, this project's own statistics"
RANGE = 999.0
LIMIT = math.sqrt(SHARES) * 1.1


def errors(kind: str, epsilon: float, count: int, runs: int) -> list[Row]:
    """Root mean square errors over the bounds' range, and how often intervals covered."""
    layout = case(kind, epsilon, count)
    squares: dict[tuple[str, str], list[float]] = defaultdict(list)
    covered: dict[str, list[bool]] = defaultdict(list)
    for run in range(runs):
        rng = random.Random(f"{kind}/{epsilon}/{count}/{run}")
        values = measured(kind, count, rng)
        truth = exact(values)
        found = release(layout, values, SHARES, rng)
        for name, estimate in found.items():
            covered[name].append(estimate.lower <= truth[name] <= estimate.upper)
            squares[OURS, name].append((estimate.value - truth[name]) ** 2)
        for system, others in (
            (CURATOR, _curator(layout, values, rng)),
            (TOOLS, _tools(values, epsilon, rng)),
            (IN_PROCESS, _in_process(kind, values, epsilon, rng)),
        ):
            for name in found.keys() & others.keys():
                squares[system, name].append((others[name] - truth[name]) ** 2)
    label = f"{kind} grid, epsilon {epsilon:g}, {count} organizations"
    rows = [
        Row(label, system, f"{name} error", math.sqrt(_mean(found)) / RANGE, "of the range")
        for (system, name), found in squares.items()
    ]
    rows += [
        Row(label, OURS, f"{name} interval covers", _mean(found), "of runs")
        for name, found in covered.items()
    ]
    return rows


def _mean(values: list[Any]) -> float:
    return math.fsum(values) / len(values)


def _curator(layout: VoteLayout, values: list[float], rng: random.Random) -> dict[str, float]:
    from diffprivlib.mechanisms import Geometric

    vectors = [layout.points[nearest_point(layout.metric, value)] for value in values]
    sums = [sum(column) for column in zip(*vectors, strict=True)]
    for at, slot in enumerate(layout.slots):
        mechanism = Geometric(
            epsilon=float(slot.sensitivity / slot.scale),
            sensitivity=slot.sensitivity,
            random_state=rng.randrange(2**32),
        )
        sums[at] = mechanism.randomise(sums[at])
    found = statistics_of(layout, sums, count=len(values), shares=1)
    return {name: estimate.value for name, estimate in found.items()}


def _tools(values: list[float], epsilon: float, rng: random.Random) -> dict[str, float]:
    """A third of epsilon for mean, deviation and quantiles each; the quantiles split theirs."""
    from diffprivlib import BudgetAccountant, tools

    options: dict[str, Any] = {
        "bounds": (1.0, 1.0 + RANGE),
        "random_state": rng.randrange(2**32),
        "accountant": BudgetAccountant(),
    }
    names = QUANTILES if len(values) >= PERCENTILES_FROM else {"median": 0.5}
    out = {
        "mean": float(tools.mean(values, epsilon=epsilon / 3, **options)),
        "std": float(tools.std(values, epsilon=epsilon / 3, **options)),
    }
    for name, p in names.items():
        part = epsilon / 3 / len(names)
        out[name] = float(tools.percentile(values, 100 * p, epsilon=part, **options))
    return out


def _in_process(
    kind: str, values: list[float], epsilon: float, rng: random.Random
) -> dict[str, float]:
    """BenchmarkAggregator's statistics; its median with as much epsilon as diffprivlib's."""
    bounds, part, below = Bounds(1.0, 1.0 + RANGE), Fraction(epsilon) / 3, rng.randrange
    grid = linear_points(bounds) if kind == "linear" else log_points(bounds)
    quantiles = len(QUANTILES) if len(values) >= PERCENTILES_FROM else 1
    return {
        "mean": curator.mean(values, bounds, part, below=below),
        "std": curator.std(values, bounds, part, below=below),
        "median": curator.median(values, grid, part / quantiles, below=below),
    }


def seconds(counts: tuple[int, ...], bits: int) -> Iterator[Row]:
    """CPU seconds of one process for one metric of 64 grid points."""
    metric = {
        "key": "latency_ms",
        "unit": "ms",
        "lower": 1.0,
        "upper": 1000.0,
        "grid": "log",
        "draw": {"kind": "lognormal", "middle": 60.0, "spread": 0.8},
    }
    scenario = CampaignScenario.model_validate({"metrics": [metric], "key_bits": bits})
    world = CampaignWorld.make(scenario, max(counts))
    agreement = world.agreement(str(uuid.uuid4()))
    spec = agreement.spec
    context = CampaignContext(
        campaign_id=spec.campaign_id,
        spec=spec.digest(),
        run=1,
        key_epoch=world.epoch.digest(),
        checkpoint="0" * 64,
    )
    made = []
    proving = 0.0
    for name, identity in world.identities.items():
        values = scenario.measure(name, seed=1, run=1)
        spent, submission = _timed(
            lambda: submission_make(
                agreement=agreement, context=context, identity=identity, measured=values
            )
        )
        proving += spent
        made.append(submission)
        if len(made) in counts:
            label = f"{bits} bits, {len(made)} organizations"
            yield Row(label, OURS, "prove, a vote", proving / len(made), "CPU s")
            yield from _release_seconds(world, agreement, context, made, label)


def _release_seconds(world, agreement, context, made, label) -> Iterator[Row]:
    names = [signed.body.organization for signed in made]
    transcript = CampaignTranscript(
        spec=agreement.spec,
        approvals=tuple(world.identities[n].sign(agreement.approval(n)) for n in names),
        context=context,
        submissions=tuple(made),
    )
    size = sum(len(signed.canonical()) for signed in made) / len(made)
    yield Row(label, OURS, "a submission's size", size / 1000, "kB")
    spent, _ = _timed(
        lambda: BENCHMARK.contributions_check(made, agreement=agreement, context=context)
    )
    yield Row(label, OURS, "verify all votes, a trustee", spent, "CPU s")
    quorum = sorted(world.shares)[: world.epoch.threshold]
    identities = world.identities
    noising, noise = 0.0, []
    for name in quorum:
        spent, signed = _timed(
            lambda: noise_make(
                agreement=agreement,
                cohort=transcript.cohort(),
                identity=identities[name],
            )
        )
        noising += spent
        noise.append(signed)
    yield Row(label, OURS, "draw and prove noise, a trustee", noising / len(quorum), "CPU s")
    noised = transcript.model_copy(update={"noise": tuple(noise)})
    spent, _ = _timed(lambda: noised_cohort_check(noised, agreement=agreement))
    yield Row(label, OURS, "check the noise", spent, "CPU s")
    sharing, shares = 0.0, []
    for name in quorum:
        spent, signed = _timed(
            lambda: share_make(
                noised,
                agreement=agreement,
                share=world.shares[name],
                identity=identities[name],
            )
        )
        sharing += spent
        shares.append(signed)
    yield Row(label, OURS, "decrypt and prove, a trustee", sharing / len(quorum), "CPU s")
    whole = noised.model_copy(update={"shares": tuple(shares)})

    def released() -> None:
        shares_check(whole, agreement=agreement)
        release_make(whole, agreement=agreement)

    spent, _ = _timed(released)
    yield Row(label, OURS, "check shares and release, the portal", spent, "CPU s")


def _timed(do: Callable[[], Any]) -> tuple[float, Any]:
    begin = time.process_time()
    result = do()
    return time.process_time() - begin, result


def mean_ratios(rows: list[Row]) -> dict[str, float]:
    """This project's error of the mean over the curator's, by grid and number of organizations.

    The geometric mean over all epsilons, so that a ratio of two sampled errors is known to 2%.
    """
    values = {(r.case, r.system): r.value for r in rows if r.metric == "mean error"}
    logs: dict[str, list[float]] = defaultdict(list)
    for case_, system in values:
        if system == OURS:
            kind, _, count = case_.split(", ")
            ratio = values[case_, OURS] / values[case_, CURATOR]
            logs[f"{kind}, {count}"].append(math.log(ratio))
    return {name: math.exp(_mean(found)) for name, found in logs.items()}


def comparison(rows: list[Row]) -> Table:
    """Errors at epsilon 2 and the most organizations, in percent of the range, and coverage."""
    systems = {
        OURS: "this project",
        CURATOR: "curator, same sums",
        IN_PROCESS: "curator in process",
        TOOLS: "diffprivlib's own",
    }
    table = Table("grid", "statistic", *systems.values(), "covers")
    for kind in KINDS:
        label = f"{kind} grid, epsilon 2, {ORGANIZATIONS[-1]} organizations"
        found = {(row.system, row.metric): row.value for row in rows if row.case == label}
        for name in ALL:
            values = [found.get((system, f"{name} error")) for system in systems]
            errors_ = ["" if value is None else f"{value:.2%}" for value in values]
            covers = f"{found[OURS, f'{name} interval covers']:.1%}"
            table.add_row(kind, name, *errors_, covers)
    return table


def plot(rows: list[Row], path: Path) -> None:
    """A panel a statistic: error over organizations at epsilon 2, here and at both curators."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(2, 4, figsize=(15, 7), sharex=True)
    styles = {
        OURS: ("#146", "o-"),
        CURATOR: ("#a50", "s--"),
        IN_PROCESS: ("#363", "v-."),
        TOOLS: ("#777", "^:"),
    }
    for panel, name in zip(panels.flat, ALL, strict=False):
        for system, (color, style) in styles.items():
            points = [
                (int(row.case.split()[-2]), row.value)
                for row in rows
                if row.system == system
                and row.metric == f"{name} error"
                and row.case.startswith("linear grid, epsilon 2,")
            ]
            if points:
                panel.loglog(*zip(*points, strict=True), style, color=color, label=system)
        panel.set_title(name)
        panel.grid(visible=True, alpha=0.3)
    panels.flat[-1].axis("off")
    panels.flat[-1].legend(*panels.flat[0].get_legend_handles_labels(), loc="center", fontsize=8)
    figure.supxlabel("organizations")
    figure.supylabel("root mean square error over the range, epsilon 2")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


@click.command()
@click.option("--runs", default=1000, show_default=True, type=click.IntRange(1))
@click.option("--bits", default=3072, show_default=True, type=click.IntRange(512))
def main(runs: int, bits: int) -> None:
    """Measure errors, coverage and seconds; exit 1 where mean or interval misses its goal."""
    warnings.filterwarnings("ignore", module="diffprivlib")
    facts, rows = machine(), []
    for kind in KINDS:
        for epsilon in EPSILONS:
            for count in ORGANIZATIONS:
                rows += errors(kind, epsilon, count, runs)
    rows += seconds(TIMED, bits)
    ratios = mean_ratios(rows)
    where = max(ratios, key=lambda name: ratios[name])
    rows += [
        Row(name, OURS, "mean error over the curator's", value, "ratio")
        for name, value in ratios.items()
    ]
    covers = [row for row in rows if row.metric.endswith("interval covers")]
    least = min(covers, key=lambda row: row.value)
    write("privacy", rows, facts)
    plot(rows, VAR / "privacy.png")
    show([row for row in rows if row.unit in ("CPU s", "kB")], [], {})
    Console().print(comparison(rows))
    print(
        f"mean: at most {ratios[where]:.3f} times the curator's error ({where}); limit {LIMIT:.3f}"
    )
    print(f"intervals: cover at least {least.value:.3f} ({least.metric}, {least.case})")
    sys.exit(0 if ratios[where] <= LIMIT and least.value >= 0.93 else 1)


if __name__ == "__main__":
    main()
