"""The parties and the key of simulated runs: made once, then copied into fresh folders a run."""

from __future__ import annotations

import csv
import io
import json
import random
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from federated.crypto import envelope, signatures
from federated.crypto.threshold import KeyShare
from federated.errors import InvalidInput
from federated.privacy.config import PrivacyConfig
from federated.protocol.identity import SiteIdentity
from federated.protocol.keys import ceremony, open_share
from federated.protocol.propose import spec_make
from federated.protocol.strategy import strategy_make
from federated.simulation.faults import FaultShares
from federated.site.folder import About
from federated.training.server import ServerState
from federated.wire.base import encode_bytes
from federated.wire.job import (
    BinaryTarget,
    DataDictionary,
    JobSpec,
    LinearLayer,
    ModelSpec,
    NumericFeature,
    Participant,
)
from federated.wire.key import KeyEpoch, Roster, RosterSite, SealedShare

CONSORTIUM = "simulation"
CAST = ("lakeside", "northwind", "summit", "westbrook")
B = TypeVar("B", bound=BaseModel)
_PEM = serialization.Encoding.PEM


class Scenario(BaseModel):
    """What a simulation's file says; every line has a default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    features: Annotated[int, Field(ge=1, le=1000)] = 3
    rounds: Annotated[int, Field(ge=1, le=100)] = 2
    records: Annotated[int, Field(ge=2, le=10_000)] = 20
    epsilon: Annotated[float, Field(gt=0, le=100)] = 1.0
    delta: Annotated[float, Field(gt=0, lt=0.01)] = 1e-5
    key_bits: Annotated[int, Field(ge=512, le=4096)] = 512
    round_seconds: Annotated[int, Field(ge=10, le=3600)] = 60
    aggregation: Literal["packed", "masked"] = "packed"
    strategy: Literal["fedsgd", "fedavg", "fedprox"] = "fedsgd"
    server_optimizer: Literal["sgd", "momentum", "adam"] = "momentum"
    unit: Literal["record", "organization"] = "record"
    faults: FaultShares = FaultShares()

    @classmethod
    def load(cls, path: Path) -> Scenario:
        """A scenario in YAML or JSON. Raises InvalidInput naming the line at fault."""
        return validated(cls, content_of(path), path)


def content_of(path: Path) -> Any:
    """The values in a file of YAML or JSON."""
    try:
        return yaml.safe_load(path.read_text()) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidInput(f"{path}: cannot be read as YAML or JSON") from error


def validated(kind: type[B], content: Any, path: Path, *at: str) -> B:
    """A part of a file, ``at`` a place in it. Raises InvalidInput naming the line at fault."""
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join([*at, *(str(part) for part in first["loc"])]) or "(root)"
        raise InvalidInput(f"{path}: {where}: {first['msg']}") from error


@dataclass(frozen=True)
class Dealt:
    """A key epoch, and what each trustee got of it."""

    epoch: KeyEpoch
    encryption: dict[str, bytes]
    sealed: dict[str, SealedShare]

    def opened(self) -> dict[str, KeyShare]:
        """Every trustee's share: only a simulation holds them together, to know the truth."""
        return {
            name: open_share(sealed, self.epoch, self.encryption[name])
            for name, sealed in self.sealed.items()
        }


def deal(trustees: Mapping[str, SiteIdentity], *, threshold: int, bits: int) -> Dealt:
    """Hold the ceremony of a key for trustees of which one may collude."""
    pairs = {name: envelope.generate() for name in trustees}
    roster = Roster(
        consortium=CONSORTIUM,
        sites=tuple(
            RosterSite(
                organization=name,
                public_key=identity.public_key,
                encryption_key=encode_bytes(pairs[name][1]),
            )
            for name, identity in trustees.items()
        ),
    )
    epoch, sealed = ceremony(roster, number=1, threshold_of=threshold, max_colluding=1, bits=bits)
    return Dealt(
        epoch,
        {name: pair[0] for name, pair in pairs.items()},
        {share.organization: share for share in sealed},
    )


def participants(identities: Iterable[SiteIdentity]) -> list[Participant]:
    return [Participant(organization=i.organization, public_key=i.public_key) for i in identities]


@dataclass(frozen=True)
class Party:
    """One organization's site before it has done anything."""

    identity: SiteIdentity
    pem: bytes


