"""Runs a command with a third of this machine's processors: ``python -m tests.quota COMMAND...``

``--share 0.5`` gives it half. ``--busy`` keeps every processor occupied instead, with one spinning
process for each. Needs root and Linux: the quota is a control group of its own, version 1 or 2,
which is removed at the end.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

PERIOD = 100_000  # microseconds
ROOT = Path("/sys/fs/cgroup")
SPIN = "while True: pass"


@contextlib.contextmanager
def limited(share: float) -> Iterator[Path]:
    """A control group that may use this share of all processors; yields its list of processes."""
    quota = int(share * (os.cpu_count() or 1) * PERIOD)
    version_1 = (ROOT / "cpu").is_dir()
    group = (ROOT / "cpu" if version_1 else ROOT) / f"fsc-quota-{os.getpid()}"
    group.mkdir()
    try:
        if version_1:
            (group / "cpu.cfs_period_us").write_text(str(PERIOD))
            (group / "cpu.cfs_quota_us").write_text(str(quota))
        else:
            (group / "cpu.max").write_text(f"{quota} {PERIOD}")
        yield group / "cgroup.procs"
    finally:
        _remove(group)


def _remove(group: Path) -> None:
    """Removes the group as soon as its last process has ended."""
    for _ in range(600):
        try:
            group.rmdir()
        except OSError:
            time.sleep(0.1)
        else:
            return
    print(f"{group} still holds processes and stays", file=sys.stderr)


@contextlib.contextmanager
def busy() -> Iterator[None]:
    """Keeps every processor busy with one process each."""
    spinners = [
        subprocess.Popen([sys.executable, "-S", "-c", SPIN]) for _ in range(os.cpu_count() or 1)
    ]
    try:
        yield
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.wait()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1 / 3)
    parser.add_argument("--busy", action="store_true")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    if not given.command or not 0 < given.share <= 1:
        parser.error("give a command, and a share above 0 and at most 1")
    if given.busy:
        with busy():
            return subprocess.run(given.command, check=False).returncode
    with limited(given.share) as processes:
        entered = f'echo $$ > {processes} && exec "$@"'
        command = ["sh", "-c", entered, "sh", *given.command]
        return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
