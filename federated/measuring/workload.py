"""Running a workload once: a command in a process of its own, or a callable in this one."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from federated.errors import DomainError, InvalidInput

SAMPLE_SECONDS = 0.01
TAIL = 400


class WorkloadFailed(DomainError):
    """The measured command ended with an error, so there is nothing to measure."""

    code = "workload_failed"
    title = "The measured workload failed"
    status = 422


@dataclass(frozen=True)
class Ran:
    """One run: seconds on the clock, and of CPU over all its processes that were waited for."""

    seconds: float
    cpu_seconds: float


class Workload(Protocol):
    def run(self) -> Ran: ...

    def peak_memory(self) -> float | None:
        """Run once more, watched: the process tree's largest memory in megabytes.

        None where the run was over before it could be looked at.
        """
        ...


class Command:
    """A command and its children; standard output is dropped, errors are told if it fails."""

    def __init__(self, arguments: Sequence[str], *, timeout: float | None = None) -> None:
        if not arguments:
            raise InvalidInput("no command to measure: give one after --")
        self.arguments = list(arguments)
        self.timeout = timeout

    def run(self) -> Ran:
        with self._started() as (process, errors, started):
            seconds, usage = self._wait(process, errors, started)
            return Ran(seconds, usage.ru_utime + usage.ru_stime)

    def peak_memory(self) -> float | None:
        with self._started() as (process, errors, started), _watched(process.pid) as peak:
            self._wait(process, errors, started)
        return peak[0] or None

    @contextlib.contextmanager
    def _started(self) -> Iterator[tuple[subprocess.Popen[bytes], Any, int]]:
        """The process, its standard error, and when it was asked for: starting is part of a run."""
        with tempfile.TemporaryFile() as errors:
            started = time.perf_counter_ns()
            try:
                process = subprocess.Popen(
                    self.arguments,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=errors,
                    start_new_session=True,
                )
            except OSError as error:
                raise WorkloadFailed(
                    f"{self.arguments[0]}: cannot be run: {error.strerror or error}"
                ) from error
            try:
                yield process, errors, started
            finally:
                # Also what it left behind in its session; nothing of one run is in the next.
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)

    def _wait(
        self, process: subprocess.Popen[bytes], errors: Any, started: int
    ) -> tuple[float, resource.struct_rusage]:
        late = threading.Event()
        timer = None
        if self.timeout is not None:
            timer = threading.Timer(self.timeout, _stop, (process.pid, late))
            timer.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        finally:
            if timer is not None:
                timer.cancel()
        seconds = (time.perf_counter_ns() - started) / 1e9
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise WorkloadFailed(self._why(process.returncode, errors, late=late.is_set()))
        return seconds, usage

    def _why(self, code: int, errors: Any, *, late: bool) -> str:
        if late:
            return f"{self.arguments[0]}: did not end within {self.timeout:g} s"
        errors.seek(0, os.SEEK_END)
        errors.seek(max(0, errors.tell() - TAIL))
        tail = " ".join(errors.read().decode(errors="replace").split())
        ended = f"exit code {code}" if code > 0 else f"killed by {_signal_name(-code)}"
        return f"{self.arguments[0]}: {ended}" + (f": {tail}" if tail else "")


class Call:
    """A Python callable in this process; CPU of child processes that it waits for counts."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self.function = function

    def run(self) -> Ran:
        cpu = _cpu_seconds()
        started = time.perf_counter_ns()
        self.function()
        seconds = (time.perf_counter_ns() - started) / 1e9
        return Ran(seconds, _cpu_seconds() - cpu)

    def peak_memory(self) -> float | None:
        with _watched(os.getpid()) as peak:
            self.function()
        return peak[0] or None


def _cpu_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    own = resource.getrusage(resource.RUSAGE_SELF)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def _stop(pid: int, late: threading.Event) -> None:
    late.set()
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


@contextlib.contextmanager
def _watched(pid: int) -> Iterator[list[float]]:
    """Sample the memory of a process and its descendants, in megabytes; the largest is kept.

    Proportional set size where the system tells it, so that shared pages count once, else resident
    size; and no less than the largest single process by the kernel's own high-water mark, which
    sees peaks between samples. (Not ru_maxrss: it includes what the process was before exec.)
    """
    import psutil

    peak = [0.0]
    done = threading.Event()

    def sample() -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            root = psutil.Process(pid)
            while True:
                tree = [root, *root.children(recursive=True)]
                together = sum(map(_memory, tree)) / 1e6
                peak[0] = max(peak[0], together, *(_high_water(p.pid) for p in tree))
                if done.wait(SAMPLE_SECONDS):
                    return

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


def _memory(process: Any) -> int:
    import psutil

    try:
        return int(process.memory_full_info().pss)
    except (psutil.AccessDenied, AttributeError):
        pass
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return 0
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def _high_water(pid: int) -> float:
    """VmHWM of a process in megabytes (proc(5)); 0 where it is not told."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    except OSError:
        pass
    return 0.0
