"""Tells a state directory of this release from those of others.

The file `version` holds the number of the directory's format. It rises with every change after
which an installation cannot go on with its tables and files.
"""

from __future__ import annotations

from pathlib import Path

from portal.up.errors import StateVersion
from portal.up.state import write_atomically

VERSION = 1
VERSION_FILE = "version"
# What only a portal leaves. Secrets and ports are made by any command that reads the settings, and
# `./var` is also the place of benchmarks' results.
MADE = ("postgres", "valkey", "chain", "tls", "blobs")


def version_check(state: Path) -> None:
    """Read whose directory it is, and change nothing.

    Raises StateVersion for a directory of another release; one that holds a portal's state and no
    version is of a release before there were versions.
    """
    try:
        text = (state / VERSION_FILE).read_text(errors="replace").strip()
    except FileNotFoundError:
        if any((state / name).exists() for name in MADE):
            raise _other(state, "no version, so that an earlier release made it", ANEW) from None
        return
    if text == str(VERSION):
        return
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise _other(state, f"no version that can be read in {VERSION_FILE}", "restore a backup")
    newer = int(text) > VERSION
    raise _other(state, f"version {text}", "install the release that made it" if newer else ANEW)


def version_stamp(state: Path) -> None:
    """Give a new directory this release's version; call with the directory's lock."""
    if not (state / VERSION_FILE).exists():
        write_atomically(state / VERSION_FILE, f"{VERSION}\n")


ANEW = (
    "start the release that made it, or begin anew in another directory (--state or FSC_STATE) "
    "and keep this one as a record"
)


def _other(state: Path, found: str, remedy: str) -> StateVersion:
    return StateVersion(
        f"{state}: this state directory has {found}; this release reads version {VERSION}: {remedy}"
    )
