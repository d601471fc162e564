"""This project's own round: its portal, four site agents, a dealt key and a job of R rounds.

It is the demonstration's setting, started in a state directory of its own on a free port.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import django
import numpy as np
import psutil

from federated.wire.job import JobSpec
from portal.config import Config
from portal.demo import consortium
from portal.demo.hospitals import encoded, hospitals
from portal.demo.stage import Stage
from portal.demo.story import Story
from tests.bench.frame import OURS, VAR, Row, spread
from tests.bench.processes import Watch, command_name
from tests.ports import free_port

CASE = "encrypted, proven, epsilon 1"
REPEATS = 20


@dataclass(frozen=True)
class OwnRun:
    """``rounds``: seconds between starts of successive rounds. ``phases``: seconds by phase, a
    list over rounds. ``seconds``: end to end. ``job``: seconds from proposal to every model.
    ``local``: seconds of the slowest site's local training in one round. ``peaks``: MiB by role.
    """

    rounds: list[float]
    phases: dict[str, list[float]]
    seconds: float
    job: float
    local: float
    peaks: dict[str, float]


def own_rows(rounds: int) -> list[Row]:
    """Run the job and make its rows. Raises StepFailed, with the log's place, when it fails."""
    found = measure(rounds)
    beyond = [seconds - found.local for seconds in found.attempts]
    rows = spread(CASE, OURS, "seconds a round", found.attempts, "s")
    rows += spread(CASE, OURS, "seconds a round beyond local training", beyond, "s")
    for phase, values in found.phases.items():
        rows += spread(CASE, OURS, f"seconds {phase}", values, "s")
    rows.append(Row(CASE, OURS, "seconds of local training", found.local, "s"))
    rows.append(Row(CASE, OURS, "seconds from proposal to model", found.job, "s"))
    rows.append(Row(CASE, OURS, "seconds end to end", found.seconds, "s"))
    rows.append(Row(CASE, OURS, "rounds", rounds, "count"))
    rows += [
        Row(CASE, OURS, f"peak memory: {role}", peak, "MiB")
        for role, peak in sorted(found.peaks.items())
    ]
    return rows


def measure(rounds: int) -> OwnRun:
    """Start everything, train, read the rounds' times, stop everything."""
    folder = VAR / "own"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    address = f"127.0.0.1:{free_port()}"
    sections: dict[str, Any] = {"consortium": "heart.bench", "bind_address": address}
    config = Config.load(None, folder / "state", coordinator=sections)
    story, cast = Story(), hospitals()
    names = [hospital.slug for hospital in cast]
    begun = time.monotonic()
    with playing(Stage(folder, config)) as stage:
        with story.step("Start the portal") as step:
            stage.portal_start()
            step.detail = config.url
        consortium.join(story, stage, cast)
        consortium.key(story, stage, names)
        os.environ.update(config.environment("owner"))
        django.setup()
        logging.getLogger("httpx").setLevel(logging.WARNING)
        from portal.demo.training import train

        with Watch(_pids(stage), role) as watch:
            proposed = time.monotonic()
            _, spec, _ = train(story, stage, rounds, names)
            ended = time.monotonic()
        starts, phases = _rounds(spec.job_id)
    return OwnRun(
        rounds=[later - start for start, later in pairwise(starts)],
        phases=phases,
        seconds=ended - begun,
        job=ended - proposed,
        local=_local_training(spec),
        peaks=watch.peaks,
    )


@contextlib.contextmanager
def playing(stage: Stage) -> Iterator[Stage]:
    """A stage that is stopped whole, however the measurement ends."""
    try:
        yield stage
    finally:
        stage.stop()


def _pids(stage: Stage) -> list[int]:
    portal = [stage.portal.pid] if stage.portal is not None else []
    return portal + [process.pid for process in stage.agents.values()]


def _rounds(job_id: str) -> tuple[list[float], dict[str, list[float]]]:
    """When each released round opened, and the seconds of its phases, in order.

    The phase "releasing" runs from a release to the next round's opening.
    """
    from django.db import connections

    from apps.attempts.models import Attempt

    found = list(
        Attempt.objects.filter(agreement_id=job_id, state=Attempt.State.RELEASED).order_by("number")
    )
    phases: dict[str, list[float]] = {}
    for entry in found:
        for phase, seconds in entry.phase_seconds.items():
            phases.setdefault(phase, []).append(seconds)
    for entry, later in pairwise(found):
        gap = (later.opened_at - entry.released_at).total_seconds()
        phases.setdefault("releasing", []).append(gap)
    connections.close_all()
    return [entry.opened_at.timestamp() for entry in found], phases


def _local_training(spec: JobSpec) -> float:
    """Median seconds of the slowest site's bounded gradient sum, measured in this process.

    The sites train at the same time, so that a round waits for the slowest of them.
    """
    from federated.training.local import bounded_update

    parameters = np.zeros(spec.model.parameters)

    def once(rows: Any) -> Callable[[], object]:
        return lambda: bounded_update(spec, parameters, rows, order="")

    return max(median_seconds(once(encoded(hospital.train))) for hospital in hospitals())


def median_seconds(work: Callable[[], object], repeats: int = REPEATS) -> float:
    """Median wall seconds of ``work``, after one call that is not counted."""
    work()
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def role(process: psutil.Process) -> str:
    """The service that a process of this project belongs to."""
    words = " ".join(process.cmdline())
    for part, name in ROLES.items():
        if part in words:
            return name
    return Path(command_name(process)).name


ROLES = {
    "federated.command.main agent": "site agent",
    "gunicorn": "web (gunicorn)",
    "celery": "worker (celery)",
    "postgres": "PostgreSQL",
    "valkey": "Valkey",
    "portal.chain": "chain",
    "portal.up": "supervisor",
}
