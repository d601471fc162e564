"""Peak memory of a masked contribution and of a sum, each measured in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from federated.aggregation import MaskedAggregator
from federated.crypto.masking import MaskLayout
from federated.crypto.paillier import PublicKey
from tests.bench.aggregation_own import CLAMP, CONTEXT, SIGMA, SITES, pieces, quantized
from tests.bench.frame import OURS, Row

ROOT = Path(__file__).resolve().parents[2]
# The kernel's word for "set VmHWM back to what is resident now" (proc(5), clear_refs).
RESET_PEAK = "5"


def peak_kib() -> int:
    """VmHWM of this process."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


def site(n: int, params: int) -> float:
    """Peak bytes beyond an idle process, vector included, over the bytes of the float32 vector."""
    layout = MaskLayout(contributors=SITES, clamp=CLAMP, sigma=SIGMA)

    def contribute(values: np.ndarray) -> None:
        aggregator = MaskedAggregator(PublicKey(n), layout, len(values))
        with tempfile.TemporaryFile() as file:
            aggregator.encrypt(
                quantized(values, CLAMP, SIGMA),
                context=CONTEXT,
                organization="northwind",
                sink=file.write,
            )

    contribute(np.zeros(10, dtype=np.float32))  # imports and tables, which any site has
    Path("/proc/self/clear_refs").write_text(RESET_PEAK)
    before = peak_kib()
    values = np.random.default_rng(1).uniform(-1, 1, params).astype(np.float32)
    Path("/proc/self/clear_refs").write_text(RESET_PEAK)
    contribute(values)
    return (peak_kib() - before) * 1024 / values.nbytes


def total(sites: int, params: int) -> float:
    """Peak MiB that a running sum of ``sites`` vectors adds to an idle process."""
    layout = MaskLayout(contributors=sites, clamp=CLAMP, sigma=SIGMA)
    with tempfile.NamedTemporaryFile() as file:
        file.write(bytes(8 * layout.words(params)))
        file.flush()
        Path("/proc/self/clear_refs").write_text(RESET_PEAK)
        before = peak_kib()
        aggregator = MaskedAggregator(PublicKey((1 << 1023) + 1), layout, params)
        running = aggregator.total()
        for _ in range(sites):
            running.add(pieces(Path(file.name)), None)
        return (peak_kib() - before) / 1024


def memory_rows(n: int, params: int) -> list[Row]:
    """A site at ``params`` and ten times as many; a coordinator at 10 and at 100 sites."""
    rows = []
    for count in (params, 10 * params):
        case = f"masked, 26 bits, {count:,} parameters"
        value = _measured("site", n, count)
        rows.append(Row(case, OURS, "a site's peak memory", value, "float32 vectors"))
    for sites in (10, 100):
        value = _measured("total", sites, params)
        case = f"masked, 26 bits, {sites} sites"
        rows.append(Row(case, OURS, "the sum's peak memory", value, "MiB"))
    return rows


def _measured(name: str, *arguments: int) -> float:
    command = [sys.executable, "-m", "tests.bench.aggregation_memory", name]
    # A modulus is too long for a decimal argument's limits: hexadecimal.
    done = subprocess.run(
        [*command, *(f"{argument:x}" for argument in arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(json.loads(done.stdout))


if __name__ == "__main__":
    measure = {"site": site, "total": total}[sys.argv[1]]
    print(json.dumps(measure(*(int(argument, 16) for argument in sys.argv[2:]))))
