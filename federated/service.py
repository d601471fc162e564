"""FederatedService: runs the whole coordinator from Python, as a separate process.

The portal is not a part of this package; it is started as `python -m portal.up` and never imported.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from federated.errors import Conflict, Unavailable
from federated.extras import MissingExtra
from federated.sdk.waiting import wait_until

if TYPE_CHECKING:
    from federated.privacy.config import PrivacyConfig

START_SECONDS = 1800.0
STOP_SECONDS = 240.0
POLL_SECONDS = 0.1
LOG_LINES = 15
GET_IT = (
    "FederatedService needs the portal, which is not installed here: in a checkout of the project "
    "run `pip install -e '.[portal]'`, or `make up`"
)


class ServiceNotStarted(Unavailable):
    """The services ended before they were ready; the message holds the end of their log."""

    code = "service_not_started"
    title = "The services did not start"
    retryable = False


class ServiceStarted(Conflict):
    """`start()` on a service that runs."""

    code = "service_started"
    title = "The service runs already"


class FederatedService:
    """PostgreSQL, queue, chain, web server and workers, on this machine, as one object.

    `privacy_config` sets the defaults of jobs and releases. `blockchain_enabled=False` anchors
    nothing; True leaves it to the configuration. `config` is a YAML file, `state` the directory
    that everything is kept in (else FSC_STATE, else ./var). Arguments win over the environment,
    which wins over the file. The services end with this process.
    """

    def __init__(
        self,
        privacy_config: PrivacyConfig | None = None,
        blockchain_enabled: bool = True,
        config: str | os.PathLike[str] | None = None,
        state: str | os.PathLike[str] | None = None,
    ) -> None:
        self.privacy_config = privacy_config
        self.blockchain_enabled = blockchain_enabled
        self.config = Path(config).resolve() if config else None
        self.state = Path(state or os.environ.get("FSC_STATE") or "var").resolve()
        self.url: str | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, port: int | None = None, block: bool = True) -> None:
        """Start everything on https.

        `port` replaces the port of `federated.coordinator.bind_address` (default 127.0.0.1:8080).
        With `block` it serves until Ctrl-C; without, it returns once https answers. Raises
        MissingExtra, ServiceStarted, or ServiceNotStarted with the reason.
        """
        if self.is_running:
            raise ServiceStarted(f"the service runs already at {self.url}; call stop() first")
        root = _portal_root()
        log_path = self.state / "log" / "up.log"
        log_path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            log = None if block else stack.enter_context(log_path.open("wb"))
            self._process = subprocess.Popen(
                self._command(port),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT if log else None,
                cwd=root,
                env={**os.environ, **self._environment()},
                # Ctrl-C reaches this process alone, which then stops the other in order.
                start_new_session=True,
            )
        try:
            self._wait_until_ready(None if block else log_path)
            if block:
                self._serve()
        except KeyboardInterrupt:
            self.stop()
            if not block:
                raise
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop everything and leave no process. Idempotent."""
        process, self._process, self.url = self._process, None, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            # Its children are tethered to it.
            process.kill()
            process.wait()

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def __enter__(self) -> FederatedService:
        if not self.is_running:
            self.start(block=False)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _command(self, port: int | None) -> list[str]:
        command = [sys.executable, "-m", "portal.up", "--stop-with-parent"]
        command += ["--state", str(self.state)]
        if self.config is not None:
            command += ["--config", str(self.config)]
        if port is not None:
            command += ["--port", str(port)]
        if not self.blockchain_enabled:
            command.append("--no-blockchain")
        return command

    def _environment(self) -> dict[str, str]:
        if self.privacy_config is None:
            return {}
        noiseless = {"FEDERATED__PRIVACY__ALLOW_NO_NOISE": "true"}
        return {
            **(noiseless if self.privacy_config.allow_no_noise else {}),
            "FEDERATED__PRIVACY__DEFAULT_EPSILON": repr(float(self.privacy_config.epsilon)),
            "FEDERATED__PRIVACY__DEFAULT_DELTA": repr(float(self.privacy_config.delta)),
            "FEDERATED__PRIVACY__DEFAULT_MECHANISM": str(self.privacy_config.mechanism),
        }

    def _wait_until_ready(self, log_path: Path | None) -> None:
        """Returns when the supervisor announced itself, which it does after https answered."""
        assert self._process is not None
        process = self._process

        def announced() -> str | None:
            if process.poll() is not None:
                raise ServiceNotStarted(self._why(log_path))
            with contextlib.suppress(FileNotFoundError, ValueError):
                running = json.loads((self.state / "run" / "up.json").read_text())
                if running["pid"] == process.pid:
                    return str(running["url"])
            return None

        deadline = time.monotonic() + START_SECONDS
        self.url = wait_until(announced, bool, deadline=deadline, pause=POLL_SECONDS)
        if self.url is None:
            raise ServiceNotStarted(
                f"the services were not ready after {START_SECONDS:.0f} s; see {self.state / 'log'}"
            )

    def _serve(self) -> None:
        assert self._process is not None
        code = self._process.wait()
        self._process = self.url = None
        if code != 0:
            raise ServiceNotStarted(f"the services ended with code {code}; see {self.state}/log")

    def _why(self, log_path: Path | None) -> str:
        if log_path is None:
            return f"the services did not start; the reason is above, and in {self.state / 'log'}"
        lines = log_path.read_text(errors="replace").splitlines()[-LOG_LINES:]
        return "\n".join(["the services did not start:", *lines, f"(from {log_path})"])


def _portal_root() -> Path:
    """The folder that holds the portal package. Raises MissingExtra."""
    spec = importlib.util.find_spec("portal")
    places = [Path(place) for place in (spec and spec.submodule_search_locations) or ()]
    # A checkout from which only `federated` is on the path.
    places.append(Path(__file__).resolve().parent.parent / "portal")
    for place in places:
        if (place / "up" / "__main__.py").is_file():
            if any(importlib.util.find_spec(name) is None for name in ("django", "celery")):
                break
            return place.parent
    raise MissingExtra(GET_IT)
