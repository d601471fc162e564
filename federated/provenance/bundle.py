"""A bundle: the part of the record that an outsider takes away and verifies offline.

One JSON object. Logs carry whole canonical events with their inclusion proofs to the log's newest
checkpoint, and consistency proofs along its checkpoints; anchors carry the checkpoint notes under
an anchored root. `sections` holds what further checks read (transcripts of rounds).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, ValidationError

from federated.errors import InvalidInput
from federated.provenance.events import Event

FORMAT: Literal["federated-simulation-cloud/bundle/1"] = "federated-simulation-cloud/bundle/1"
MAX_BUNDLE_BYTES = 512 * 2**20

Hash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
ChainHash = Annotated[str, StringConstraints(pattern=r"^0x[0-9a-f]{64}$")]
Address = Annotated[str, StringConstraints(pattern=r"^0x[0-9a-fA-F]{40}$")]
Size = Annotated[int, Field(ge=0, lt=2**53)]


class BundleInvalid(InvalidInput):
    """The file is no bundle: not JSON, or fields missing, unknown or of a wrong form."""

    code = "bundle_invalid"
    title = "Not a bundle that can be verified"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Row(_Part):
    """The columns that the coordinator keeps beside an event's canonical bytes."""

    tag: str
    actor: JsonValue
    subject_kind: str
    subject_id: str
    at: str

    @property
    def time(self) -> datetime:
        """Raises ValueError."""
        return datetime.fromisoformat(self.at)


class BundleEvent(_Part):
    index: Size
    id: str
    canonical: str
    """The leaf's data as text: an `Event` in RFC 8785 form, if nobody changed it."""
    leaf_hash: Hash
    """The leaf hash that the log recorded when it took the event."""
    proof: list[Hash]
    row: Row | None = None

    @property
    def data(self) -> bytes:
        return self.canonical.encode("utf-8", "surrogatepass")


class BundleLog(_Part):
    origin: str
    verifier_key: str
    checkpoints: list[str] = Field(min_length=1)
    """Signed notes by ascending size; the events' proofs lead to the last one."""
    consistency: list[list[Hash]]
    """The proof from each checkpoint to the next."""
    events: list[BundleEvent]


class Anchor(_Part):
    origin: str
    size: Size
    root: Hash
    notes: list[str] = Field(min_length=1)
    chain_id: Size
    contract: Address
    tx_hash: ChainHash
    block_number: Size
    block_hash: ChainHash


class Bundle(_Part):
    format: Literal["federated-simulation-cloud/bundle/1"] = FORMAT
    created_at: str
    logs: list[BundleLog] = Field(min_length=1)
    anchors: list[Anchor] = Field(default_factory=list)
    sections: dict[str, JsonValue] = Field(default_factory=dict)

    def events(self) -> Iterator[tuple[BundleLog, Event]]:
        """Every event that parses, with its log; an edited one may not."""
        for log in self.logs:
            for item in log.events:
                try:
                    yield log, Event.parse(item.data)
                except InvalidInput:
                    continue

    def write(self, path: Path) -> None:
        """Write the bundle as JSON, whole or not at all."""
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.write_text(json.dumps(self.model_dump(mode="json"), indent=1) + "\n")
        draft.replace(path)


def load_bundle(source: Bundle | dict[str, Any] | str | os.PathLike[str]) -> Bundle:
    """A bundle from a dictionary or from a file's path. Raises `BundleInvalid`."""
    if isinstance(source, Bundle):
        return source
    try:
        if isinstance(source, dict):
            return Bundle.model_validate(source)
        path = Path(source)
        if path.stat().st_size > MAX_BUNDLE_BYTES:
            raise BundleInvalid(f"{path}: a bundle has at most {MAX_BUNDLE_BYTES} bytes")
        return Bundle.model_validate_json(path.read_bytes())
    except OSError as exc:
        raise BundleInvalid(f"the bundle cannot be read: {exc.strerror}") from exc
    except ValidationError as exc:
        raise BundleInvalid(f"not a bundle: {_problems(exc)}") from exc
    except (ValueError, RecursionError) as exc:
        # Of a path with a null byte, or of a dictionary nested too deeply.
        raise BundleInvalid(f"not a bundle: {exc}") from exc


def _problems(exc: ValidationError) -> str:
    problems = exc.errors(include_url=False, include_input=False)
    shown = [
        f"{'.'.join(str(part) for part in item['loc']) or 'bundle'}: {item['msg']}"
        for item in problems[:5]
    ]
    more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
    return "; ".join(shown) + more
