"""Checks certificates: which authority says that a pinned key is an organization's.

A spec pins its sites' keys, and a bundle carries the certificates that the consortium's authority
issued for them. Without an authority that the reader has from elsewhere they prove nothing: whoever
writes a bundle can be an authority. That a certificate was not revoked no bundle can prove.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from federated.errors import InvalidInput
from federated.protocol.identity import organization_urn
from federated.provenance.bundle import Bundle
from federated.provenance.verify import BundleCheck, Check
from federated.verify.parts import checked, specs_of
from federated.wire.base import decode_bytes, encode_bytes
from federated.wire.campaign import CampaignSpec

SECTION = "certificates"


@dataclass(frozen=True)
class _Certified:
    """A certificate and the organization that it names."""

    certificate: x509.Certificate
    organization: str
    public_key: str


def authorities_read(path: Path) -> tuple[x509.Certificate, ...]:
    """The certificates of one or more authorities, in PEM. Raises InvalidInput."""
    try:
        found = x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise InvalidInput(f"--trust {path}: cannot be read: {error.strerror}") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidInput(f"--trust {path}: not a PEM certificate") from error
    for certificate in found:
        if not _is_authority(certificate):
            name = certificate.subject.rfc4514_string()
            raise InvalidInput(f"--trust {path}: {name} is no certificate authority")
    return tuple(found)


def trust_checks(authorities: Sequence[x509.Certificate] = ()) -> BundleCheck:
    """Checks that certificates name the organizations whose keys the bundle's specs pin, and,
    given ``authorities``, that one of those issued one for each, valid when the spec was made.
    """

    def certificates(bundle: Bundle) -> Iterator[Check]:
        pins = list(_pins(bundle))
        raw = bundle.sections.get(SECTION, [])
        if not isinstance(raw, list):
            yield Check(SECTION, "failed", f"sections.{SECTION} is not a list")
            return
        found: list[_Certified] = []
        pinned = {key for each in pins for key in each.keys}
        for position, item in enumerate(raw):
            try:
                found.append(_read(item, pinned))
            except InvalidInput as error:
                yield Check(f"certificate {position}", "failed", error.message)
        if len({each.certificate for each in found}) != len(found):
            yield Check(SECTION, "failed", "one is given twice")
        if found:
            yield Check(SECTION, "ok", f"{len(found)} name the organizations whose keys they hold")
        if not authorities:
            what = "not checked that the pinned keys are the organizations': give --trust ca.pem"
            yield Check("trust", "skipped", what)
            return
        issued = [each for each in found if _is_issued(each.certificate, authorities)]
        for each in pins:
            yield checked(f"{each.what} trust", partial(_trusted, each, issued, found))

    return certificates


@dataclass(frozen=True)
class _Pins:
    """The keys that a spec and its key epoch pin, by whose, and when they were pinned."""

    what: str
    at: datetime
    keys: frozenset[tuple[str, str]]


def _pins(bundle: Bundle) -> Iterator[_Pins]:
    """Of each spec. Raises InvalidInput for a record or a time that is none."""
    specs = list(specs_of(bundle))
    logged = _first_named(bundle, frozenset(spec.digest() for spec, _ in specs))
    for spec, epoch in specs:
        keys = frozenset((p.organization, p.public_key) for p in spec.participants)
        keys |= {(t.organization, t.public_key) for t in epoch.trustees}
        if isinstance(spec, CampaignSpec):
            label, claimed = f"campaign {spec.campaign_id[:8]}", spec.created_at
        else:
            label, claimed = f"job {spec.job_id[:8]}", spec.proposed_at
        at = logged.get(spec.digest()) or _time(claimed)
        yield _Pins(label, at, keys)


def _first_named(bundle: Bundle, wanted: frozenset[str]) -> dict[str, datetime]:
    """Returns when the log first named each spec's digest: a proposer's clock may be wrong."""
    named: dict[str, datetime] = {}
    for _, event in bundle.events():
        for digest in wanted.intersection(event.digests.values()):
            named[digest] = min(named.get(digest, event.time), event.time)
    return named


def _time(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput(f"the spec's time {text!r} is no time") from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _trusted(pins: _Pins, issued: Sequence[_Certified], given: Sequence[_Certified]) -> str:
    """Every pinned key has a certificate of an authority, valid then. Raises InvalidInput."""
    for organization, public_key in sorted(pins.keys):
        whose = f"the certificate of {organization}'s key"
        own = [each.certificate for each in issued if each.public_key == public_key]
        if not own:
            stranger = any(each.public_key == public_key for each in given)
            what = "another authority's" if stranger else "not in the bundle"
            raise InvalidInput(f"{whose} is {what}")
        if not any(c.not_valid_before_utc <= pins.at <= c.not_valid_after_utc for c in own):
            raise InvalidInput(f"{whose} was not valid on {pins.at.isoformat()}")
    return f"the given authority certified all {len(pins.keys)} pinned keys"


def _read(item: object, pinned: set[tuple[str, str]]) -> _Certified:
    """Raises InvalidInput for a certificate that is not a site's, or whose key is not pinned."""
    try:
        certificate = x509.load_der_x509_certificate(decode_bytes(str(item)))
        names = [str(name.value) for name in _alternative_names(certificate)]
        spki = certificate.public_key().public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        authority = _is_authority(certificate)
    except (ValueError, UnsupportedAlgorithm, x509.ExtensionNotFound) as error:
        raise InvalidInput("not the certificate of a site") from error
    public_key = encode_bytes(spki)
    organizations = {name for name, key in pinned if key == public_key}
    if not organizations:
        raise InvalidInput("its key is pinned by no spec of the bundle")
    if authority or ExtendedKeyUsageOID.CLIENT_AUTH not in usage:
        raise InvalidInput("not for a site's use")
    organization = min(organizations)
    if names != [organization_urn(organization)]:
        named = ", ".join(names) or "nobody"
        raise InvalidInput(f"holds the key that is pinned for {organization}, but names {named}")
    return _Certified(certificate, organization, public_key)


def _alternative_names(certificate: x509.Certificate) -> Iterable[x509.GeneralName]:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return names.value


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        found = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    except (ValueError, x509.ExtensionNotFound):
        return False
    return found.value.ca


def _is_issued(certificate: x509.Certificate, authorities: Sequence[x509.Certificate]) -> bool:
    for authority in authorities:
        try:
            certificate.verify_directly_issued_by(authority)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            continue
        return True
    return False
