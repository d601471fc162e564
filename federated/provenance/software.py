"""Names the software that runs here: the package's version, its source, the libraries."""

from __future__ import annotations

import hashlib
import platform
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from federated.wire.reproducibility import Software

DISTRIBUTION = "federated-simulation-cloud"
LIBRARIES = ("cryptography", "gmpy2", "numpy", "pydantic", "rfc8785")
"""What a release's bits go through: arithmetic, key streams, parsing, canonical bytes."""


@lru_cache(maxsize=1)
def software_here() -> Software:
    """The software of this process; its source files are read once."""
    return Software(
        federated=_version(DISTRIBUTION),
        source=source_digest(Path(__file__).resolve().parents[1]),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        platform=f"{platform.system()} {platform.machine()}",
        libraries={name: _version(name) for name in LIBRARIES},
    )


def source_digest(package: Path) -> str:
    """SHA-256 over ``path NUL sha256 LF`` of every .py file of a package, sorted by path.

    Paths are relative, with slashes; hexadecimal. The same for a wheel and for a checkout of it.
    """
    files = {file.relative_to(package).as_posix(): file for file in package.rglob("*.py")}
    whole = hashlib.sha256()
    for name in sorted(files):
        content = hashlib.sha256(files[name].read_bytes()).hexdigest()
        whole.update(f"{name}\0{content}\n".encode())
    return whole.hexdigest()


def software_differences(made: Software, here: Software) -> list[str]:
    """Returns the differences, one line each: ``numpy 2.4.1, here 2.5.0``."""
    names = {"federated": "federated", "python": "Python", "platform": "platform"}
    found = [
        f"{shown} {getattr(made, name)}, here {getattr(here, name)}"
        for name, shown in names.items()
        if getattr(made, name) != getattr(here, name)
    ]
    if made.source != here.source:
        found.append(f"source {made.source[:16]}, here {here.source[:16]}")
    for name in sorted({*made.libraries, *here.libraries}):
        then, now = made.libraries.get(name, "absent"), here.libraries.get(name, "absent")
        if then != now:
            found.append(f"{name} {then}, here {now}")
    return found


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "not installed"
