"""Started processes are watched with their orphans, and none outlives its measurement."""

from __future__ import annotations

import os
import sys
import time

import psutil
import pytest

from tests.bench.peers.base import Environment, NotMeasured, Run
from tests.bench.processes import Watch, family, peak_mib, started
from tests.patience import patient
from tests.ports import free_port

# Ends at once, and leaves a sleeper behind in its session.
LEAVES_AN_ORPHAN = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
print("orphan", child.pid, "left", flush=True)
"""


def wait_until(condition):
    until = time.monotonic() + patient(20)
    while not condition():
        assert time.monotonic() < until, "the condition did not come true"
        time.sleep(0.02)


def test_family_holds_a_session_and_its_orphans_until_it_is_ended(tmp_path):
    log = tmp_path / "log"
    with started([sys.executable, "-c", LEAVES_AN_ORPHAN], log, os.environ) as process:
        wait_until(lambda: "left" in log.read_text())
        orphan = int(log.read_text().split("orphan ")[1].split()[0])
        wait_until(lambda: process.poll() is not None)
        assert orphan in family([process.pid])
        assert os.getpid() not in family([process.pid])
    wait_until(lambda: not psutil.pid_exists(orphan) or is_zombie(orphan))


def is_zombie(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_watch_sees_a_processs_peak_by_its_role(tmp_path):
    log = tmp_path / "log"
    script = "held = bytearray(96 << 20); del held; print('held', flush=True)\n"
    script += "import signal; signal.pause()"
    command = [sys.executable, "-c", script]
    with (
        started(command, log, os.environ) as process,
        Watch([process.pid], lambda _: "holder", pause=0.01) as watch,
    ):
        wait_until(lambda: "held" in log.read_text())
        wait_until(lambda: watch.peaks.get("holder", 0) >= 96)
        assert peak_mib(process.pid) >= 96
    assert set(watch.peaks) == {"holder"}


def test_peak_of_a_process_that_has_gone_is_zero():
    assert peak_mib(2**22 + 1) == 0.0


def test_free_ports_differ():
    assert len({free_port() for _ in range(5)}) == 5


def test_rounds_are_the_times_between_marks():
    assert Run(marks=(10.0, 12.5, 13.0), seconds=20.0, accuracy=1.0).rounds() == [2.5, 0.5]


def test_peer_that_cannot_be_installed_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.bench.peers.base.HOME", tmp_path)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    environment = Environment("absent", ("federated-peer-that-is-not-there==1.0",))
    with pytest.raises(NotMeasured, match="cannot be installed: .*peer-that-is-not-there"):
        environment.install()
    assert not (tmp_path / "absent/installed.json").exists()
