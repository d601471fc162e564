"""The processes a measurement starts: their peak memory by role, and their end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import psutil

Role = Callable[[psutil.Process], str]


def peak_mib(pid: int) -> float:
    """Peak resident memory of one process in MiB (VmHWM, proc(5)); 0 when it has gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    lines = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return next((int(line.split()[1]) / 1024 for line in lines), 0.0)


def command_name(process: psutil.Process) -> str:
    """The script or module a process runs: what a reader knows it by."""
    words = process.cmdline()
    if not words:
        return process.name()
    if "-m" in words[1:-1]:
        return words[words.index("-m") + 1]
    if "python" in Path(words[0]).name and len(words) > 1 and not words[1].startswith("-"):
        return Path(words[1]).name
    return Path(words[0]).name


def family(roots: Iterable[int]) -> set[int]:
    """Every process of the roots' sessions and all their descendants, orphans too (proc(5))."""
    found, parents = set(roots), {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        pid, parents[pid] = int(folder.name), int(fields[1])
        if int(fields[3]) in found:
            found.add(pid)
    grown = True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        found |= more
        grown = bool(more)
    return found & parents.keys()


class Watch:
    """Samples the peak memory of started processes' families, from a thread of its own.

    ``peaks`` maps a role to the highest peak, in MiB, that any one process of that role reached.
    A process that lives for less than ``pause`` seconds may be missed.
    """

    def __init__(
        self, roots: Iterable[int] = (), role: Role = command_name, pause: float = 0.25
    ) -> None:
        self.peaks: dict[str, float] = {}
        self._roots, self._role, self._pause = list(roots), role, pause
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def add(self, pid: int) -> None:
        self._roots.append(pid)

    def _run(self) -> None:
        while not self._over.wait(self._pause):
            for pid in family(self._roots):
                with contextlib.suppress(psutil.Error):
                    # A process that is ending has neither memory nor a command line any more.
                    if peak := peak_mib(pid):
                        role = self._role(psutil.Process(pid))
                        self.peaks[role] = max(self.peaks.get(role, 0.0), peak)


@contextlib.contextmanager
def started(
    command: Sequence[str], log: Path, environment: Mapping[str, str], cwd: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a session of its own, its output in ``log``; the whole session ends with it."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=dict(environment),
            cwd=cwd,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        end_session(process)


def end_session(process: subprocess.Popen[bytes], patience: float = 10) -> None:
    """Ask a process's session to end, then kill what is left of its family."""
    left = family([process.pid])
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(patience)
    for pid in left | family([process.pid]):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait(patience)
