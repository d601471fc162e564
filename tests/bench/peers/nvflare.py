"""NVFlare: a proof-of-concept deployment, in the clear and with homomorphic encryption."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import psutil

from tests.bench.peers.base import Environment, NotMeasured, Run, last_lines
from tests.bench.processes import Watch, command_name, started
from tests.ports import free_port

ENVIRONMENT = Environment("nvflare", ("nvflare==2.9.0", "tenseal==0.3.18"))
APP = Path(__file__).parent / "nvflare_app"


def run(*, rounds: int, secure: bool, limit: float = 600) -> Run:
    """Train ``rounds`` rounds with 4 clients, in the clear or with HE.

    Raises NotMeasured when the run fails or takes longer than ``limit`` seconds.
    """
    ENVIRONMENT.install()
    folder = ENVIRONMENT.root / "run"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(APP, folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(Path(__file__).parent / "toy.py", folder / "toy.py")
    variables = ENVIRONMENT.variables(NVFLARE_POC_WORKSPACE=str(folder / "poc"), HOME=str(folder))
    log = folder / "job.log"
    command = [ENVIRONMENT.program("python"), "job.py", str(rounds)]
    command += ["he" if secure else "clear", str(folder), str(free_port())]
    with started(command, log, variables, folder) as process, Watch([process.pid], role) as watch:
        try:
            process.wait(limit)
        except subprocess.TimeoutExpired:
            raise NotMeasured(f"no result in time: {last_lines(log)}") from None
    report, marks = folder / "report.json", folder / "site-1.marks"
    if not report.exists() or not marks.exists():
        raise NotMeasured(f"the run failed: {last_lines(log)}")
    noted = tuple(float(line) for line in marks.read_text().split())
    if len(noted) != rounds:
        raise NotMeasured(f"{len(noted)} of {rounds} rounds ran: {last_lines(log)}")
    accuracy = float((folder / "site-1.accuracy").read_text())
    return Run(noted, json.loads(report.read_text())["seconds"], accuracy, watch.peaks)


def role(process: psutil.Process) -> str:
    """Server, client, or the process that either starts for a job."""
    words = " ".join(process.cmdline())
    for part in ("server_train", "client_train", "runner_process", "worker_process"):
        if part in words:
            return part
    return command_name(process)
