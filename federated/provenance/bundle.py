"""A bundle: the part of the record that an outsider takes away and verifies offline.

One JSON object. Logs carry whole canonical events with their inclusion proofs to the log's newest
checkpoint, and consistency proofs along its checkpoints; anchors carry the checkpoint notes under
an anchored root. `sections` holds what further checks read (transcripts of rounds).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    PrivateAttr,
    StringConstraints,
    ValidationError,
)

from federated.errors import InvalidInput
from federated.provenance.bundle_file import Frame, PartInvalid, Parts, frame_read
from federated.provenance.events import Event
from federated.wire.base import M, Message, canonical

FORMAT: Literal["federated-simulation-cloud/bundle/1"] = "federated-simulation-cloud/bundle/1"

Hash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
ChainHash = Annotated[str, StringConstraints(pattern=r"^0x[0-9a-f]{64}$")]
Address = Annotated[str, StringConstraints(pattern=r"^0x[0-9a-fA-F]{40}$")]
Size = Annotated[int, Field(ge=0, lt=2**53)]


BundleInvalid = PartInvalid
"""The file is no bundle: not JSON, or fields missing, unknown or of a wrong form."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Row(_Part):
    """The columns that the coordinator stores with an event's canonical bytes."""

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
        """Returns the `digest`. Raises InvalidInput where JSON cannot hold a value exactly."""
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


class FiledBundle(Bundle):
    """A bundle in a file. Its lists of many are `Parts`: read when asked for, one at a time."""

    _frame: Frame = PrivateAttr()

    def content_digest(self) -> str:
        return self._frame.content_digest()


def load_bundle(source: Bundle | dict[str, Any] | str | os.PathLike[str]) -> Bundle:
    """A bundle from a dictionary or from a file's path.

    Raises `BundleInvalid`; of a file, so does asking for a part of it that is none.
    """
    if isinstance(source, Bundle):
        return source
    try:
        if isinstance(source, dict):
            return Bundle.model_validate(source)
        return _filed(frame_read(Path(source)))
    except OSError as exc:
        raise BundleInvalid(f"the bundle cannot be read: {exc.strerror}") from exc
    except ValidationError as exc:
        raise BundleInvalid(f"not a bundle: {_problems(exc)}") from exc
    except BundleInvalid:
        raise
    except InvalidInput as exc:
        raise BundleInvalid(exc.message) from exc
    except (ValueError, RecursionError) as exc:
        # Of a path with a null byte, or of a dictionary nested too deeply.
        raise BundleInvalid(f"not a bundle: {exc}") from exc


def record_read(kind: type[M], raw: dict[str, Any]) -> M:
    """A section's record; where its lists are a file's parts, they stay in the file.

    Raises InvalidInput, and so does asking for a part that is none.
    """
    filed = {name: value for name, value in raw.items() if isinstance(value, Parts)}
    record = kind.parse(raw | {name: [] for name in filed})
    return record.model_copy(
        update={name: parts.of(_item(kind, name).parse) for name, parts in filed.items()}
    )


def _item(kind: type[Message], name: str) -> type[Message]:
    item: type[Message] = get_args(kind.model_fields[name].annotation)[0]
    return item


def _filed(frame: Frame) -> FiledBundle:
    if not isinstance(frame.value, dict):
        raise BundleInvalid("not a bundle: not a JSON object")
    if frame.value.get("format") != FORMAT:
        known = "it names no format" if "format" not in frame.value else "another format"
        raise BundleInvalid(f"not a bundle: {known}; what is read here is {FORMAT}")
    checked = Bundle.model_validate(frame.value)
    if checked.digest is None or frame.digest_span is None:
        raise BundleInvalid("not a bundle: its digest is missing")
    logs = [
        log.model_copy(update={"events": _listed(frame, BundleEvent, "logs", number, "events")})
        for number, log in enumerate(checked.logs)
    ]
    for (first, *rest), parts in frame.parts.items():
        if first == "sections":
            holder: Any = checked.sections
            for step in rest[:-1]:
                holder = holder[step]
            holder[rest[-1]] = parts
    fields = {name: getattr(checked, name) for name in Bundle.model_fields}
    anchors = _listed(frame, Anchor, "anchors")
    filed = FiledBundle.model_construct(**fields | {"logs": logs, "anchors": anchors})
    filed._frame = frame
    return filed


def _listed(frame: Frame, kind: type[_Part], *place: str | int) -> Sequence[Any]:
    def parse(raw: bytes) -> _Part:
        try:
            return kind.model_validate_json(raw)
        except ValidationError as exc:
            raise BundleInvalid(_problems(exc)) from exc

    parts = frame.parts.get(place)
    return [] if parts is None else parts.of(parse)


def _problems(exc: ValidationError) -> str:
    problems = exc.errors(include_url=False, include_input=False)
    shown = [
        f"{'.'.join(str(part) for part in item['loc']) or 'bundle'}: {item['msg']}"
        for item in problems[:5]
    ]
    more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
    return "; ".join(shown) + more
