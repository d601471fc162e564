"""The offline verifier: recompute what a bundle claims, trust nothing but a pinned key.

`verify_bundle` runs the checks of this module (logs and anchors) and then those that the caller
gives: functions from a bundle to results. A check that fails says which event, log or anchor is
wrong and how; only a file that is not a bundle raises (`BundleInvalid`).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from federated.errors import DomainError, InvalidInput
from federated.provenance import merkle
from federated.provenance.bundle import Anchor, Bundle, BundleEvent, BundleLog, load_bundle
from federated.provenance.checkpoint import (
    Checkpoint,
    VerifierKey,
    parse_checkpoint,
    verify_checkpoint,
)
from federated.provenance.events import Event

Status = Literal["ok", "failed", "skipped"]


@dataclass(frozen=True)
class Check:
    """One thing that was verified, or could not be."""

    name: str
    status: Status
    detail: str


@dataclass(frozen=True)
class Report:
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return not self.failures

    @property
    def failures(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.status == "failed")


BundleCheck = Callable[[Bundle], Iterable[Check]]


def verify_bundle(
    source: Bundle | dict[str, Any] | str | os.PathLike[str],
    *,
    checks: Sequence[BundleCheck] = (),
    log_keys: Sequence[str] = (),
) -> Report:
    """Verify a bundle, given as an object, a dictionary or a file's path.

    `checks` run after the checks of logs and anchors. `log_keys` are verifier keys
    (``name+id+key``) obtained elsewhere; a log without one is checked against the key in the
    bundle, and the report says so. Raises `BundleInvalid` if the source is not a bundle.
    """
    return Report(tuple(bundle_checked(load_bundle(source), checks=checks, log_keys=log_keys)))


def bundle_checked(
    bundle: Bundle, *, checks: Sequence[BundleCheck] = (), log_keys: Sequence[str] = ()
) -> Iterator[Check]:
    """The results of `verify_bundle`, each as soon as it is known."""
    pinned = log_keys_read(log_keys)
    if len({log.origin for log in bundle.logs}) != len(bundle.logs):
        yield Check("logs", "failed", "a log is given twice")
    for origin in pinned.keys() - {log.origin for log in bundle.logs}:
        yield Check(f"log {origin}: key", "failed", "pinned, but the bundle has no such log")
    for log in bundle.logs:
        yield from _log_checks(log, pinned)
    yield from _anchor_checks(bundle)
    for check in checks:
        yield from _guarded(check, bundle)
    yield from _digest_check(bundle)


def log_keys_read(log_keys: Sequence[str]) -> dict[str, VerifierKey]:
    """Pinned keys by their logs' origins. Raises InvalidInput for one that is none."""
    pinned = {key.name: key for key in map(VerifierKey.parse, log_keys)}
    if len(pinned) != len(set(log_keys)):
        raise InvalidInput("two keys of one log are given")
    return pinned


def _digest_check(bundle: Bundle) -> Iterator[Check]:
    if bundle.digest is None:
        return  # Made in memory: a file always has one (load_bundle).
    if bundle.digest != bundle.content_digest():
        yield Check("digest", "failed", "the bundle was changed after it was written")
    else:
        yield Check("digest", "ok", bundle.digest)


def _guarded(check: BundleCheck, bundle: Bundle) -> Iterator[Check]:
    """A check's results; malformed content that it stumbles over is a failure, not a traceback."""
    try:
        yield from check(bundle)
    except (
        ArithmeticError,
        AttributeError,
        DomainError,
        LookupError,
        TypeError,
        ValueError,
    ) as exc:
        name = getattr(check, "__name__", "check").strip("_").replace("_", " ")
        what = exc.message if isinstance(exc, DomainError) else f"{type(exc).__name__}: {exc}"
        yield Check(name, "failed", f"stopped at malformed content: {what}")


def _log_checks(log: BundleLog, pinned: dict[str, VerifierKey]) -> Iterator[Check]:
    name = f"log {log.origin}"
    try:
        claimed = VerifierKey.parse(log.verifier_key)
        key = pinned.get(log.origin, claimed)
        if log.origin in pinned and claimed != key:
            yield Check(f"{name}: key", "failed", "the bundle's key is not the pinned key")
        elif log.origin in pinned:
            yield Check(f"{name}: key", "ok", "the pinned key")
        else:
            yield Check(f"{name}: key", "skipped", f"not pinned; the bundle says {claimed}")
        heads = [verify_checkpoint(note, key) for note in log.checkpoints]
        if any(head.origin != log.origin for head in heads):
            raise InvalidInput("a checkpoint belongs to another log")
    except InvalidInput as exc:
        yield Check(f"{name}: checkpoints", "failed", exc.message)
        return
    yield Check(f"{name}: checkpoints", "ok", f"{len(heads)} signed, up to size {heads[-1].size}")
    yield _consistency_check(name, log, heads)
    yield from _event_checks(name, log, heads[-1])


def _consistency_check(name: str, log: BundleLog, heads: list[Checkpoint]) -> Check:
    name = f"{name}: consistency"
    if len(log.consistency) != len(heads) - 1:
        return Check(name, "failed", "there must be one proof between two checkpoints")
    for (old, new), proof in zip(pairwise(heads), log.consistency, strict=True):
        try:
            path = [bytes.fromhex(item) for item in proof]
            merkle.verify_consistency(old.size, new.size, old.root, new.root, path)
        except InvalidInput as exc:
            detail = f"size {new.size} does not extend size {old.size}: {exc.message}"
            return Check(name, "failed", detail)
    return Check(name, "ok", f"sizes {heads[0].size} to {heads[-1].size} extend one another")


