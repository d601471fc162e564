"""What every benchmark shares: rows, the machine's facts, the file they go to, the printed table.

A result file is ``{"machine": {...}, "rows": [{"case", "system", "metric", "value", "unit"}]}``.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

VAR = Path(__file__).resolve().parents[2] / "var/bench"
OURS = "federated-simulation-cloud"
PACKAGES = ("Django", "celery", "cryptography", "gmpy2", "gunicorn", "numpy", "phe", "torch")


@dataclass(frozen=True)
class Row:
    """One measured number: which case, of which system, what of it, and its unit."""

    case: str
    system: str
    metric: str
    value: float
    unit: str


def spread(case: str, system: str, metric: str, values: Sequence[float], unit: str) -> list[Row]:
    """The median over repeats under ``metric``; its minimum and maximum as rows of their own."""
    if not values:
        raise ValueError(f"{case}, {system}: {metric} has no measured value")
    return [
        Row(case, system, metric, statistics.median(values), unit),
        Row(case, system, f"{metric} (min)", min(values), unit),
        Row(case, system, f"{metric} (max)", max(values), unit),
    ]


def machine() -> dict[str, object]:
    """The facts without which no number means anything.

    ``load`` is the 1-minute load average before the run: above 0 the machine was not idle.
    """
    memory = psutil.virtual_memory()
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory.total / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "load": round(os.getloadavg()[0], 2),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "not_measured": {},
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.machine())


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def write(name: str, rows: Iterable[Row], facts: Mapping[str, object], folder: Path = VAR) -> Path:
    """Write ``folder/name.json``, whole or not at all, and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    content = {"machine": dict(facts), "rows": [asdict(row) for row in rows]}
    draft = path.with_suffix(".json.part")
    draft.write_text(json.dumps(content, indent=1) + "\n")
    draft.replace(path)
    return path


@dataclass(frozen=True)
class Ratio:
    """A peer's number over this project's for one metric: above 1, the peer's is larger."""

    metric: str
    ours: Row
    peer: Row

    @property
    def value(self) -> float | None:
        return self.peer.value / self.ours.value if self.ours.value else None


def ratios(rows: Sequence[Row], metrics: Iterable[str]) -> list[Ratio]:
    """Every peer's row of these metrics over each row of this project's with the same unit."""
    found = []
    for metric in metrics:
        same = [row for row in rows if row.metric == metric]
        ours = [row for row in same if row.system == OURS]
        peers = [row for row in same if row.system != OURS]
        found += [Ratio(metric, o, p) for o in ours for p in peers if o.unit == p.unit]
    return found


def _table(rows: Sequence[Row]) -> Table:
    """All rows, one line a metric: a minimum and maximum stand beside their median."""
    known = {(row.case, row.system, row.metric): row.value for row in rows}
    table = Table("metric", "value", "unit", "min to max", title="Measured")
    block = None
    for row in rows:
        if row.metric.endswith(("(min)", "(max)")):
            continue
        if (row.system, row.case) != block:
            block = (row.system, row.case)
            table.add_section()
            table.add_row(f"[bold]{row.system}[/]: {row.case}")
        ends = [
            known.get((row.case, row.system, f"{row.metric} ({end})")) for end in ("min", "max")
        ]
        reach = " to ".join(f"{end:.4g}" for end in ends if end is not None)
        table.add_row(row.metric, f"{row.value:.4g}", row.unit, reach)
    return table


def show(
    rows: Sequence[Row],
    metrics: Iterable[str],
    not_measured: Mapping[str, str],
    console: Console | None = None,
) -> None:
    """Print all rows, then each peer against this project, then what was not measured and why."""
    console = console or Console()
    console.print(_table(rows))
    compared = ratios(rows, metrics)
    if compared:
        table = Table("metric", "peer", "this project", "peer / this project", title="Ratios")
        for ratio in compared:
            value = "-" if ratio.value is None else f"{ratio.value:.2f}"
            peer = f"{ratio.peer.system}, {ratio.peer.case}: {ratio.peer.value:.3g}"
            ours = f"{ratio.ours.case}: {ratio.ours.value:.3g} {ratio.ours.unit}"
            table.add_row(ratio.metric, peer, ours, value)
        console.print(table)
    for system, reason in not_measured.items():
        console.print(f"not measured: {system}: {reason}", markup=False)
