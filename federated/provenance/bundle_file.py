"""A bundle's file, read in parts: memory holds one part of it at a time, however long it is.

The parts are the elements that a bundle has many of (PART_OF). A scan finds where each lies and
keeps the rest, the frame, in memory; a part is read, held to RFC 8785 and parsed when it is asked
for. Every size has a limit, so that no file costs more than the largest part does.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Generic, TypeVar, overload

from federated.errors import InvalidInput
from federated.wire.base import canonical

T = TypeVar("T")

MAX_FILE_BYTES = 16 * 2**30
MAX_PART_BYTES = 40 * 2**20
"""Of one part, and of the frame: a transcript of 1,000 sites is about 25 MB."""
MAX_PART_TOKENS = 500_000
"""Values cost more memory than the bytes they are written in."""
MAX_PARTS = 3_000_000
MAX_DEPTH = 64
PIECE_BYTES = 1 << 20
PART_OF = (
    ("anchors", None),
    ("logs", 0, "events", None),
    ("sections", "jobs", 0, "attempts", None),
    ("sections", "jobs", 0, "reproducibility", None),
    ("sections", "jobs", 0, "verdicts", None),
    ("sections", "jobs", 0, "refusals", None),
    ("sections", "jobs", 0, "declines", None),
    ("sections", "campaigns", 0, "runs", None),
    ("sections", "campaigns", 0, "verdicts", None),
    ("sections", "campaigns", 0, "refusals", None),
)
"""Places of parts: 0 is any index, None the element's own."""
_LISTS = frozenset(place[:-1] for place in PART_OF)
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|["{}\[\],]', re.DOTALL)

Place = tuple[str | int, ...]


class PartInvalid(InvalidInput):
    """The file is not a bundle, or exceeds a limit."""

    code = "bundle_invalid"
    title = "Not a bundle that can be verified"


class Parts(Sequence[T], Generic[T]):
    """The parts of one list, parsed one at a time, anew each time.

    Asking for one raises PartInvalid where it is not in canonical form, and what ``parse`` raises.
    """

    def __init__(self, file: BinaryIO, place: Place, parse: Callable[[bytes], T]) -> None:
        self._file = file
        self._place = place
        self._parse = parse
        self._spans = array("Q")
        self._known = bytearray()

    def add(self, start: int, end: int) -> None:
        self._spans.extend((start, end))
        self._known.append(0)

    def of(self, parse: Callable[[bytes], T]) -> Parts[T]:
        """The same parts, otherwise parsed."""
        other: Parts[T] = Parts(self._file, self._place, parse)
        other._spans, other._known = self._spans, self._known
        return other

    def __len__(self) -> int:
        return len(self._known)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        position = range(len(self))[index]
        start, end = self._spans[2 * position], self._spans[2 * position + 1]
        raw = os.pread(self._file.fileno(), end - start, start)
        where = f"{_text(self._place)}.{position}"
        if not self._known[position]:
            check_canonical(raw, where)
            self._known[position] = 1
        try:
            return self._parse(raw)
        except InvalidInput as error:
            raise PartInvalid(f"not a bundle: {where}: {error.message}") from error

    def __iter__(self) -> Iterator[T]:
        return (self[position] for position in range(len(self)))


def check_canonical(raw: bytes, where: str) -> None:
    """One bundle is one file: a bit that changes no value (1e5, 1E5) is a change all the same."""
    try:
        same = canonical(json.loads(raw)) == raw
    except (ValueError, RecursionError) as error:
        raise PartInvalid(f"not a bundle: {where} is not JSON: {error}") from error
    except InvalidInput as error:
        raise PartInvalid(f"not a bundle: {where}: {error.message}") from error
    if not same:
        raise PartInvalid(f"not a bundle: {where} is not in canonical form (RFC 8785)")


@dataclass
class Frame:
    """The result of a scan: the file without its parts, and the parts of each list."""

    file: BinaryIO
    size: int
    value: Any = None
    """The JSON value, the lists of parts empty in it."""
    parts: dict[Place, Parts[Any]] = field(default_factory=dict)
    digest_span: tuple[int, int] | None = None

    def content_digest(self) -> str:
        """SHA-256 of the file without its ``digest`` and its line feed.

        In a canonical file, those are the canonical bytes of all other fields.
        """
        assert self.digest_span is not None
        seen = hashlib.sha256()
        for start, end in ((0, self.digest_span[0]), (self.digest_span[1], self.size - 1)):
            for at in range(start, end, PIECE_BYTES):
                seen.update(os.pread(self.file.fileno(), min(PIECE_BYTES, end - at), at))
        return seen.hexdigest()


def frame_read(path: Path) -> Frame:
    """Scan a file. Raises PartInvalid if it is not a bundle or exceeds a limit, OSError."""
    file = path.open("rb")
    size = os.fstat(file.fileno()).st_size
    if size > MAX_FILE_BYTES:
        raise PartInvalid(f"{path}: a bundle has at most {MAX_FILE_BYTES} bytes")
    frame = Frame(file, size)
    scan = _Scan(frame)
    scan.run()
    raw = bytes(scan.skeleton)
    if not raw.endswith(b"\n"):
        raise PartInvalid("not a bundle: it does not end with a line feed, or is cut short")
    check_canonical(raw[:-1], "the file")
    frame.value = json.loads(raw)
    for place, parts in frame.parts.items():
        _emptied(frame.value, place, len(parts))
    return frame


def _emptied(value: Any, place: Place, count: int) -> None:
    """Empty the list that held parts, so that nothing else in it goes unnoticed."""
    holder = value
    for step in place[:-1]:
        holder = holder[step]
    if len(holder[place[-1]]) != count:
        raise PartInvalid(f"not a bundle: {_text(place)} must be a list of objects")
    holder[place[-1]] = []


def _text(place: Place) -> str:
    return ".".join(map(str, place))


@dataclass
class _Open:
    """An object or list that the scan is in."""

    is_list: bool
    step: str | int | None = None
    """The present key or index."""
    key_at: int = 0


class _Scan:
    """Finds the parts by brackets and strings alone; that it is JSON is checked part by part."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.skeleton = bytearray()
        self.within: list[_Open] = []
        self.count = 0
        self.reset(None)

    def reset(self, start: int | None) -> None:
        """Begin a part, or go back to the frame."""
        self.start = start
        self.depth = 0
        self.tokens = 0

    def run(self) -> None:
        carried, base = b"", 0
        frame_tokens = 0
        while True:
            piece = self.frame.file.read(PIECE_BYTES)
            buffer = carried + piece
            done = len(buffer)
            copied = 0
            for match in _TOKEN.finditer(buffer):
                at, end = match.span()
                token = buffer[at]
                if token == 0x22 and end - at == 1:  # A string that goes on in the next piece.
                    done = at
                    break
                if self.start is not None:
                    if self._inside(token):
                        self._close(base + end)
                        copied = end
                    continue
                frame_tokens += 1
                if self._outside(token, buffer[at:end], base + at):
                    self.skeleton += buffer[copied:at] + b"0"
                    self.reset(base + at)
                    self._inside(token)
            if self.start is None:
                self.skeleton += buffer[copied:done]
            self._limits(base + done, max(frame_tokens, self.tokens), len(buffer) - done)
            if not piece:
                break
            carried, base = buffer[done:], base + done
        if done != len(buffer) or self.start is not None or self.within:
            raise PartInvalid("not a bundle: the file is cut short")

    def _limits(self, at: int, tokens: int, carried: int) -> None:
        part = 0 if self.start is None else at - self.start
        if max(part, carried, len(self.skeleton)) > MAX_PART_BYTES:
            raise PartInvalid(
                f"near byte {at}: one part of a bundle (an event, an attempt, a run) has at most "
                f"{MAX_PART_BYTES} bytes"
            )
        if tokens > MAX_PART_TOKENS or self.count > MAX_PARTS:
            raise PartInvalid(
                f"near byte {at}: a bundle has at most {MAX_PARTS} parts of {MAX_PART_TOKENS} "
                "values each"
            )

    def _inside(self, token: int) -> bool:
        """Return whether the part ends with this token."""
        self.tokens += 1
        if token in b"{[":
            self.depth += 1
            if self.depth > MAX_DEPTH:
                # A deeper one would end the process where a library raised the recursion limit.
                raise PartInvalid(f"not a bundle: nested deeper than {MAX_DEPTH}")
        elif token in b"}]":
            self.depth -= 1
            return self.depth == 0
        return False

    def _close(self, end: int) -> None:
        assert self.start is not None
        self._limits(end, self.tokens, 0)
        place = tuple(each.step for each in self.within[:-1])
        parts = self.frame.parts.get(place)  # type: ignore[arg-type]
        if parts is None:
            parts = Parts(self.frame.file, place, json.loads)  # type: ignore[arg-type]
            self.frame.parts[place] = parts  # type: ignore[index]
        parts.add(self.start, end)
        self.count += 1
        self.reset(None)

    def _outside(self, token: int, text: bytes, at: int) -> bool:
        """Follow the frame; whether a part begins with this token."""
        top = self.within[-1] if self.within else None
        if token == 0x22:
            if top is not None and not top.is_list and top.step is None:
                top.step, top.key_at = text[1:-1].decode("utf-8", "replace"), at
            elif len(self.within) == 1 and top is not None and top.step == "digest":
                self.frame.digest_span = (top.key_at, at + len(text) + 1)
        elif token == 0x2C:
            if top is not None:
                top.step = int(top.step or 0) + 1 if top.is_list else None
        elif token in b"{[":
            if token == 0x7B and top is not None and top.is_list and self._is_part():
                return True
            if len(self.within) == MAX_DEPTH:
                raise PartInvalid(f"not a bundle: nested deeper than {MAX_DEPTH}")
            self.within.append(_Open(token == 0x5B, 0 if token == 0x5B else None))
        elif self.within:
            self.within.pop()
        return False

    def _is_part(self) -> bool:
        place = tuple(0 if each.is_list else each.step for each in self.within[:-1])
        return place in _LISTS
