"""FederatedService: the seed's way to start everything, and what it says when it cannot."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from federated.errors import Conflict
from federated.privacy.config import PrivacyConfig
from federated.service import FederatedService, ServiceNotStarted
from portal.config import BASE
from portal.up.service import wait_until
from tests.patience import patient
from tests.portal.processes import answers, processes_of
from tests.ports import free_port

SERVE = """
import sys
from federated.privacy.config import PrivacyConfig
from federated.service import FederatedService
privacy = PrivacyConfig(epsilon=1.0, delta=1e-5, mechanism="gaussian")
FederatedService(privacy_config=privacy, blockchain_enabled=True, state=sys.argv[1]).start(
    port=int(sys.argv[2])
)
"""


def commands(state: Path) -> dict[int, list[str]]:
    """The command lines by pid; processes that end meanwhile are left out."""
    lines = {}
    for process in processes_of(state):
        with contextlib.suppress(psutil.Error):
            lines[process.pid] = process.cmdline()
    return lines


@pytest.mark.slow
def test_starts_in_the_background_with_its_privacy_and_stops(tmp_path: Path) -> None:
    port = free_port()
    privacy = PrivacyConfig(epsilon=2.5, delta=1e-6)
    service = FederatedService(privacy, blockchain_enabled=False, state=tmp_path)
    service.start(port=port, block=False)
    try:
        assert service.url == f"https://127.0.0.1:{port}"
        assert answers(port)
        lines = commands(tmp_path)
        web = next(pid for pid, line in lines.items() if "gunicorn" in line)
        environment = psutil.Process(web).environ()
        assert environment["FEDERATED__PRIVACY__DEFAULT_EPSILON"] == "2.5"
        assert not any("portal.chain" in line for line in lines.values())
        with pytest.raises(Conflict):
            service.start(port=port, block=False)
    finally:
        service.stop()
    assert not answers(port)
    assert wait_until(lambda: processes_of(tmp_path) == [], patient(10))
    service.stop()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_seed_call_serves_until_its_process_ends(tmp_path: Path, number: int) -> None:
    port = free_port()
    caller = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(tmp_path), str(port)],
        cwd=BASE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        ready = tmp_path / "run" / "up.json"
        assert wait_until(lambda: ready.exists() or caller.poll() is not None, patient(180))
        assert answers(port)
        caller.send_signal(number)
        _, errors = caller.communicate(timeout=patient(90))
        assert caller.returncode == (0 if number == signal.SIGINT else -signal.SIGKILL), errors
    finally:
        caller.kill()  # its portal ends with it
    assert wait_until(lambda: processes_of(tmp_path) == [], patient(60))


def test_port_in_use_is_told_with_its_setting(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        service = FederatedService(state=tmp_path)
        with pytest.raises(ServiceNotStarted) as failed:
            service.start(port=port, block=False)
    assert str(port) in failed.value.message
    assert "federated.coordinator.bind_address" in failed.value.message
    assert not service.is_running
    assert wait_until(lambda: processes_of(tmp_path) == [], patient(10))


def test_bad_configuration_is_told_with_its_path(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("federated: {privacy: {epsilon: 1}}")
    with pytest.raises(ServiceNotStarted, match=r"federated\.privacy\.epsilon"):
        FederatedService(config=file, state=tmp_path / "state").start(block=False)


def test_without_the_portal_it_says_how_to_get_it(tmp_path: Path) -> None:
    shutil.copytree(BASE / "federated", tmp_path / "federated")
    program = (
        "from federated.extras import MissingExtra\n"
        "from federated.service import FederatedService\n"
        "try:\n    FederatedService().start(block=False)\n"
        "except MissingExtra as error:\n    print(error.message)\n"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "pip install -e '.[portal]'" in shown.stdout
