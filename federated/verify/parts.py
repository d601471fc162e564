"""What the verifier's checks of jobs and of campaigns share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from federated.errors import DomainError, InvalidInput
from federated.protocol.identity import verify_signed
from federated.provenance.bundle import Bundle, record_read
from federated.provenance.verify import Check
from federated.wire.base import M, Message, Signed
from federated.wire.campaign import CampaignRecord, CampaignSpec
from federated.wire.job import JobSpec, Participant
from federated.wire.key import KeyEpoch
from federated.wire.record import JobRecord

SECTIONS = frozenset({"jobs", "campaigns", "certificates", "witnesses"})


def section_checks(bundle: Bundle) -> Iterator[Check]:
    """What no check reads, nobody vouches for."""
    for name in sorted(bundle.sections.keys() - SECTIONS):
        allowed = ", ".join(sorted(SECTIONS))
        yield Check(f"section {name}", "failed", f"this verifier knows none but {allowed}")


def checked(name: str, check: Callable[[], str]) -> Check:
    """The result of one check: what it returns, or what it raises."""
    try:
        return Check(name, "ok", check())
    except DomainError as error:
        return Check(name, "failed", error.message)


def equal(found: str, expected: str, what: str) -> str:
    """Raises InvalidInput where two digests differ."""
    if found != expected:
        raise InvalidInput(f"{what} is {found[:16]}, expected is {expected[:16]}")
    return f"{what} {found[:16]}"


def digests_in_log(bundle: Bundle) -> frozenset[str]:
    """Every digest and signature that an event of the bundle's logs names."""
    named: set[str] = set()
    for _, event in bundle.events():
        named.update(event.digests.values())
        if event.signature:
            named.add(event.signature)
    return frozenset(named)


def named_in_log(
    rows: Mapping[str, tuple[Signed[Message], ...]],
    release: Message | None,
    named: frozenset[str],
    more: Mapping[str, str] | None = None,
) -> str:
    """Every signed envelope, the release, and the digests of ``more`` are named by an event.

    Raises InvalidInput.
    """
    wanted = {
        f"{kind} of {getattr(signed.body, 'organization', '')}": signed.digest()
        for kind, group in rows.items()
        for signed in group
    }
    wanted |= more or {}
    if release is not None:
        wanted["release"] = release.digest()
    missing = sorted(name for name, digest in wanted.items() if digest not in named)
    if missing:
        raise InvalidInput(f"no event names the {', the '.join(missing)}")
    return f"{len(wanted)} digests"


def signatures(
    rows: tuple[Signed[Message], ...], key_of: Callable[[str], Participant | None]
) -> str:
    """Every statement is signed by its organization's pinned key. Raises InvalidInput."""
    for signed in rows:
        organization = getattr(signed.body, "organization", "")
        participant = key_of(organization)
        if participant is None:
            raise InvalidInput(f"{organization} takes no part")
        verify_signed(signed, participant.public_key)
    return f"{len(rows)} signatures"


def records_of(bundle: Bundle, section: str, kind: type[M], what: str) -> Iterator[M | Check]:
    """A section's records in their order, and a failed check in place of each that is none."""
    rows = bundle.sections.get(section, [])
    if not isinstance(rows, list):
        yield Check(section, "failed", f"sections.{section} is not a list")
        return
    for position, raw in enumerate(rows):
        if not isinstance(raw, dict):
            yield Check(f"{what} {position}", "failed", f"not a {what} record")
            continue
        try:
            yield record_read(kind, raw)
        except InvalidInput as error:
            yield Check(f"{what} {position}", "failed", error.message)


def specs_of(bundle: Bundle) -> Iterator[tuple[JobSpec | CampaignSpec, KeyEpoch]]:
    """One spec a record, and its key; one without an attempt pins nobody.

    Raises InvalidInput for no record.
    """
    for raw in _records(bundle, "jobs"):
        job = record_read(JobRecord, raw)
        for attempt in job.attempts[:1]:
            yield attempt.spec.body, job.key_epoch
    for raw in _records(bundle, "campaigns"):
        campaign = record_read(CampaignRecord, raw)
        for run in campaign.runs[:1]:
            yield run.spec, campaign.key_epoch


def _records(bundle: Bundle, section: str) -> list[dict[str, Any]]:
    listed = bundle.sections.get(section, [])
    return [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
