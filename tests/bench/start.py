"""How long the ``federated`` command takes to start, beside what any such command imports.

``python -m tests.bench.start``: medians over rounds that take turns, JSON in var/bench.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from tests.bench import frame

ROUNDS = 15
FLOOR = "python -c 'import click, httpx, pydantic'"
SCRIPT = str(Path(sys.executable).with_name("federated"))
PROGRAMS = {
    FLOOR: [sys.executable, "-c", "import click, httpx, pydantic"],
    "federated --help": [SCRIPT, "--help"],
    "federated verify --help": [SCRIPT, "verify", "--help"],
}
ALLOWED = 3.0
"""Times the imports of FLOOR."""


def once(arguments: list[str]) -> float:
    """Seconds of one process, from its start to its end."""
    started = time.perf_counter()
    subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    facts = frame.machine()
    spent: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    for arguments in PROGRAMS.values():
        once(arguments)  # files into memory
    for _ in range(ROUNDS):
        for name, arguments in PROGRAMS.items():
            spent[name].append(once(arguments))
    rows: list[frame.Row] = []
    for name, seconds in spent.items():
        system = "imports" if name == FLOOR else frame.OURS
        rows += frame.spread(name, system, "start", [1e3 * each for each in seconds], "ms")
    medians = {row.case: row.value for row in rows if row.metric == "start"}
    rows += [
        frame.Row(name, frame.OURS, "start / imports", value / medians[FLOOR], "times")
        for name, value in medians.items()
        if name != FLOOR
    ]
    frame.show(rows, (), {})
    print(frame.write("start", rows, facts))
    slow = [row for row in rows if row.unit == "times" and row.value > ALLOWED]
    sys.exit(1 if slow else 0)


if __name__ == "__main__":
    main()
