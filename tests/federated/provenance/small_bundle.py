"""A whole bundle of one two-round job under a short key, made in process; cached a session."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise, zip_longest
from uuid import UUID

import numpy as np
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from federated.crypto.signatures import generate_private_key
from federated.privacy.config import PrivacyConfig
from federated.protocol.evaluation import evaluation_make
from federated.protocol.identity import load_public_key, organization_urn
from federated.protocol.release import release_make
from federated.protocol.reproducibility import reproducibility_make
from federated.protocol.strategy import strategy_make
from federated.provenance import merkle
from federated.provenance.bundle import Anchor, Bundle, BundleEvent, BundleLog, Row
from federated.provenance.checkpoint import (
    Checkpoint,
    VerifierKey,
    sign_checkpoint,
    split_note,
)
from federated.provenance.cosignature import CosignerKey, cosign, witness_name
from federated.provenance.events import Event
from federated.provenance.software import software_here
from federated.wire.base import Signed, encode_bytes
from federated.wire.job import ModelSpec, MulticlassTarget
from federated.wire.record import JobRecord
from federated.wire.round import Verdict
from federated.wire.witness import WitnessKey
from tests.federated.protocol.conftest import CAST, Consortium, approvals_of, make_consortium, with_

KEY = Ed25519PrivateKey.from_private_bytes(b"\x09" * 32)
ORIGIN = "consortium"


WITNESSES = {
    name: Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)
    for number, name in enumerate(CAST, start=1)
}
TIME = 1767225600


@cache
def small_consortium() -> Consortium:
    return make_consortium(rounds=2)


@cache
def small_record() -> JobRecord:
    """Two released rounds, with verdicts."""
    return _record(small_consortium())


@cache
def masked_record() -> tuple[JobRecord, dict[str, bytes]]:
    """The same of a masked job, and its vectors by their digests."""
    consortium = make_consortium(rounds=2, aggregation="masked")
    return _record(consortium), consortium.vectors


@cache
def organizations_record(optimizer: str) -> JobRecord:
    """Two rounds of FedAvg on a convolution and two classes, one update an organization."""
    layers = [
        {"kind": "unflatten", "channels": 1, "height": 2, "width": 3},
        {"kind": "conv2d", "in_channels": 1, "out_channels": 2, "kernel": [2, 2]},
        {"kind": "flatten"},
        {"kind": "linear", "in_features": 4, "out_features": 2},
    ]
    consortium = make_consortium(
        model=ModelSpec.parse({"layers": layers}),
        target=MulticlassTarget(name="y", classes=("a", "b")),
        strategy=strategy_make(epochs=2, strategy="fedavg", server_optimizer=optimizer),
        privacy=PrivacyConfig(unit="organization"),
    )
    return _record(consortium)


@cache
def organizations_bundle_bytes(optimizer: str) -> bytes:
    return bundle_bytes(organizations_record(optimizer))


@cache
def evaluation_record() -> JobRecord:
    """A joint evaluation of the model that ``small_record`` released."""
    consortium = small_consortium()
    last = small_record().attempts[-1].release
    assert last is not None and last.state == consortium.state.digest()
    trained = consortium.spec
    spec = evaluation_make(
        trained,
        consortium.state,
        job_id=str(UUID(int=11)),
        proposer=trained.proposer,
        proposed_at=trained.proposed_at,
        participants=trained.participants,
        privacy=PrivacyConfig(),
        key_epoch=trained.key_epoch,
    )
    rng = np.random.default_rng(5)
    counts = {n: rng.integers(0, 9, spec.dimension) * spec.privacy.units for n in CAST}
    return _record(
        replace(
            consortium,
            spec=spec,
            signed_spec=consortium.identities[spec.proposer].sign(spec),
            approvals=approvals_of(spec, consortium.identities),
            gradients=counts,
        )
    )


@cache
def evaluation_bundle_bytes(*, with_training: bool) -> bytes:
    return bundle_bytes(evaluation_record(), also=(small_record(),) if with_training else ())


def _record(consortium: Consortium) -> JobRecord:
    initial = consortium.state
    attempts, made, verdicts = [], [], []
    for number in range(1, consortium.spec.strategy.rounds + 1):
        transcript = consortium.transcript(consortium.context(round=number))
        transcript = with_(
            transcript, receipts=tuple(consortium.receipt(name, transcript) for name in CAST)
        )
        transcript = with_(
            transcript, shares=tuple(consortium.share(name, transcript) for name in CAST[:3])
        )
        release, consortium.state = release_make(
            transcript,
            agreement=consortium.agreement,
            state=consortium.state,
            total=consortium.total(transcript),
        )
        attempts.append(with_(transcript, release=release))
        made.append(
            reproducibility_make(attempts[-1], spec=consortium.spec, software=software_here())
        )
        verdicts += [
            consortium.identities[name].sign(
                Verdict(
                    context=release.context,
                    cohort=release.cohort,
                    release=release.digest(),
                    organization=name,
                    agrees=True,
                )
            )
            for name in CAST
        ]
    return JobRecord(
        key_epoch=consortium.epoch,
        initial_state=encode_bytes(initial.to_bytes()),
        attempts=tuple(attempts),
        reproducibility=tuple(made),
        verdicts=tuple(verdicts),
    )


@cache
def small_bundle_bytes() -> bytes:
    """The bundle as a file: the record, a log that names all of it, witnesses, and an anchor.

    Three of the four witnesses cosigned the newest checkpoint, the last of them the one before.
    """
    return bundle_bytes(small_record(), small_consortium())


@cache
def masked_bundle_bytes() -> bytes:
    return bundle_bytes(masked_record()[0])


def witness_key(consortium: Consortium, name: str) -> Signed[WitnessKey]:
    key = CosignerKey.of(witness_name(ORIGIN, name), WITNESSES[name])
    body = WitnessKey(consortium=ORIGIN, organization=name, key=str(key))
    return consortium.identities[name].sign(body)


@cache
def authority_key() -> ec.EllipticCurvePrivateKey:
    return generate_private_key()


@cache
def authority() -> x509.Certificate:
    return make_certificate("authority", authority_key().public_key(), ca=True)


def certificate_of(consortium: Consortium, name: str) -> x509.Certificate:
    """A site's certificate, as the portal's authority issues it."""
    return make_certificate(name, load_public_key(consortium.identities[name].public_key))


def make_certificate(
    name: str,
    key: ec.EllipticCurvePublicKey,
    *,
    ca: bool = False,
    signer: ec.EllipticCurvePrivateKey | None = None,
    usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.CLIENT_AUTH,
    start: datetime = datetime(2025, 12, 20, tzinfo=UTC),
) -> x509.Certificate:
    """A certificate of 30 days; an authority's is signed by itself."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(organization_urn(name))]),
            critical=False,
        )
        .sign(signer or authority_key(), hashes.SHA256())
    )


