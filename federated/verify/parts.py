"""The verifier's checks that jobs and campaigns have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from federated.errors import DomainError, InvalidInput
from federated.protocol.agreement import AnyAgreement
from federated.protocol.checks import charges_check
from federated.protocol.identity import verify_signed
from federated.protocol.kinds import Kind, kind_of
from federated.protocol.transcript import expired_check, transcript_check
from federated.provenance.bundle import Bundle, record_read
from federated.provenance.verify import Check
from federated.wire.base import M, Signed
from federated.wire.campaign import CampaignRecord, CampaignSpec
from federated.wire.job import JobSpec
from federated.wire.key import KeyEpoch
from federated.wire.record import JobRecord
from federated.wire.round import ClosedAttempt

SECTIONS = frozenset({"jobs", "campaigns", "certificates", "witnesses"})


def section_checks(bundle: Bundle) -> Iterator[Check]:
    """Fails for sections that no check reads: nothing in them would be verified."""
    for name in sorted(bundle.sections.keys() - SECTIONS):
        allowed = ", ".join(sorted(SECTIONS))
        yield Check(f"section {name}", "failed", f"this verifier knows none but {allowed}")


def checked(name: str, check: Callable[[], str]) -> Check:
    """The result of one check: what it returns, or what it raises."""
    try:
        return Check(name, "ok", check())
    except DomainError as error:
        return Check(name, "failed", error.message)


def equal(shown: str, expected: str, what: str) -> str:
    """Raises InvalidInput where two digests differ."""
    if shown != expected:
        raise InvalidInput(f"{what} is {shown[:16]}, expected is {expected[:16]}")
    return f"{what} {shown[:16]}"


def digests_in_log(bundle: Bundle) -> frozenset[str]:
    """Every digest and signature that an event of the bundle's logs names."""
    named: set[str] = set()
    for _, event in bundle.events():
        named.update(event.digests.values())
        if event.signature:
            named.add(event.signature)
    return frozenset(named)


def epoch_check(label: str, epoch: KeyEpoch, pinned: str) -> Check:
    """That a record's key epoch is the one that its spec pins; without it nothing else holds."""
    return checked(f"{label} key epoch", partial(equal, epoch.digest(), pinned, "key epoch digest"))


def closed_check(transcript: ClosedAttempt, agreement: AnyAgreement) -> str:
    """Check spec, approvals, context, contributions and charges of a closed attempt."""
    kind = kind_of(agreement)
    check = expired_check if transcript.left else transcript_check
    cohort = check(transcript, agreement=agreement)
    if transcript.release is not None or transcript.shares:
        charges_check(transcript.receipts, agreement=agreement, cohort=cohort)
    return (
        f"{len(transcript.approvals)} countersignatures, {len(cohort.members)} "
        f"{kind.contribution}s {'by digest' if transcript.left else 'with proofs'}, "
        f"{len(transcript.receipts)} charges"
    )


def gone(transcript: ClosedAttempt, agreement: AnyAgreement) -> str:
    """What of an attempt cannot be checked any more."""
    kind = kind_of(agreement)
    noise = f", {len(_noise_left(transcript, kind))} noise shares" if kind.noising else ""
    return (
        f"expired by retention: {len(transcript.left)} {kind.contribution}s{noise} and their "
        "proofs, and the proofs of shares, which need them; digests are left"
    )


def retention_check(expired: bool, what: str) -> str:
    """Contributions are not left out at will: the log says that they were deleted."""
    if not expired:
        raise InvalidInput(f"{what} are missing, and no event says that they expired")
    return f"an event says that the {what} expired"


def logged(transcript: ClosedAttempt, agreement: AnyAgreement, named: frozenset[str]) -> str:
    """Every signed envelope of a released attempt, and its release, must be named by an event.

    Raises InvalidInput.
    """
    kind, name = kind_of(agreement), "{} of {}".format
    rows: dict[str, Iterable[Signed[Any]]] = {
        kind.contribution: transcript.given,
        "charge": transcript.receipts,
        "share": transcript.shares,
    }
    if kind.noising:
        rows["noise"] = transcript.noise  # type: ignore[attr-defined]
    wanted = {
        name(what, signed.body.organization): signed.digest()
        for what, group in rows.items()
        for signed in group
    }
    wanted |= {name(kind.contribution, e.organization): e.envelope for e in transcript.left}
    wanted |= {name("noise", e.organization): e.envelope for e in _noise_left(transcript, kind)}
    wanted["release"] = transcript.release.digest()
    missing = sorted(each for each, digest in wanted.items() if digest not in named)
    if missing:
        raise InvalidInput(f"no event names the {', the '.join(missing)}")
    return f"{len(wanted)} digests"


def _noise_left(transcript: Any, kind: Kind) -> Sequence[Any]:
    return transcript.noise_left if kind.noising else ()


def statements(
    label: str, agreement: AnyAgreement, groups: Mapping[str, Sequence[Any]]
) -> Iterator[Check]:
    """Signatures of verdicts and of those that say no; a verdict that disagrees fails.

    A trustee of the key may speak that takes no part itself.
    """
    for kind, rows in groups.items():
        if rows:
            yield checked(f"{label} {kind}", partial(_signatures, rows, agreement))
    against = [signed.body for signed in groups["verdicts"] if not signed.body.agrees]
    if against:
        yield Check(
            f"{label} verdicts agree",
            "failed",
            "; ".join(f"{body.organization}: {body.detail}" for body in against),
        )


def _signatures(rows: Sequence[Signed[Any]], agreement: AnyAgreement) -> str:
    """Every statement is signed by its organization's pinned key. Raises InvalidInput."""
    for signed in rows:
        organization = signed.body.organization
        speaker = agreement.participant(organization) or agreement.trustee(organization)
        if speaker is None:
            raise InvalidInput(f"{organization} takes no part")
        verify_signed(signed, speaker.public_key)
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
    """Yields one spec and its key per record; a record without an attempt pins no key.

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
