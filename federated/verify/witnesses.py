"""The verifier's checks of witnesses: who cosigned a log up to where, and what a site saw of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from federated.errors import DomainError, InvalidInput
from federated.protocol.identity import verify_signed
from federated.provenance.bundle import Bundle, BundleLog
from federated.provenance.checkpoint import (
    VerifierKey,
    parse_checkpoint,
    split_note,
    verify_checkpoint,
)
from federated.provenance.cosignature import CosignerKey, cosignatures, witness_name
from federated.provenance.verify import BundleCheck, Check
from federated.site.folder import SiteHome
from federated.site.witness import LOGS, Head, LogDeceives, Witness
from federated.verify.parts import specs_of
from federated.wire.base import Signed
from federated.wire.witness import WitnessKey


@dataclass
class _Panel:
    """The witnesses that a bundle lists, by key name; only `pinned` ones count."""

    pinned: dict[str, CosignerKey]
    listed: dict[str, CosignerKey] = field(default_factory=dict)
    seats: set[str] = field(default_factory=set)
    problems: list[Check] = field(default_factory=list)


def witness_checks(witness_keys: Sequence[str] = ()) -> BundleCheck:
    """Checks cosignatures, and how many of the witnesses made each log final up to where.

    A witness counts if its key is bound by a site key that the bundle's specs pin, or is among
    ``witness_keys`` (C2SP vkeys of type 0x04, obtained elsewhere). Every organization whose site
    key is pinned has a seat. Raises InvalidInput for a key that is none.
    """
    known = {key.name: key for key in map(CosignerKey.parse, witness_keys)}

    def witnesses(bundle: Bundle) -> Iterator[Check]:
        panel = _panel(bundle, known)
        yield from panel.problems
        for log in bundle.logs:
            yield _log_check(log, panel)

    return witnesses


def _panel(bundle: Bundle, known: Mapping[str, CosignerKey]) -> _Panel:
    panel = _Panel(pinned=dict(known), listed=dict(known), seats=set(known))
    site_keys = _site_keys(bundle)
    rows = bundle.sections.get("witnesses", [])
    if not isinstance(rows, list):
        panel.problems.append(Check("witnesses", "failed", "sections.witnesses is not a list"))
        return panel
    for raw in rows:
        try:
            signed = Signed[WitnessKey].parse(raw if isinstance(raw, dict) else {})
            _bind(panel, signed, site_keys.get(signed.body.organization, set()))
        except DomainError as error:
            panel.problems.append(Check("witness", "failed", error.message))
    consortium = {log.origin.split("/")[0] for log in bundle.logs}
    panel.seats |= {witness_name(each, slug) for each in consortium for slug in site_keys}
    return panel


def _bind(panel: _Panel, signed: Signed[WitnessKey], site_keys: set[str]) -> None:
    """List a witness; count it if a pinned site key signed it. Raises DomainError."""
    body = signed.body
    key = CosignerKey.parse(body.key)
    if key.name != witness_name(body.consortium, body.organization):
        raise InvalidInput(f"the witness key of {body.organization} has the name {key.name}")
    if panel.listed.setdefault(key.name, key) != key:
        raise InvalidInput(f"{key.name} has another key than the known one")
    if not site_keys:
        what = f"{body.organization}: no spec of the bundle pins its site key; it does not count"
        panel.problems.append(Check("witness", "skipped", what))
        return
    problem: DomainError | None = None
    for public_key in sorted(site_keys):
        try:
            verify_signed(signed, public_key)
        except DomainError as error:
            problem = error
        else:
            panel.pinned[key.name] = key
            return
    assert problem is not None
    raise problem


def _site_keys(bundle: Bundle) -> dict[str, set[str]]:
    """The site keys that specs pin, by organization."""
    found: dict[str, set[str]] = {}
    for spec, _ in specs_of(bundle):
        for participant in spec.participants:
            found.setdefault(participant.organization, set()).add(participant.public_key)
    return found


def _log_check(log: BundleLog, panel: _Panel) -> Check:
    name = f"log {log.origin}: witnesses"
    # Of an organization's own log that organization alone is a witness.
    listed = {n: key for n, key in panel.listed.items() if n.startswith(f"{log.origin}/")}
    seats = {seat for seat in panel.seats if seat.startswith(f"{log.origin}/")}
    try:
        sizes = _cosigned(log, listed)
    except InvalidInput as error:
        return Check(name, "failed", error.message)
    counted = {name_: size for name_, size in sizes.items() if name_ in panel.pinned}
    if not counted:
        return Check(name, "skipped", "no witness whose key is pinned has cosigned it")
    needed = len(seats) // 2 + 1
    of = f"{len(counted)} of {len(seats)} witnesses"
    if len(counted) < needed:
        detail = f"cosigned by {of}, up to size {max(counted.values())}: {needed} make it final"
        return Check(name, "skipped", detail)
    final = sorted(counted.values(), reverse=True)[needed - 1]
    under = sum(event.index < final for event in log.events)
    detail = f"cosigned by {of}; final up to size {final}: {under} of {len(log.events)} events"
    return Check(name, "ok", detail)


def _cosigned(log: BundleLog, listed: Mapping[str, CosignerKey]) -> dict[str, int]:
    """The largest checkpoint that each witness cosigned. Raises InvalidInput for a stranger."""
    own = VerifierKey.parse(log.verifier_key)
    expected = {(key.name, key.key_id) for key in (own, *listed.values())}
    sizes: dict[str, int] = {}
    for note in log.checkpoints:
        for line in split_note(note)[1]:
            if (line.name, line.key_id) not in expected:
                raise InvalidInput(f"signed by {line.name}, a witness that the bundle lacks")
        size = parse_checkpoint(note).size
        for one in cosignatures(note, listed.values()):
            sizes[one.name] = max(size, sizes.get(one.name, 0))
    return sizes


def site_checks(home: SiteHome) -> BundleCheck:
    """Compares a bundle's checkpoints with those that the site itself cosigned.

    Another root for a size that the site cosigned is a fork, which is kept as evidence.
    """

    def own_heads(bundle: Bundle) -> Iterator[Check]:
        witness = Witness(home)
        mine = {witness.origin(log): log for log in LOGS}
        for log in bundle.logs:
            name = f"log {log.origin}: this site's heads"
            if log.origin not in mine:
                yield Check(name, "skipped", "this site is no witness of it")
                continue
            key = witness.log_key_pinned(mine[log.origin])
            if key is None:
                yield Check(name, "skipped", "this site has cosigned nothing of it")
                continue
            shared = 0
            try:
                for note in log.checkpoints:
                    shown = Head(verify_checkpoint(note, key), note)
                    held = witness.head_of(mine[log.origin], shown.size, key)
                    if held is not None:
                        witness.confront(held, shown, None, whose="this site's head")
                        shared += 1
            except (InvalidInput, LogDeceives) as error:
                yield Check(name, "failed", error.message)
                continue
            if shared:
                yield Check(name, "ok", f"{shared} checkpoints are those that this site cosigned")
            else:
                yield Check(name, "skipped", "no checkpoint has a size that this site cosigned")

    return own_heads