def _event_checks(name: str, log: BundleLog, head: Checkpoint) -> Iterator[Check]:
    seen: set[int] = set()
    identifiers: set[str] = set()
    failed = 0
    tree = merkle.InclusionVerifier(head.size, head.root)
    for item in log.events:
        problem = _event_problem(item, log, tree)
        if problem is None and (item.index in seen or item.id in identifiers):
            problem = "given twice"
        seen.add(item.index)
        identifiers.add(item.id)
        if problem is not None:
            failed += 1
            yield Check(f"{name}: event", "failed", f"{_named(item, log)}: {problem}")
    if not failed:
        whole = "all" if seen == set(range(head.size)) else f"{len(seen)} of {head.size}"
        yield Check(f"{name}: events", "ok", f"{whole} events are in the tree of size {head.size}")


def _event_problem(item: BundleEvent, log: BundleLog, tree: merkle.InclusionVerifier) -> str | None:
    """Returns what is wrong with an event, if anything."""
    proof = [bytes.fromhex(part) for part in item.proof]
    try:
        tree.verify(merkle.leaf_hash(item.data), item.index, proof)
    except InvalidInput as exc:
        try:
            recorded = bytes.fromhex(item.leaf_hash)
            tree.verify(recorded, item.index, proof)
        except InvalidInput:
            return f"not in the signed tree ({exc.message})"
        return "edited after it was logged: its content no longer has the hash in the signed tree"
    if merkle.leaf_hash(item.data).hex() != item.leaf_hash:
        return "another leaf hash is given beside it than the one in the signed tree"
    try:
        event = Event.parse(item.data)
    except InvalidInput as exc:
        return exc.message
    if event.origin != log.origin:
        return f"belongs to the log {event.origin}"
    if event.id != item.id:
        return f"logged under another id, {event.id}"
    return _row_problem(item, event)


def _row_problem(item: BundleEvent, event: Event) -> str | None:
    """The coordinator's columns must say what the logged bytes say: pages are made from rows."""
    if item.row is None:
        return None
    logged = {
        "tag": event.tag,
        "at": event.time,
        "actor": event.actor.model_dump(mode="json"),
        "subject_kind": event.subject.kind,
        "subject_id": event.subject.id,
    }
    try:
        shown = item.row.model_dump() | {"at": item.row.time}
    except ValueError:
        return "edited after it was logged: the row's time is no time"
    wrong = [field for field, value in logged.items() if shown[field] != value]
    if wrong:
        return f"edited after it was logged: the row's {', '.join(wrong)} differ from the log"
    return None


def _named(item: BundleEvent, log: BundleLog) -> str:
    """Log, index, id and tag: the tag from the content, else from the row."""
    try:
        tag = Event.parse(item.data).tag
    except InvalidInput:
        tag = item.row.tag if item.row else "unknown tag"
    return f"{log.origin} #{item.index} {item.id} ({tag})"


def _anchor_checks(bundle: Bundle) -> Iterator[Check]:
    if not bundle.anchors:
        yield Check("anchors", "skipped", "nothing of this bundle is anchored on a chain")
        return
    logs = {log.origin: log for log in bundle.logs}
    for anchor in bundle.anchors:
        name = f"anchor {anchor.size} of {anchor.origin}"
        try:
            covered = _anchor_covers(anchor, logs)
        except InvalidInput as exc:
            yield Check(name, "failed", exc.message)
            continue
        place = f"block {anchor.block_number} of chain {anchor.chain_id}, {anchor.tx_hash}"
        yield Check(name, "ok", f"covers {covered}; claimed in {place}")


def _anchor_covers(anchor: Anchor, logs: dict[str, BundleLog]) -> str:
    """Returns what an anchor's root covers of the bundle's logs. Raises `InvalidInput`."""
    heads = [parse_checkpoint(note) for note in anchor.notes]
    origins = [head.origin for head in heads]
    if origins != sorted(set(origins)):
        raise InvalidInput("the notes under the root are not ordered by origin")
    if not all(f"{origin}/".startswith(f"{anchor.origin}/") for origin in origins):
        raise InvalidInput(f"the notes under the root are not all of {anchor.origin}'s logs")
    if sum(head.size for head in heads) != anchor.size:
        raise InvalidInput("the sizes under the root do not add up to the anchor's size")
    if merkle.root_of(note.encode() for note in anchor.notes).hex() != anchor.root:
        raise InvalidInput("the notes do not lead to the anchored root")
    covered = []
    for head, note in zip(heads, anchor.notes, strict=True):
        log = logs.get(head.origin)
        if log is None:
            continue
        # A checkpoint may have gathered cosignatures after it was anchored.
        if not any(given.startswith(note) for given in log.checkpoints):
            raise InvalidInput(
                f"the anchored checkpoint {head.size} of {head.origin} is not one of the log's"
            )
        covered.append(f"{head.origin} up to {head.size}")
    if not covered:
        raise InvalidInput("the anchor covers none of the bundle's logs")
    return ", ".join(covered)


def origin_hash(origin: str) -> bytes:
    """The key of an origin in the AnchorRegistry contract: SHA-256 of its UTF-8 bytes."""
    return hashlib.sha256(origin.encode()).digest()
