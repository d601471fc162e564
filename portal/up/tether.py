"""Run a command that dies with its parent: `tether.py PARENT SIGNAL USER COMMAND...`

USER is a user and group id to change to, or "-". Linux forgets the request when credentials
change, so it comes last, after any `unshare`. A program of its own, so that no Python code runs
between fork and exec in the supervisor.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def die_with_parent(signal_number: int = signal.SIGKILL) -> None:
    """Ask the kernel to signal this process when its parent ends (Linux; nothing elsewhere)."""
    _prctl(PR_SET_PDEATHSIG, int(signal_number))


def adopt_orphans() -> None:
    """Become the parent of descendants whose parent ends, so that they can be ended and reaped."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def main() -> None:
    parent, number, user, *command = sys.argv[1:]
    if user != "-":
        os.setgroups([])
        os.setgid(int(user))
        os.setuid(int(user))
    die_with_parent(int(number))
    # The parent may have died before the request.
    if os.getppid() != int(parent):
        sys.exit("the parent is gone")
    os.execvp(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main()
