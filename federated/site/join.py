"""Joining a consortium: keys made here, a one-time token, and the CA that the token pins.

The token is ``fsc1.<organization>.<secret>.<CA fingerprint>``. The CA certificate is fetched over
a connection that nothing is trusted on and nothing secret is sent on; it is used only if its
SHA-256 is the token's. The secret and the request go over a second connection, verified by it.
"""

from __future__ import annotations

import re
import ssl
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from federated.api.coordinator import CoordinatorAPI
from federated.api.credentials import (
    csr_pem,
    fingerprint,
    issued_check,
    read_private,
    trusting,
)
from federated.api.transport import TlsFailed
from federated.errors import InvalidInput, NotAuthenticated
from federated.files import write_durably, write_once
from federated.site.folder import About, SiteHome
from federated.wire.base import encode_bytes
from federated.wire.site import JoinRequest

_TOKEN = re.compile(
    r"fsc1\.(?P<slug>[a-z][a-z0-9_]{1,40})\.(?P<secret>[A-Za-z0-9_-]{16,128})\.(?P<ca>[0-9a-f]{64})"
)
FIRST_POLICY = """\
# What this site accepts; the coordinator cannot weaken it. Every key: federated/site/policy.py
approve: portal            # auto, portal (a person says yes there) or never
max_epsilon: 1.0
max_delta: 1.0e-5
minimum_cohort: 3
minimum_colluding: 1
minimum_key_bits: 3072
key_epochs: ask            # or [fingerprint, ...], as they were read out at the key ceremonies
allotment: {epsilon: 8.0, delta: 1.0e-4, period: year, max_queries_per_tenant: 100}
datasets: {}
"""


@dataclass(frozen=True)
class JoinToken:
    """A token's parts. ``text`` is secret until it is used."""

    text: str
    organization: str
    ca_fingerprint: str

    @classmethod
    def parse(cls, text: str) -> JoinToken:
        """Raises InvalidInput that says the form and repeats nothing of the token."""
        found = _TOKEN.fullmatch(text.strip())
        if found is None:
            raise InvalidInput(
                "the join token must be fsc1.<organization>.<secret>.<CA fingerprint>, "
                "whole and on one line"
            )
        return cls(found.group(), found["slug"], found["ca"])


def site_join(url: str, token: str, home: str | Path, **options: Any) -> SiteHome:
    """Join as the token's organization and write the site's folder.

    Run again after a lost answer with the same token and folder, it sends the same keys and gets
    the same certificate. ``options`` are CoordinatorAPI's. Raises InvalidInput for a malformed
    token, Conflict where the folder or the token is used, TlsFailed where the coordinator is not
    the one that the token names.
    """
    parsed = JoinToken.parse(token)
    folder = SiteHome.create(home)
    authority = authority_fetch(url, parsed.ca_fingerprint, **options)
    pending = folder.path / "joining.key"
    key = _signing_key(pending)
    encryption = _encryption_key(folder.path / "encryption.key")
    with closing(CoordinatorAPI(url, trusting((authority,)), **options)) as api:
        answer = api.join(
            JoinRequest(
                token=parsed.text,
                csr=csr_pem(key, parsed.organization),
                encryption_key=encode_bytes(encryption.public_key().public_bytes_raw()),
            )
        )
    certificate = issued_check(
        answer.certificate, key.public_key(), (authority,), parsed.organization
    )
    if answer.organization != parsed.organization:
        raise NotAuthenticated(
            f"the answer is for {answer.organization}, the token for {parsed.organization}"
        )
    if not folder.policy_path.exists():
        write_durably(folder.policy_path, FIRST_POLICY.encode())
    folder.about_write(About(answer.organization, answer.consortium, api.url))
    pem = serialization.Encoding.PEM
    write_durably(
        folder.pem, _pem(key) + certificate.public_bytes(pem) + authority.public_bytes(pem)
    )
    pending.unlink(missing_ok=True)
    return folder


def authority_fetch(url: str, expected: str, **options: Any) -> x509.Certificate:
    """The consortium's CA certificate, if it has the expected fingerprint.

    Raises TlsFailed for any other: somebody else answers at this address.
    """
    blind = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    blind.minimum_version = ssl.TLSVersion.TLSv1_3
    blind.check_hostname = False
    blind.verify_mode = ssl.CERT_NONE
    with closing(CoordinatorAPI(url, blind, **options)) as api:
        content = api.authority()
    try:
        certificate = x509.load_pem_x509_certificate(content)
    except ValueError as error:
        raise InvalidInput(f"{url}/api/ca: not a PEM certificate") from error
    if fingerprint(certificate) != expected:
        raise TlsFailed(
            f"{url}: its CA has fingerprint {fingerprint(certificate)[:16]}..., the token names "
            f"{expected[:16]}...; nothing was sent"
        )
    return certificate


def _signing_key(path: Path) -> ec.EllipticCurvePrivateKey:
    write_once(path, _pem(ec.generate_private_key(ec.SECP256R1())))
    key = serialization.load_pem_private_key(read_private(path), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def _encryption_key(path: Path) -> X25519PrivateKey:
    write_once(path, X25519PrivateKey.generate().private_bytes_raw())
    return X25519PrivateKey.from_private_bytes(read_private(path))


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