@dataclass(frozen=True)
class World:
    """Parties with a dealt key. The quorum is the smallest with 2t - k > f = 1."""

    scenario: Scenario
    parties: dict[str, Party]
    dealt: Dealt

    @property
    def epoch(self) -> KeyEpoch:
        return self.dealt.epoch

    @classmethod
    def make(cls, scenario: Scenario, sites: int) -> World:
        """Deal a key to ``sites`` sites. Raises InvalidInput for fewer than 4 or more than 99."""
        if not 4 <= sites <= 99:
            raise InvalidInput(f"sites: {sites}; 4 to 99 are allowed (3-of-4 is the least quorum)")
        names = [*CAST, *(f"site{number:02}" for number in range(5, sites + 1))]
        authority = ec.generate_private_key(ec.SECP256R1())
        keys = {name: signatures.generate_private_key() for name in names}
        identities = {name: SiteIdentity(name, key) for name, key in keys.items()}
        dealt = deal(identities, threshold=(sites + 1) // 2 + 1, bits=scenario.key_bits)
        parties = {
            name: Party(identity, _pem(name, keys[name], authority))
            for name, identity in identities.items()
        }
        return cls(scenario, parties, dealt)

    def settle(self, folder: Path, name: str, seed: int) -> Path:
        """A fresh site's folder with data of its own."""
        home = folder / name
        home.mkdir(mode=0o700)
        secrets = {
            "site.pem": self.parties[name].pem,
            "encryption.key": self.dealt.encryption[name],
        }
        for file, content in secrets.items():
            (home / file).touch(mode=0o600)
            (home / file).write_bytes(content)
        about = About(name, CONSORTIUM, "https://coordinator.invalid")
        (home / "site.json").write_text(json.dumps(vars(about)))
        policy: dict[str, Any] = {
            "approve": "auto",
            "minimum_key_bits": 512,
            "key_epochs": "any",
            "max_epsilon": self.scenario.epsilon,
            "max_delta": self.scenario.delta,
            "allotment": {"epsilon": 1000, "delta": 0.01},
            "datasets": {"ward": {"path": "ward.csv"}},
            "campaigns": {"max_epsilon": self.scenario.epsilon},
        }
        (home / "policy.yaml").write_text(json.dumps(policy))
        (home / "ward.csv").write_text(self._rows(f"{seed}/{name}"))
        (home / "agent.lock").touch()
        return home

    def _rows(self, seed: str) -> str:
        rng = np.random.default_rng(list(seed.encode()))
        inputs = rng.uniform(-1, 1, (self.scenario.records, self.scenario.features))
        target = inputs.sum(axis=1) + rng.normal(size=len(inputs)) > 0
        out = io.StringIO()
        writer = csv.writer(out)
        writer.writerow([*(f"x{i}" for i in range(self.scenario.features)), "y"])
        writer.writerows([*row, int(y)] for row, y in zip(inputs, target, strict=True))
        return out.getvalue()

    def propose(self, rng: random.Random) -> tuple[JobSpec, ServerState]:
        """The run's job and its initial state."""
        scenario = self.scenario
        layer = LinearLayer(in_features=scenario.features, out_features=1)
        model = ModelSpec(layers=(layer,))
        state = ServerState.initial(np.zeros(model.parameters))
        spec = spec_make(
            job_id=str(uuid.UUID(int=rng.getrandbits(128), version=4)),
            consortium=CONSORTIUM,
            proposer="northwind",
            proposed_at="2026-01-01T00:00:00Z",
            data=DataDictionary(
                dataset="ward",
                features=tuple(
                    NumericFeature(name=f"x{i}", lower=-1.0, upper=1.0)
                    for i in range(scenario.features)
                ),
                target=BinaryTarget(name="y", positive_above=0.5),
                nominal_records=scenario.records * len(self.parties),
                max_records=scenario.records,
            ),
            model=model,
            initial_state=state.digest(),
            strategy=strategy_make(
                epochs=scenario.rounds,
                strategy=scenario.strategy,
                server_optimizer=scenario.server_optimizer,
            ),
            participants=participants(party.identity for party in self.parties.values()),
            privacy=PrivacyConfig(
                epsilon=scenario.epsilon, delta=scenario.delta, unit=scenario.unit
            ),
            key_epoch=self.epoch.digest(),
            round_seconds=scenario.round_seconds,
            aggregation=scenario.aggregation,
        )
        return spec, state


def _pem(
    name: str, key: ec.EllipticCurvePrivateKey, authority: ec.EllipticCurvePrivateKey
) -> bytes:
    def certificate(common_name: str, public: ec.EllipticCurvePublicKey) -> bytes:
        now = datetime.now(UTC)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "simulation ca")])
        return (
            x509.CertificateBuilder(issuer, subject, public, x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=30))
            .sign(authority, hashes.SHA256())
            .public_bytes(_PEM)
        )

    secret = key.private_bytes(
        _PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return (
        secret
        + certificate(name, key.public_key())
        + certificate("simulation ca", authority.public_key())
    )
