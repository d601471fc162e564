"""Log entries: what happened, who did it, to what, with which digests.

An event is written once, in the transaction that makes the change it tells of. Its canonical
bytes (RFC 8785) are the leaf of its log (RFC 9162), so a changed field changes the leaf.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, ValidationError

from federated.errors import InvalidInput
from federated.wire.base import Digest, Identifier, canonical

MAX_EVENT_BYTES = 2**16 - 1
"""An entry bundle (C2SP tlog-tiles) gives an entry's length in 16 bits."""
TIME_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"
"""RFC 3339 with microseconds; of times in UTC."""

Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
EventTag = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z_]*(:[a-z][a-z_]*){1,3}$")]
Timestamp = Annotated[
    str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$")
]
# A key name of a signed note: neither a space of any kind nor a plus sign (C2SP signed-note).
Origin = Annotated[str, StringConstraints(pattern=r"^[^\s+]{1,200}$")]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class EventActor(_Frozen):
    """The actor, as known at that moment; later renames do not change it."""

    kind: Literal["user", "site", "system"]
    id: Name
    name: Name
    organization: Name | None = None


class EventSubject(_Frozen):
    """The object of the action: a kind (``round``, ``site``) and its identifier."""

    kind: Name
    id: Name


class Event(_Frozen):
    """One entry of a log."""

    version: Literal[1] = 1
    id: Identifier
    tag: EventTag
    at: Timestamp
    origin: Origin
    actor: EventActor
    subject: EventSubject
    digests: dict[Name, Digest] = Field(default_factory=dict)
    data: dict[Name, JsonValue] = Field(default_factory=dict)
    signature: Digest | None = None
    """Digest of the signed request that caused the event, where there was one."""

    @classmethod
    def build(cls, *, id: UUID, at: datetime, **fields: Any) -> Event:
        """An event from Python values; `at` must be aware. Raises `InvalidInput`."""
        if at.tzinfo is None:
            raise InvalidInput("an event's time needs a time zone")
        stamp = at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        try:
            return cls(id=str(id), at=stamp, **fields)
        except ValidationError as exc:
            raise InvalidInput(f"not a valid event: {_first_problem(exc)}") from exc

    def canonical(self) -> bytes:
        """RFC 8785 bytes: the data of the event's leaf. Raises `InvalidInput`."""
        try:
            _refuse_large_floats(self.data)
            encoded = canonical(self.model_dump(mode="json"))
        except UnicodeEncodeError as exc:
            raise InvalidInput("the event holds text that UTF-8 cannot encode") from exc
        if len(encoded) > MAX_EVENT_BYTES:
            raise InvalidInput(
                f"the event takes {len(encoded)} bytes, at most {MAX_EVENT_BYTES} are allowed"
            )
        return encoded

    @classmethod
    def parse(cls, canonical: bytes) -> Event:
        """The event of canonical bytes; other spellings of it are refused (`InvalidInput`)."""
        if len(canonical) > MAX_EVENT_BYTES:
            raise InvalidInput(f"an event has at most {MAX_EVENT_BYTES} bytes")
        try:
            event = cls.model_validate_json(canonical)
        except ValidationError as exc:
            raise InvalidInput(f"not a valid event: {_first_problem(exc)}") from exc
        if event.canonical() != canonical:
            raise InvalidInput("the event is not in canonical form (RFC 8785)")
        return event

    @property
    def time(self) -> datetime:
        return datetime.fromisoformat(self.at)


def digest(canonical: bytes) -> str:
    """Hex SHA-256 of an event's canonical bytes."""
    return hashlib.sha256(canonical).hexdigest()


def log_origin(consortium: str, slug: str | None = None) -> str:
    """The origin of a consortium's log, or of one organization's log in it."""
    origin = f"{consortium}/{slug}" if slug else consortium
    if not re.fullmatch(r"[^\s+]{1,200}", origin):
        raise InvalidInput(f"{origin!r} cannot name a log: no spaces, no plus sign, 1 to 200 signs")
    return origin


def _refuse_large_floats(value: JsonValue) -> None:
    """RFC 8785 writes 2.0**53 as an integer, which no reader may then take for exact."""
    if isinstance(value, float) and value.is_integer() and 2**53 <= abs(value) < 1e21:
        raise InvalidInput(f"{value:.0f} is a whole number beyond 2^53: give it as text")
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            _refuse_large_floats(item)


def _first_problem(exc: ValidationError) -> str:
    problem = exc.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in problem["loc"]) or "event"
    return f"{where}: {problem['msg']}"
