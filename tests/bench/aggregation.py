"""``python -m tests.bench.aggregation``: encrypting, adding and decrypting vectors, on one core.

Writes var/bench/aggregation.json and a plot beside it: this project's aggregators, their peers in
virtual environments of their own, and one AES-CTR mask as the floor.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import click
import numpy as np
from rich.console import Console

from federated.crypto import threshold
from tests.bench import frame
from tests.bench.aggregation_memory import memory_rows
from tests.bench.aggregation_own import (
    floor_rows,
    masked_rows,
    packed_rows,
    per_parameter,
    phe_rows,
    summing_rows,
)
from tests.bench.frame import OURS, VAR, Row
from tests.bench.peers import flower, nvflare
from tests.bench.peers.base import Environment, NotMeasured
from tests.bench.sums import METRIC, celery_rows

SCRIPTS = Path(__file__).parent / "peers/aggregation"
HEU = Environment("heu", ("sf-heu==0.5.2b0",))
# TenSEAL is installed with NVFlare, which uses it.
PEERS = {
    "TenSEAL 0.3.18": (nvflare.ENVIRONMENT, "tenseal_ckks.py"),
    "Flower 1.41": (flower.ENVIRONMENT, "flower_secagg.py"),
    "HEU 0.5.2": (HEU, "heu_ou.py"),
}
COMPARED = ("encrypt", "add a site", "decrypt", "wire", "sum stored vectors", METRIC)
LIMIT = 900


def peer_rows(system: str, environment: Environment, script: str, params: int) -> list[Row]:
    """What a peer's script prints. Raises NotMeasured with its last line where it fails."""
    environment.install()
    command = [environment.program("python"), str(SCRIPTS / script), str(params)]
    try:
        done = subprocess.run(
            command,
            env=environment.variables(),
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT,
        )
    except subprocess.TimeoutExpired as error:
        raise NotMeasured(f"took more than {LIMIT} s") from error
    if done.returncode:
        raise NotMeasured((done.stderr.strip().splitlines() or ["no output"])[-1])
    rows: list[Row] = []
    for found in json.loads(done.stdout.strip().splitlines()[-1]):
        case, metric, count = found["case"], found["metric"], found["params"]
        if metric == "wire":
            size = found["bytes"] / count
            rows.append(Row(case, system, metric, size, "bytes/parameter"))
        else:
            rows += per_parameter(case, system, metric, found["seconds"], count)
    return rows


def plot(rows: list[Row], path: Path) -> None:
    """Encryption and decryption a parameter, and bytes on the wire, on logarithmic axes."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(18, 5), layout="constrained")
    figure.get_layout_engine().set(wspace=0.08)
    for axis, metric in zip(axes, ("encrypt", "decrypt", "wire"), strict=True):
        found = sorted((r for r in rows if r.metric == metric), key=lambda row: -row.value)
        names = [f"{row.system}\n{row.case}" for row in found]
        colors = ["#2563eb" if row.system == OURS else "#94a3b8" for row in found]
        bars = axis.barh(names, [row.value for row in found], color=colors)
        axis.bar_label(bars, fmt="%.3g", padding=3, fontsize=8)
        axis.set_xscale("log")
        axis.margins(x=0.25)
        axis.tick_params(axis="y", labelsize=7)
        axis.set_title(f"{metric} ({found[0].unit})")
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


@click.command()
@click.option("--params", default=1_000_000, show_default=True, type=click.IntRange(min=1000))
@click.option("--bits", default=3072, show_default=True, type=click.IntRange(min=1024))
@click.option("--own-only", is_flag=True, help="leave the peers out")
def main(params: int, bits: int, own_only: bool) -> None:
    """Measure, write var/bench/aggregation.json and .png, print the table and the ratios."""
    console = Console()
    facts, missing = frame.machine(), {}
    # One core for everything, and for every process started from here.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    facts["affinity"] = 1
    console.print(f"dealing a 3-of-4 key of {bits} bits")
    dealt = threshold.deal(bits=bits, threshold=3, trustees=4, max_colluding=1)
    values = np.random.default_rng(1).uniform(-1, 1, params).astype(np.float32)
    rows: list[Row] = []
    for name, measure in {
        "masked": lambda: masked_rows(dealt, values),
        "packed": lambda: packed_rows(dealt, values),
        "floor": lambda: floor_rows(values),
        "sums": lambda: summing_rows(params),
        "sums over workers": lambda: celery_rows(params),
        "memory": lambda: memory_rows(dealt.public_key.n, params),
        "phe": lambda: phe_rows(bits),
    }.items():
        console.print(f"measuring {name}")
        rows += measure()
    for system, (environment, script) in ({} if own_only else PEERS).items():
        console.print(f"measuring {system}")
        try:
            rows += peer_rows(system, environment, script, params)
            facts.setdefault("peers", {})[system] = list(environment.pins)
        except NotMeasured as reason:
            missing[system] = str(reason)
    facts["not_measured"] = missing
    console.print(f"wrote {frame.write('aggregation', rows, facts)}")
    plot(rows, VAR / "aggregation.png")
    frame.show(rows, COMPARED, missing, console)


if __name__ == "__main__":
    main()
