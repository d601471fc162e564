"""Measuring a workload: what is counted, what is refused."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import pytest

from federated.errors import InvalidInput
from federated.measuring import Method, measure, measure_command, meter_for
from federated.measuring.workload import Command, WorkloadFailed

SPIN = "import time; end = time.process_time() + {s}\nwhile time.process_time() < end: pass"


def python(code: str) -> list[str]:
    return [sys.executable, "-S", "-c", code]


def test_latency_and_throughput_follow_from_the_runs():
    pauses = iter([0.0, 0.02, 0.03, 0.0])  # the first is the warm-up, the last the memory's
    found = measure(lambda: time.sleep(next(pauses)), warmup=1, repeats=2, items=100)
    assert next(pauses, None) is None
    assert 20 <= found.latency_min_ms <= found.latency_ms <= found.latency_max_ms
    assert found.latency_ms == pytest.approx((found.latency_min_ms + found.latency_max_ms) / 2)
    seconds = (found.latency_min_ms + found.latency_max_ms) / 1e3
    assert found.throughput_ops == pytest.approx(200 / seconds)
    assert found.values()["latency_ms"] == found.latency_ms


def test_cpu_seconds_of_children_count():
    spin = repr(SPIN.format(s=0.1))
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-S', '-c', {spin}])"
    found = measure_command(python(child), warmup=0, repeats=1)
    assert found.cpu_s >= 0.1


def test_peak_memory_covers_the_process_tree():
    hold = "x = bytearray(40_000_000); x[::4096] = b'x' * len(x[::4096]); print(1, flush=True); "
    child = hold + "import sys; sys.stdin.read()"
    # The child holds its 40 MB while its parent holds another 40, until the parent closes its pipe.
    parent = (
        "import subprocess, sys, time\n"
        f"p = subprocess.Popen([sys.executable, '-S', '-c', {child!r}],"
        "stdin=subprocess.PIPE, stdout=subprocess.PIPE); p.stdout.readline()\n"
        f"{hold}time.sleep(0.5); p.communicate()"
    )
    assert (Command(python(parent)).peak_memory() or 0) > 80


def test_peak_memory_is_not_that_of_who_measures():
    held = bytearray(200_000_000)
    held[::4096] = b"x" * len(held[::4096])
    assert (Command(python("import time; time.sleep(0.1)")).peak_memory() or 0) < 100


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["/nowhere/at/all"], "cannot be run: No such file"),
        (python("import sys; sys.exit('the model is missing')"), "exit code 1: the model is miss"),
        (python("import os; os.kill(os.getpid(), 9)"), "killed by SIGKILL"),
    ],
)
def test_a_failing_command_is_told_in_its_own_words(arguments: list[str], told: str):
    with pytest.raises(WorkloadFailed, match=told):
        measure_command(arguments, warmup=0, repeats=1)


def test_a_command_that_takes_too_long_is_stopped_with_its_children(tmp_path: Path):
    pid = tmp_path / "pid"
    code = (
        "import subprocess, sys; p = subprocess.Popen([sys.executable, '-S', '-c', "
        f"'import time; time.sleep(600)']); open({str(pid)!r}, 'w').write(str(p.pid)); p.wait()"
    )
    with pytest.raises(WorkloadFailed, match=r"did not end within 0\.5 s"):
        measure_command(python(code), warmup=0, repeats=1, timeout=0.5)
    if pid.exists():
        deadline = time.monotonic() + 30
        while Path(f"/proc/{pid.read_text()}/stat").exists() and time.monotonic() < deadline:
            state = Path(f"/proc/{pid.read_text()}/stat").read_text().rpartition(")")[2].split()[0]
            if state == "Z":
                break
        else:
            assert not Path(f"/proc/{pid.read_text()}").exists()


@pytest.mark.parametrize("wrong", [{"repeats": 0}, {"warmup": -1}, {"items": 0}])
def test_numbers_that_are_none_are_refused(wrong: dict[str, int]):
    with pytest.raises(InvalidInput, match=next(iter(wrong))):
        measure(lambda: None, **wrong)


def test_no_command_is_refused():
    with pytest.raises(InvalidInput, match="after --"):
        measure_command([])


def test_what_a_callable_raises_is_raised():
    with pytest.raises(ZeroDivisionError):
        measure(lambda: 1 / 0, repeats=1)
    assert threading.active_count() < 20


def test_few_runs_are_said_beside_the_percentiles():
    found = measure(lambda: None, warmup=0, repeats=3)
    assert any("p99 of 3 runs" in note for note in found.notes)
    assert any("no warm-up" in note for note in found.notes)


# Energy.


def zone(folder: Path, name: str, microjoules: int) -> Path:
    made = folder / name
    made.mkdir()
    (made / "energy_uj").write_text(str(microjoules))
    (made / "max_energy_range_uj").write_text("10000000")
    return made


def test_rapl_sums_packages_without_their_parts_and_across_a_wrap(tmp_path: Path):
    package = zone(tmp_path, "intel-rapl:0", 9_000_000)
    zone(tmp_path, "intel-rapl:0:0", 1)
    meter = meter_for(powercap=tmp_path)
    assert meter.method is Method.RAPL
    meter.start()
    (package / "energy_uj").write_text("500000")
    assert meter.stop(1.0) == pytest.approx(1.5)


def test_counters_that_cannot_be_read_are_none(tmp_path: Path):
    counter = zone(tmp_path, "intel-rapl:0", 1) / "energy_uj"
    counter.unlink()
    counter.mkdir()  # read as a file, it is an OSError for root too
    assert meter_for(powercap=tmp_path).method is Method.NONE


def test_a_method_that_is_asked_for_must_work(tmp_path: Path):
    with pytest.raises(InvalidInput, match="energy rapl: this machine has no readable counters"):
        meter_for(Method.RAPL, powercap=tmp_path)
    with pytest.raises(InvalidInput, match="watts"):
        meter_for(Method.ESTIMATE)
    with pytest.raises(InvalidInput, match="watts per core"):
        meter_for(watts_per_core=float("nan"), powercap=tmp_path)


def test_an_estimate_is_a_metric_of_its_own(tmp_path: Path):
    meter = meter_for(watts_per_core=10.0, powercap=tmp_path)
    found = measure(lambda: sum(range(10_000)), repeats=1, energy=meter)
    assert found.energy_j == pytest.approx(10 * found.cpu_s)
    assert "energy_j" not in found.values()
    assert found.values()["energy_estimate_j"] == found.energy_j
    assert any("not compared" in note for note in found.notes)


def test_without_a_method_there_is_no_energy(tmp_path: Path):
    found = measure(lambda: None, repeats=1, energy=meter_for(powercap=tmp_path))
    assert found.energy_j is None
    assert not {"energy_j", "energy_estimate_j"} & found.values().keys()
