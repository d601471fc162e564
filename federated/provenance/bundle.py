"""A bundle: the part of the record that an outsider takes away and verifies offline.

One JSON object. Logs carry whole canonical events with their inclusion proofs to the log's newest
checkpoint, and consistency proofs along its checkpoints; anchors carry the checkpoint notes under
an anchored root. `sections` holds what further checks read (transcripts of rounds).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, ValidationError

from federated.errors import InvalidInput
from federated.provenance.events import Event
from federated.wire.base import canonical

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
    digest: Hash | None = None
    """SHA-256 of the canonical bytes of all other fields: against damage, not against forgery."""

    def content_digest(self) -> str:
        """What `digest` must be. Raises InvalidInput where JSON cannot hold a value exactly."""
        content = self.model_dump(mode="json", exclude={"digest"})
        return hashlib.sha256(canonical(content)).hexdigest()

    def to_bytes(self) -> bytes:
        """The one spelling of the bundle as a file: RFC 8785 with its digest, and a line feed."""
        content = self.model_dump(mode="json") | {"digest": self.content_digest()}
        return canonical(content) + b"\n"

    def events(self) -> Iterator[tuple[BundleLog, Event]]:
        """Every event that parses, with its log; an edited one may not."""
        for log in self.logs:
            for item in log.events:
                try:
                    yield log, Event.parse(item.data)
                except InvalidInput:
                    continue

    def write(self, path: Path) -> None:
        """Write `to_bytes`, whole or not at all."""
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.write_bytes(self.to_bytes())
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
        raw = path.read_bytes()
        bundle = Bundle.model_validate_json(raw)
        _check_spelling(bundle, raw)
        return bundle
    except OSError as exc:
        raise BundleInvalid(f"the bundle cannot be read: {exc.strerror}") from exc
    except ValidationError as exc:
        raise BundleInvalid(f"not a bundle: {_problems(exc)}") from exc
    except InvalidInput as exc:
        raise BundleInvalid(exc.message) from exc
    except (ValueError, RecursionError) as exc:
        # Of a path with a null byte, or of a dictionary nested too deeply.
        raise BundleInvalid(f"not a bundle: {exc}") from exc


def _check_spelling(bundle: Bundle, raw: bytes) -> None:
    """One bundle is one file: a bit that changes no value (1e5, 1E5) is a change all the same."""
    if bundle.digest is None:
        raise BundleInvalid("not a bundle: its digest is missing")
    if canonical(json.loads(raw)) + b"\n" != raw:
        raise BundleInvalid("not a bundle: the file is not in canonical form (RFC 8785)")


def _problems(exc: ValidationError) -> str:
    problems = exc.errors(include_url=False, include_input=False)
    shown = [
        f"{'.'.join(str(part) for part in item['loc']) or 'bundle'}: {item['msg']}"
        for item in problems[:5]
    ]
    more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
    return "; ".join(shown) + more
