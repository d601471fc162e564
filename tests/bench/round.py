"""``python -m tests.bench.round``: a round of this project and of its peers, in one run.

Writes var/bench/round.json. Every system trains with 4 clients; a round's seconds run from one
moment of a round to the same moment of the next, so that start-up and shut-down are not in them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import click
from rich.console import Console

from tests.bench import frame
from tests.bench.frame import Row, spread
from tests.bench.own import median_seconds, own_rows
from tests.bench.peers import flower, nvflare, toy
from tests.bench.peers.base import NotMeasured, Run

# Below this many MiB a process is a shell or a helper of one.
SHELLS = 5
COMPARED = ("seconds a round beyond local training", "seconds end to end")
PEERS: dict[tuple[str, str], Callable[..., Run]] = {
    ("in the clear", "Flower 1.41"): partial(flower.run, secure=False),
    ("SecAgg+", "Flower 1.41"): partial(flower.run, secure=True),
    ("SecAgg+, simulated in one process tree", "Flower 1.41"): partial(
        flower.run, secure=True, simulated=True
    ),
    ("in the clear", "NVFlare 2.9"): partial(nvflare.run, secure=False),
    ("homomorphic encryption", "NVFlare 2.9"): partial(nvflare.run, secure=True),
}


def peer_rows(case: str, system: str, found: Run) -> list[Row]:
    """The rows of one peer's run."""
    local = median_seconds(lambda: toy.step(toy.initial(), 0))
    beyond = [seconds - local for seconds in found.rounds()]
    return [
        *spread(case, system, "seconds a round", found.rounds(), "s"),
        *spread(case, system, "seconds a round beyond local training", beyond, "s"),
        Row(case, system, "seconds end to end", found.seconds, "s"),
        Row(case, system, "rounds", len(found.marks), "count"),
        Row(case, system, "accuracy", found.accuracy, "fraction"),
        *(
            Row(case, system, f"peak memory: {role}", peak, "MiB")
            for role, peak in sorted(found.peaks.items())
            if peak >= SHELLS
        ),
    ]


@click.command()
@click.option("--rounds", default=10, show_default=True, type=click.IntRange(min=2))
@click.option("--seeds", default=20, show_default=True, type=click.IntRange(min=1))
@click.option("--only", type=click.Choice(["own", "auc", "peers"]), multiple=True)
def main(rounds: int, seeds: int, only: tuple[str, ...]) -> None:
    """Measure, write var/bench/round.json, print the table and the ratios."""
    console = Console()
    facts, rows, missing = frame.machine(), [], {}
    parts = only or ("own", "auc", "peers")
    if "own" in parts:
        console.print(f"this project: {rounds} rounds")
        rows += own_rows(rounds)
    if "auc" in parts:
        from tests.bench.auc import auc_rows

        console.print(f"AUC over {seeds} seeds")
        rows += auc_rows(seeds)
    for (case, system), run in PEERS.items() if "peers" in parts else ():
        console.print(f"{system}, {case}: {rounds} rounds")
        try:
            rows += peer_rows(case, system, run(rounds=rounds))
        except NotMeasured as error:
            missing[f"{system}, {case}"] = str(error)
    facts["not_measured"] = missing
    facts["peers"] = [*flower.ENVIRONMENT.pins, *nvflare.ENVIRONMENT.pins]
    path = frame.write("round", rows, facts)
    frame.show(rows, COMPARED, missing, console)
    console.print(f"Written: {path}")


if __name__ == "__main__":
    main()
