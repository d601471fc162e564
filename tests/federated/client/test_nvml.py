"""GPUs' energy counters, read through a library that stands in for NVIDIA's."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from federated.errors import InvalidInput
from federated.measuring import Method, measure, meter_for

# Signatures of the NVML API reference; each GPU's counter is a line of a file, in millijoules.
SOURCE = r"""
#include <stdio.h>
#define FILE_NAME "@"
static int line(unsigned wanted, unsigned long long *value) {
    FILE *file = fopen(FILE_NAME, "r");
    if (!file) return 999;
    unsigned at = 0;
    while (fscanf(file, "%llu", value) == 1)
        if (at++ == wanted) { fclose(file); return 0; }
    fclose(file);
    return 3;
}
int nvmlInit_v2(void) { return 0; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) {
    *device = (void *)(0x7f0000000000 + index);  /* a pointer of 64 bits */
    return 0;
}
int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *energy) {
    return line((unsigned)((unsigned long)device - 0x7f0000000000), energy);
}
"""


@pytest.fixture
def driver(tmp_path: Path) -> tuple[str, Path]:
    """The library's path, and the file with its two counters."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    counters = tmp_path / "counters"
    counters.write_text("1000 5000000000000")
    source = tmp_path / "nvml.c"
    source.write_text(SOURCE.replace("@", str(counters)))
    library = tmp_path / "libnvidia-ml.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    return str(library), counters


def test_joules_of_all_gpus_between_start_and_stop(driver: tuple[str, Path], tmp_path: Path):
    library, counters = driver
    meter = meter_for(powercap=tmp_path, nvml=library)
    assert meter.method is Method.NVML
    meter.start()
    counters.write_text("3500 5000000001250")
    assert meter.stop(1.0) == pytest.approx(2.5 + 1.25)
    found = measure(lambda: None, repeats=1, energy=meter)
    assert found.values()["energy_j"] == 0.0


def test_a_gpu_without_a_counter_leaves_no_sum(driver: tuple[str, Path], tmp_path: Path):
    library, counters = driver
    counters.write_text("1000")
    assert meter_for(powercap=tmp_path, nvml=library).method is Method.NONE
    with pytest.raises(InvalidInput, match="energy nvml: this machine has no GPU in"):
        meter_for(Method.NVML, powercap=tmp_path, nvml=library)


def test_without_a_driver_there_is_none(tmp_path: Path):
    assert meter_for(powercap=tmp_path, nvml="libnvidia-ml-absent.so").method is Method.NONE
