"""One small consortium, all in process: the key is short so that tests are quick, and only here."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

import numpy as np
import pytest

from federated.aggregation.base import Total
from federated.crypto import envelope, signatures
from federated.crypto.threshold import KeyShare
from federated.privacy.config import PrivacyConfig
from federated.protocol.agreement import JobAgreement
from federated.protocol.cost import job_cost, round_cost
from federated.protocol.identity import SiteIdentity
from federated.protocol.keys import ceremony, open_share
from federated.protocol.kinds.training import contribution_make
from federated.protocol.layout import clamp_of
from federated.protocol.masked import total_of
from federated.protocol.propose import spec_make
from federated.protocol.share import share_make
from federated.training.server import ServerState
from federated.wire.base import Signed, encode_bytes
from federated.wire.job import (
    Approval,
    BinaryTarget,
    DataDictionary,
    JobSpec,
    LinearLayer,
    ModelSpec,
    NumericFeature,
    Participant,
)
from federated.wire.key import KeyEpoch, Roster, RosterSite
from federated.wire.round import ChargeReceipt, Contribution, RoundContext, Transcript

CAST = ("lakeside", "northwind", "summit", "westbrook")
OUTSIDER = "harbor"
TEST_KEY_BITS = 768


@dataclass
class Consortium:
    """Four sites with a dealt 3-of-4 key and one approved job."""

    identities: dict[str, SiteIdentity]
    encryption: dict[str, bytes]
    epoch: KeyEpoch
    shares: dict[str, KeyShare]
    spec: JobSpec
    signed_spec: Signed[JobSpec]
    approvals: tuple[Signed[Approval], ...]
    state: ServerState
    gradients: dict[str, np.ndarray] = field(default_factory=dict)
    vectors: dict[str, bytes] = field(default_factory=dict)
    """Masked vectors of all contributions made, by digest."""

    @property
    def agreement(self) -> JobAgreement:
        return JobAgreement(self.spec, self.epoch)

    def context(self, *, round: int = 1, attempt: int = 1, **changes: object) -> RoundContext:
        body = {
            "job_id": self.spec.job_id,
            "spec": self.spec.digest(),
            "round": round,
            "attempt": attempt,
            "model": self.state.digest(),
            "key_epoch": self.epoch.digest(),
            "checkpoint": "0" * 64,
            **changes,
        }
        return RoundContext.parse(body)

    def contribute(self, name: str, context: RoundContext) -> Signed[Contribution]:
        body = bytearray()
        signed = contribution_make(
            agreement=self.agreement,
            context=context,
            identity=self.identities[name],
            gradient=self.gradients[name],
            sink=body.extend,
        )
        if signed.body.masked is not None:
            self.vectors[signed.body.masked] = bytes(body)
        return signed

    def total(self, transcript: Transcript) -> Total | None:
        """The sum of a transcript's masked vectors; None where it has none."""
        return total_of(
            transcript,
            agreement=self.agreement,
            source=lambda digest: [self.vectors[digest]],
        )

    def transcript(
        self, context: RoundContext | None = None, members: tuple[str, ...] = CAST
    ) -> Transcript:
        context = context or self.context()
        return Transcript(
            spec=self.signed_spec,
            approvals=self.approvals,
            context=context,
            contributions=tuple(self.contribute(name, context) for name in members),
        )

    def receipt(self, name: str, transcript: Transcript) -> Signed[ChargeReceipt]:
        cohort = transcript.cohort()
        return self.identities[name].sign(
            ChargeReceipt(
                context=cohort.context,
                cohort=cohort.digest(),
                organization=name,
                cost=round_cost(self.spec),
            )
        )

    def share(self, name: str, transcript: Transcript):
        return share_make(
            transcript,
            agreement=self.agreement,
            share=self.shares[name],
            identity=self.identities[name],
        )


def with_(message, **changes):
    """A copy of a frozen message with some fields replaced."""
    return message.model_copy(update=changes)


LOGISTIC = ModelSpec(layers=(LinearLayer(in_features=3, out_features=1),))


def make_job(identities, key_epoch, **options) -> tuple[JobSpec, ServerState]:
    """A job of these sites and its initial state.

    ``options`` are spec_make's, and ``target`` and ``parameters``.
    """
    model = options.pop("model", LOGISTIC)
    state = ServerState.initial(options.pop("parameters", np.zeros(model.parameters)))
    if "strategy" not in options:
        options.setdefault("rounds", 3)
    target = options.pop("target", BinaryTarget(name="y"))
    data = DataDictionary(
        dataset="ward",
        features=tuple(
            NumericFeature(name=f"x{i}", lower=-1.0, upper=1.0) for i in range(model.inputs)
        ),
        target=target,
        nominal_records=100,
        max_records=200,
    )
    body = {
        "job_id": str(uuid.uuid4()),
        "consortium": "test",
        "proposer": "northwind",
        "proposed_at": "2026-01-01T00:00:00Z",
        "data": data,
        "model": model,
        "initial_state": state.digest(),
        "participants": [
            Participant(organization=name, public_key=site.public_key)
            for name, site in identities.items()
        ],
        "privacy": PrivacyConfig(),
        "key_epoch": key_epoch,
    }
    return spec_make(**{**body, **options}), state


def make_spec(names: tuple[str, ...] = CAST, **options) -> JobSpec:
    """A job that nobody encrypts for."""
    identities = {name: SiteIdentity(name, signatures.generate_private_key()) for name in names}
    return make_job(identities, "0" * 64, **options)[0]


def approvals_of(
    spec: JobSpec, identities: dict[str, SiteIdentity]
) -> tuple[Signed[Approval], ...]:
    return tuple(
        identity.sign(
            Approval(
                job_id=spec.job_id,
                spec=spec.digest(),
                organization=name,
                cost=job_cost(spec),
                rounds=spec.strategy.rounds,
            )
        )
        for name, identity in identities.items()
    )


def make_consortium(names: tuple[str, ...] = CAST, **options) -> Consortium:
    identities = {name: SiteIdentity(name, signatures.generate_private_key()) for name in names}
    pairs = {name: envelope.generate() for name in names}
    roster = Roster(
        consortium="test",
        sites=tuple(
            RosterSite(
                organization=name,
                public_key=identities[name].public_key,
                encryption_key=encode_bytes(pairs[name][1]),
            )
            for name in names
        ),
    )
    epoch, sealed = ceremony(roster, number=1, threshold_of=3, max_colluding=1, bits=TEST_KEY_BITS)
    shares = {s.organization: open_share(s, epoch, pairs[s.organization][0]) for s in sealed}
    spec, state = make_job(identities, epoch.digest(), **options)
    approvals = approvals_of(spec, identities)
    # No larger than one site's sum may be, whichever the unit.
    reach = min(20_000, clamp_of(spec))
    rng = np.random.default_rng(7)
    return Consortium(
        identities=identities,
        encryption={name: pair[0] for name, pair in pairs.items()},
        epoch=epoch,
        shares=shares,
        spec=spec,
        signed_spec=identities["northwind"].sign(spec),
        approvals=approvals,
        state=state,
        gradients={
            name: rng.integers(-reach, reach, spec.model.parameters, dtype=np.int64)
            for name in names
        },
    )


@pytest.fixture(scope="session")
def consortium() -> Consortium:
    return make_consortium()
