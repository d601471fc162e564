"""Flower: the deployment runtime (a SuperLink, four SuperNodes) and the simulation runtime.

In the deployment runtime every message starts a ClientApp process at its SuperNode, as Flower
does by default; transport is plain HTTP on loopback (``--insecure``).
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import time
from pathlib import Path

from tests.bench.peers.base import CLIENTS, Environment, NotMeasured, Run, last_lines
from tests.bench.processes import Watch, started
from tests.ports import free_port

ENVIRONMENT = Environment("flower", ("flwr[simulation]==1.41.0",))
APP = Path(__file__).parent / "flower_app"
PARAMETERS = 25


def run(
    *,
    rounds: int,
    secure: bool,
    simulated: bool = False,
    parameters: int = PARAMETERS,
    limit: float = 600,
) -> Run:
    """Train ``rounds`` rounds with 4 clients, in the clear or under SecAgg+.

    Raises NotMeasured when the run fails or takes longer than ``limit`` seconds.
    """
    ENVIRONMENT.install()
    folder = _folder(ENVIRONMENT.root / "run")
    report = folder / "report.json"
    port, *ports = [free_port() for _ in range(1 + CLIENTS)]
    federation = f'[superlink.bench]\naddress = "127.0.0.1:{port}"\ninsecure = true\n'
    (folder / "config.toml").write_text(f'[superlink]\ndefault = "bench"\n\n{federation}')
    variables = ENVIRONMENT.variables(FLWR_HOME=str(folder))
    begun = time.monotonic()
    with contextlib.ExitStack() as stack:
        watch = stack.enter_context(Watch())

        def start(name: str, *arguments: str) -> None:
            command = [ENVIRONMENT.program(name), *arguments]
            log = folder / f"{name}.log"
            watch.add(stack.enter_context(started(command, log, variables, folder)).pid)

        kind = ["--simulation"] if simulated else []
        start(
            "flower-superlink",
            *["--insecure", "--host", "127.0.0.1", "--port", str(port)],
            *["--disable-runtime-dependency-installation", *kind],
        )
        for client in range(0 if simulated else CLIENTS):
            start(
                "flower-supernode",
                *["--insecure", "--superlink", f"127.0.0.1:{port}", "--host", "127.0.0.1"],
                *["--port", str(ports[client])],
                *["--node-config", f"partition-id={client} num-partitions={CLIENTS}"],
            )
        config = f"rounds={rounds} clients={CLIENTS} secure={str(secure).lower()}"
        config += f" parameters={parameters} report='{report}'"
        _submit(folder, variables, config, simulated=simulated)
        _wait_for(report, folder, begun + limit)
        seconds = time.monotonic() - begun
    found = json.loads(report.read_text())
    return Run(tuple(found["marks"]), seconds, found["accuracy"], watch.peaks)


def _folder(folder: Path) -> Path:
    """A fresh folder with the app and the toy task beside it."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(APP, folder / "app", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(Path(__file__).parent / "toy.py", folder / "app/toyapp/toy.py")
    return folder


def _submit(folder: Path, variables: dict[str, str], config: str, *, simulated: bool) -> None:
    """Hand the app to the SuperLink, again while it is not listening yet."""
    command = [ENVIRONMENT.program("flwr"), "run", "app", "bench", "--run-config", config]
    if simulated:
        command += ["--federation-config", f"num-supernodes={CLIENTS}"]
    until = time.monotonic() + 60
    while True:
        done = subprocess.run(
            command, cwd=folder, env=variables, capture_output=True, text=True, check=False
        )
        (folder / "flwr.log").write_text(done.stdout + done.stderr)
        if done.returncode == 0:
            return
        if time.monotonic() > until:
            raise NotMeasured(f"flwr run failed: {last_lines(folder / 'flwr.log')}")
        time.sleep(0.5)


def _wait_for(report: Path, folder: Path, until: float) -> None:
    log = folder / "flower-superlink.log"
    while not report.exists() or not report.read_text().endswith("}"):
        if time.monotonic() > until:
            raise NotMeasured(f"no result in time: {last_lines(log)}")
        if "Traceback" in log.read_text(errors="replace"):
            raise NotMeasured(f"the run failed: {last_lines(log)}")
        time.sleep(0.1)
