"""Messages by name in a folder: signed bytes, kept before they are sent, resent as they are."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from federated.files import read_optional, write_once
from federated.wire.base import Message, Signed

M = TypeVar("M", bound=Message)


class SignedFolder:
    """Messages by name: signed bytes, kept before they are sent and resent as they are."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def signed(self, kind: type[M], name: str) -> Signed[M] | None:
        content = read_optional(self.path / f"{name}.json")
        return None if content is None else Signed[kind].parse(content)  # type: ignore[valid-type]

    def signed_keep(self, name: str, signed: Signed[M]) -> Signed[M]:
        """Keep the first envelope of this name, and return the one that is kept."""
        content = write_once(self.path / f"{name}.json", signed.canonical())
        return type(signed).parse(content)

    def message(self, kind: type[M], name: str) -> M | None:
        content = read_optional(self.path / f"{name}.json")
        return None if content is None else kind.parse(content)

    def message_keep(self, name: str, message: M) -> M:
        content = write_once(self.path / f"{name}.json", message.canonical())
        return type(message).parse(content)
