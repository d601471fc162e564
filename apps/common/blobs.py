"""Stores large files durably: whole on the disk when ``save`` returns, or absent."""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path
from typing import Any

from django.core.files.base import File
from django.core.files.storage import FileSystemStorage


class DurableStorage(FileSystemStorage):
    """Files in a folder, written aside, synced and renamed; a name saved again is replaced.

    A ``StagedFile`` on the same file system is renamed, not copied.
    """

    def __init__(self, location: str | os.PathLike[str] | None = None, **options: Any) -> None:
        super().__init__(location=location, allow_overwrite=True, **options)

    def _save(self, name: str, content: File) -> str:  # type: ignore[type-arg]
        target = Path(self.path(name))
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        aside = target.with_name(f".{target.name}.{secrets.token_hex(6)}")
        try:
            if not (isinstance(content, StagedFile) and _moved(content.path, aside)):
                with aside.open("xb") as file:
                    for chunk in content.chunks():
                        file.write(chunk)
            _sync(aside)
            aside.replace(target)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
        base = Path(self.location)
        for folder in target.parents:
            _sync(folder)
            if folder == base:
                break
        return name


class StagedFile(File):  # type: ignore[type-arg]
    """A file of the local disk that a storage may take away instead of copying it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path.open("rb"), name=path.name)
        self.path = path


def _moved(source: Path, target: Path) -> bool:
    try:
        source.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return False
    return True


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
