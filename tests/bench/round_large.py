"""``python -m tests.bench.round_large``: a whole round at a million parameters, beside Flower's.

Writes var/bench/round_large.json. Four site processes train a two-layer network on a few rows
each, so that a round's seconds are the system's own; the sites' local training is measured alone
and taken off. Flower's SecAgg+ moves a vector of the same length between four clients.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import django
import numpy as np
import pandas as pd
import yaml
from rich.console import Console

from federated import FederatedClient, PrivacyConfig
from federated.site.local_data import read
from federated.wire.base import Signed
from federated.wire.job import ActivationLayer as Activation
from federated.wire.job import JobSpec, LinearLayer, ModelSpec
from portal.config import Config
from portal.demo.consortium import key
from portal.demo.stage import Stage, wait_for
from portal.demo.story import Story
from tests.bench import frame
from tests.bench.frame import OURS, VAR, Row, spread
from tests.bench.own import _pids, _rounds, median_seconds, playing, role
from tests.bench.peers import flower
from tests.bench.peers.base import NotMeasured
from tests.bench.processes import Watch
from tests.ports import free_port

CASE = "encrypted, proven, epsilon 1"
BEYOND = "seconds a round beyond local training"
SITES = ("lakeside", "northwind", "summit", "westbrook")
ROWS, COLUMNS = 16, 24
JOB_SECONDS = 900
ENDED = ("finished", "failed", "declined", "cancelled")


def model(parameters: int) -> ModelSpec:
    """A network of two hidden layers with about that many parameters."""
    first = round(parameters**0.5)
    second = max(1, (parameters - first * (COLUMNS + 1)) // (first + 2))
    sizes = (COLUMNS, first, second, 1)
    layers: list[LinearLayer | Activation] = []
    for inputs, outputs in pairwise(sizes):
        layers += [LinearLayer(in_features=inputs, out_features=outputs), Activation(kind="relu")]
    return ModelSpec(layers=tuple(layers[:-1]))


def site_make(stage: Stage, name: str) -> None:
    stage.manage("organization_create", name)
    token = stage.manage("join_token", name).strip()
    home = stage.home(name)
    arguments = ("join", stage.config.url, "--token-file", "-", "--home", str(home))
    stage.federated(*arguments, text=token)
    rng = np.random.default_rng(SITES.index(name))
    table = pd.DataFrame(rng.uniform(-1, 1, (ROWS, COLUMNS)), columns=columns())
    table["y"] = (table["x0"] > 0).astype(int)
    table.to_csv(home / "rows.csv", index=False)
    policy = {
        "approve": "auto",
        "allotment": {"epsilon": 20.0, "delta": 1e-4},
        "datasets": {"ward": {"path": "rows.csv"}},
    }
    (home / "policy.yaml").write_text(yaml.safe_dump(policy))
    stage.agent_start(name)


def columns() -> list[str]:
    return [f"x{number}" for number in range(COLUMNS)]


def train(stage: Stage, spec: ModelSpec, rounds: int) -> JobSpec:
    """Propose a job and wait for its end; the spec that was approved."""
    home = stage.home("northwind")
    with FederatedClient(
        tenant_id="northwind",
        coordinator_url=stage.config.url,
        credentials=str(home / "site.pem"),
        progress=False,
    ) as client:
        job_id = client.submit_training(
            model=spec,
            local_data=str(home / "rows.csv"),
            epochs=rounds,
            features={name: (-1.0, 1.0) for name in columns()},
            target={"name": "y", "positive_above": 0.5},
            dataset="ward",
            nominal_records=ROWS * len(SITES),
            max_records=ROWS,
            privacy=PrivacyConfig(epsilon=1.0, delta=1e-5, units=1024),
        )

        def ended() -> dict[str, Any] | None:
            found = client.api.job(job_id)
            return found if found["state"] in ENDED else None

        job = wait_for(ended, seconds=JOB_SECONDS, what="the job", pause=0.5)
        if job["state"] != "finished":
            raise SystemExit(f"the job is {job['state']}: {job['reason']}")
        body = Signed[JobSpec].parse(job["spec"]).body
        client.receive_update(job_id, timeout=120)
        return body


def own_rows(parameters: int, rounds: int) -> list[Row]:
    folder = VAR / "own_large"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    address = f"127.0.0.1:{free_port()}"
    sections: dict[str, Any] = {"consortium": "large.bench", "bind_address": address}
    config = Config.load(None, folder / "state", coordinator=sections)
    with playing(Stage(folder, config)) as stage:
        stage.portal_start()
        for name in SITES:
            site_make(stage, name)
        key(Story(), stage, SITES)
        os.environ.update(config.environment("owner"))
        django.setup()
        logging.getLogger("httpx").setLevel(logging.WARNING)
        with Watch(_pids(stage), role) as watch:
            begun = time.monotonic()
            spec = train(stage, model(parameters), rounds)
            seconds = time.monotonic() - begun
        starts, phases = _rounds(spec.job_id)
        local = local_seconds(spec, stage.home(SITES[0]) / "rows.csv")
    taken = [later - start for start, later in pairwise(starts)]
    rows = spread(CASE, OURS, "seconds a round", taken, "s")
    rows += spread(CASE, OURS, BEYOND, [value - local for value in taken], "s")
    for phase, values in phases.items():
        rows += spread(CASE, OURS, f"seconds {phase}", values, "s")
    return [
        *rows,
        Row(CASE, OURS, "seconds of local training", local, "s"),
        Row(CASE, OURS, "seconds from proposal to model", seconds, "s"),
        Row(CASE, OURS, "parameters", spec.model.parameters, "count"),
        *(
            Row(CASE, OURS, f"peak memory: {name}", peak, "MiB")
            for name, peak in sorted(watch.peaks.items())
        ),
    ]


def local_seconds(spec: JobSpec, path: Path) -> float:
    """Median seconds of one site's bounded gradient sum, with the cores to itself."""
    from federated.training.local import bounded_update
    from federated.training.network import initial_parameters

    parameters, dataset = initial_parameters(spec.model), read(path, spec.data)
    return median_seconds(lambda: bounded_update(spec, parameters, dataset, order=""), repeats=3)


