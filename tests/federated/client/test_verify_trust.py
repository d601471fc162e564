"""`federated verify --trust`: pinned keys are those that the consortium's authority certified."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from federated.command.root import main
from federated.crypto.signatures import generate_private_key
from federated.protocol.identity import load_public_key
from federated.provenance.bundle import Bundle
from federated.provenance.verify import Check
from federated.verify.trust import trust_checks
from federated.wire.base import encode_bytes
from tests.federated.protocol.conftest import CAST
from tests.federated.provenance.small_bundle import (
    authority,
    authority_key,
    make_certificate,
    small_bundle,
    small_bundle_bytes,
    small_consortium,
)


def checks(certificates: object, *authorities: x509.Certificate) -> list[Check]:
    raw = small_bundle()
    raw["sections"]["certificates"] = certificates
    return list(trust_checks(authorities)(Bundle.model_validate(raw)))


def failures(certificates: object, *authorities: x509.Certificate) -> list[str]:
    return [c.detail for c in checks(certificates, *authorities) if c.status == "failed"]


def honest() -> list[str]:
    return list(small_bundle()["sections"]["certificates"])


def with_first(name: str = CAST[0], *, key: str = CAST[0], **changes) -> list[str]:
    """The honest certificates with another one for the first site's key."""
    public = load_public_key(small_consortium().identities[key].public_key)
    made = make_certificate(name, public, **changes)
    return [encode_bytes(made.public_bytes(Encoding.DER)), *honest()[1:]]


def test_honest_certificates_hold_with_and_without_an_authority() -> None:
    assert [c.status for c in checks(honest(), authority())] == ["ok", "ok"]
    assert [c.status for c in checks(honest())] == ["ok", "skipped"]
    assert "--trust" in checks(honest())[1].detail


def test_a_renewed_certificate_beside_the_first_is_no_matter() -> None:
    renewed = with_first(start=datetime(2026, 1, 10, tzinfo=UTC))[:1]
    assert failures([*honest(), *renewed], authority()) == []


def test_without_certificates_nothing_is_certified() -> None:
    assert [c.status for c in checks([])] == ["skipped"]
    (detail,) = failures([], authority())
    assert "not in the bundle" in detail


def test_one_that_is_missing_names_its_organization() -> None:
    (detail,) = failures(honest()[1:], authority())
    assert CAST[0] in detail


def test_another_authoritys_certificate() -> None:
    key = generate_private_key()
    stranger = make_certificate("authority", key.public_key(), ca=True, signer=key)
    (detail,) = failures(honest(), stranger)
    assert "another authority's" in detail
    assert failures(with_first(signer=key), authority()) != []
    assert failures(honest(), stranger, authority()) == []


@pytest.mark.parametrize(
    "start", [datetime(2025, 11, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)]
)
def test_one_that_was_not_valid_when_the_spec_was_made(start: datetime) -> None:
    (detail,) = failures(with_first(start=start), authority())
    assert f"{CAST[0]}'s key was not valid on 2026-01-01" in detail


def test_a_key_that_is_certified_for_another_organization() -> None:
    for given in ((), (authority(),)):
        detail = failures(with_first(CAST[1]), *given)[0]
        assert f"pinned for {CAST[0]}, but names urn:federated:organization:{CAST[1]}" in detail


def test_a_key_that_no_spec_pins() -> None:
    made = make_certificate(CAST[0], generate_private_key().public_key())
    listed = [encode_bytes(made.public_bytes(Encoding.DER)), *honest()[1:]]
    assert "pinned by no spec" in failures(listed)[0]


def test_a_servers_certificate_or_an_authoritys_is_no_sites() -> None:
    assert failures(with_first(usage=ExtendedKeyUsageOID.SERVER_AUTH)) == ["not for a site's use"]
    assert failures(with_first(ca=True)) == ["not for a site's use"]


def test_one_given_twice() -> None:
    assert failures([*honest(), honest()[0]]) == ["one is given twice"]


@pytest.mark.parametrize("given", ["x", {}, [1], ["AAAA"], ["no base64!"], [None]])
def test_malformed_content_is_a_failed_check(given: object) -> None:
    assert failures(given) != []


def verify(path: Path, *more: object) -> Result:
    path.write_bytes(small_bundle_bytes())
    arguments = ["verify", path, "--json", *more]
    return CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)


def test_on_the_command_line(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_bytes(authority().public_bytes(Encoding.PEM))
    done = verify(tmp_path / "bundle.json", "--trust", ca)
    assert done.exit_code == 0
    found = {c["name"]: c["status"] for c in json.loads(done.stdout)["checks"]}
    assert found["certificates"] == "ok"
    assert [status for name, status in found.items() if name.endswith(" trust")] == ["ok"]


SITE = make_certificate(CAST[0], authority_key().public_key())
BAD = {
    "missing": None,
    "empty": b"",
    "no PEM": b"\xff\0",
    "a site's": SITE.public_bytes(Encoding.PEM),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_file_without_an_authority_is_one_line(tmp_path: Path, kind: str) -> None:
    ca, content = tmp_path / "ca.pem", BAD[kind]
    if content is not None:
        ca.write_bytes(content)
    done = verify(tmp_path / "bundle.json", "--trust", ca)
    assert (done.exit_code, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert str(ca) in done.stderr.replace("\n", "")
