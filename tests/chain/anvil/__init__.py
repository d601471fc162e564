"""Anvil, a chain that is none of ours: installed from npm under ``var/``, pinned by its digests.

``python -m tests.chain.anvil`` installs it, and says so and ends with 1 where that cannot be done.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

HOME = Path(__file__).parents[3] / "var" / "anvil"
PINNED = ("package.json", "package-lock.json")


class NotInstalled(Exception):
    """Anvil is not there; the message is the reason."""


def binary() -> Path:
    """The node for this machine. Raises NotInstalled."""
    found = sorted(HOME.glob("node_modules/@foundry-rs/anvil-*/bin/anvil"))
    if not found:
        raise NotInstalled("anvil is not installed: make test-chain installs it from npm")
    return found[0]


def install() -> Path:
    """The node, fetched where the pinned version is not there yet. Raises NotInstalled."""
    here = Path(__file__).parent
    HOME.mkdir(parents=True, exist_ok=True)
    lock = HOME / "node_modules" / PINNED[1]
    if lock.exists() and lock.read_bytes() == (here / PINNED[1]).read_bytes():
        return binary()
    if shutil.which("npm") is None:
        raise NotInstalled("there is no npm here")
    for name in PINNED:
        shutil.copy(here / name, HOME / name)
    # The package of each platform holds the program itself; no script of theirs needs to run.
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    done = subprocess.run(command, cwd=HOME, capture_output=True, text=True, check=False)
    if done.returncode:
        told = [line for line in done.stderr.splitlines() if line.strip()] or ["npm gave no reason"]
        raise NotInstalled(told[0])
    found = binary()
    shutil.copy(here / PINNED[1], lock)
    return found