def cosigned(note: str, name: str) -> str:
    """A note with one more cosignature."""
    name_, key = witness_name(ORIGIN, name), WITNESSES[name]
    return note + cosign(split_note(note)[0], key, name=name_, time=TIME)


def bundle_bytes(
    record: JobRecord, consortium: Consortium | None = None, also: tuple[JobRecord, ...] = ()
) -> bytes:
    named = [entry for one in (record, *also) for entry in _named(one)]
    log = _log(named, ("job", record.attempts[0].spec.body.job_id))
    note = log.checkpoints[0]
    anchor = Anchor(
        origin=ORIGIN,
        size=_size(note),
        root=merkle.root_of([note.encode()]).hex(),
        notes=[note],
        chain_id=7,
        contract="0x" + "ab" * 20,
        tx_hash="0x" + "cd" * 32,
        block_number=3,
        block_hash="0x" + "ef" * 32,
    )
    sections: dict = {"jobs": [one.dump() for one in (record, *also)]}
    if consortium is not None:
        sections["certificates"] = [
            encode_bytes(certificate_of(consortium, name).public_bytes(Encoding.DER))
            for name in CAST
        ]
        sections["witnesses"] = [witness_key(consortium, name).dump() for name in CAST]
        for name in CAST:
            log.checkpoints[1 if name == CAST[3] else 2] = cosigned(
                log.checkpoints[1 if name == CAST[3] else 2], name
            )
    return Bundle(
        created_at="2026-01-01T00:00:00Z", logs=[log], anchors=[anchor], sections=sections
    ).to_bytes()


def logged_bundle(digests: list[str], *, sections: dict) -> Bundle:
    """A bundle of any sections, with a log whose events name these digests."""
    log = _log([{"message": digest} for digest in digests], ("campaign", str(UUID(int=7))))
    return Bundle(created_at="2026-01-01T00:00:00Z", logs=[log], sections=sections)


def small_bundle() -> dict:
    """A fresh copy to edit, without the digest that tells every edit at once."""
    raw = json.loads(small_bundle_bytes())
    del raw["digest"]
    return raw


def _named(record: JobRecord) -> list[dict[str, str]]:
    named = []
    for attempt, made in zip_longest(record.attempts, record.reproducibility):
        for kind in ("contributions", "receipts", "shares"):
            named += [{kind: signed.digest()} for signed in getattr(attempt, kind)]
        released = {"release": attempt.release.digest()}
        named.append(released | ({"reproducibility": made.digest()} if made else {}))
    return named


def _events(named: list[dict[str, str]], subject: tuple[str, str]) -> list[Event]:
    return [
        Event.build(
            id=UUID(int=number),
            at=datetime(2026, 1, 1, tzinfo=UTC),
            tag="federation:round:closed",
            origin=ORIGIN,
            actor={"kind": "system", "id": "rounds", "name": "rounds"},
            subject={"kind": subject[0], "id": subject[1]},
            digests=digests,
        )
        for number, digests in enumerate(named)
    ]


def _log(named: list[dict[str, str]], subject: tuple[str, str]) -> BundleLog:
    events = _events(named, subject)
    nodes: dict = {}
    for index, event in enumerate(events):
        merkle.append(nodes, index, merkle.leaf_hash(event.canonical()))
    sizes = (3, 7, len(events))
    return BundleLog(
        origin=ORIGIN,
        verifier_key=str(VerifierKey.of(ORIGIN, KEY)),
        checkpoints=[
            sign_checkpoint(Checkpoint(ORIGIN, size, merkle.root(nodes, size)), KEY)
            for size in sizes
        ],
        consistency=[
            [part.hex() for part in merkle.consistency_proof(nodes, old, new)]
            for old, new in pairwise(sizes)
        ],
        events=[
            BundleEvent(
                index=index,
                id=event.id,
                canonical=event.canonical().decode(),
                leaf_hash=merkle.leaf_hash(event.canonical()).hex(),
                proof=[p.hex() for p in merkle.inclusion_proof(nodes, index, sizes[-1])],
                row=Row(
                    tag=event.tag,
                    actor=event.actor.model_dump(mode="json"),
                    subject_kind=event.subject.kind,
                    subject_id=event.subject.id,
                    at=event.at,
                ),
            )
            for index, event in enumerate(events)
        ],
    )


def _size(note: str) -> int:
    return int(note.split("\n")[1])