def flower_rows(parameters: int, rounds: int) -> list[Row]:
    found = flower.run(rounds=rounds, secure=True, parameters=parameters)
    return [
        *spread("SecAgg+", "Flower 1.41", "seconds a round", found.rounds(), "s"),
        *spread("SecAgg+", "Flower 1.41", BEYOND, found.rounds(), "s"),
        *(
            Row("SecAgg+", "Flower 1.41", f"peak memory: {name}", peak, "MiB")
            for name, peak in sorted(found.peaks.items())
        ),
    ]


@click.command()
@click.option("--parameters", default=1_000_000, show_default=True, type=click.IntRange(min=10_000))
@click.option("--rounds", default=4, show_default=True, type=click.IntRange(min=2))
@click.option("--own-only", is_flag=True, help="leave the peer out")
def main(parameters: int, rounds: int, own_only: bool) -> None:
    """Measure, write var/bench/round_large.json, print the table and the ratios."""
    console = Console()
    facts, missing = frame.machine(), {}
    console.print(f"this project: {rounds} rounds of {parameters:,} parameters")
    rows = own_rows(parameters, rounds)
    if not own_only:
        console.print(f"Flower, SecAgg+: {rounds} rounds")
        try:
            rows += flower_rows(parameters, rounds)
        except NotMeasured as reason:
            missing["Flower 1.41, SecAgg+"] = str(reason)
    facts["not_measured"] = missing
    facts["peers"] = list(flower.ENVIRONMENT.pins)
    console.print(f"wrote {frame.write('round_large', rows, facts)}")
    frame.show(rows, (BEYOND,), missing, console)


if __name__ == "__main__":
    main()
