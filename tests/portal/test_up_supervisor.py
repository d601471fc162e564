"""`python -m portal.up` as a person meets it: refusals, restarts, an end that leaves nothing."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from portal.up.service import wait_until
from portal.up.state_version import VERSION, VERSION_FILE
from tests.patience import patient
from tests.portal.processes import answers, processes_of, up
from tests.ports import free_port

pytestmark = pytest.mark.slow

SERVICES = ("postgres", "valkey", "chain", "web", "worker", "beat")


@dataclass
class Running:
    state: Path
    port: int
    process: subprocess.Popen[str]

    def pid(self, service: str) -> int:
        return int(json.loads((self.state / "run" / f"{service}.json").read_text())["pid"])

    def living(self, service: str) -> psutil.Process:
        """The service's process: another one's end may have taken it along, so wait for it."""
        found: list[psutil.Process] = []

        def is_found() -> bool:
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(self.pid(service))
                if process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            return bool(found)

        assert wait_until(is_found, patient(30)), f"{service} was not started again"
        return found[-1]

    def is_announced(self) -> bool:
        try:
            announced = json.loads((self.state / "run" / "up.json").read_text())
        except FileNotFoundError:
            return False
        return announced["pid"] == self.process.pid


def start(state: Path, port: int) -> Running:
    running = Running(state, port, up(state, port))
    ended = wait_until(
        lambda: running.is_announced() or running.process.poll() is not None, patient(180)
    )
    if not ended or not running.is_announced():
        running.process.kill()
        pytest.fail(running.process.communicate()[0])
    return running


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    found = start(tmp_path_factory.mktemp("up"), free_port())
    yield found
    found.process.terminate()
    found.process.communicate(timeout=patient(90))


def test_everything_is_up(running: Running) -> None:
    assert answers(running.port)
    assert (running.state / VERSION_FILE).read_text() == f"{VERSION}\n"
    assert all(psutil.pid_exists(running.pid(service)) for service in SERVICES)


def test_second_up_on_the_same_state_names_the_first(running: Running) -> None:
    second = up(running.state, free_port())
    output, _ = second.communicate(timeout=patient(60))
    assert second.returncode == 1
    assert f"pid {running.process.pid}" in output
    assert answers(running.port)


def test_port_in_use_names_port_and_setting_and_starts_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        refused = up(tmp_path, port)
        output, _ = refused.communicate(timeout=patient(60))
    assert refused.returncode == 1
    assert str(port) in output
    assert "federated.coordinator.bind_address" in output
    assert not (tmp_path / "postgres").exists()


@pytest.mark.parametrize("service", SERVICES)
def test_killed_service_is_started_again(running: Running, service: str) -> None:
    killed = running.living(service)
    group = killed.children(recursive=True)
    killed.send_signal(signal.SIGKILL)
    assert wait_until(lambda: running.pid(service) != killed.pid, patient(30))
    assert wait_until(lambda: answers(running.port), patient(60))
    # Its children went with it: two workers would do the work twice.
    assert wait_until(lambda: not any(process.is_running() for process in group), patient(10))
    assert running.process.poll() is None


def test_terminated_it_leaves_no_process_and_starts_again_with_its_data(tmp_path: Path) -> None:
    port = free_port()
    first = start(tmp_path, port)
    authority = (tmp_path / "tls" / "ca.crt").read_bytes()
    first.process.send_signal(signal.SIGINT)
    output, _ = first.process.communicate(timeout=patient(90))
    assert first.process.returncode == 0, output
    assert wait_until(lambda: processes_of(tmp_path) == [], patient(10))

    second = start(tmp_path, port)
    assert (tmp_path / "tls" / "ca.crt").read_bytes() == authority
    assert answers(port)
    second.process.kill()
    second.process.communicate(timeout=patient(10))
    assert wait_until(lambda: processes_of(tmp_path) == [], patient(10))
