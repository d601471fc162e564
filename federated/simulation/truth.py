"""What must hold in every run, checked by one who sees everything.

A release is the plain integer sum of its cohort's noisy vectors, each decrypted by itself. Every
honest ledger charges an attempt once, for one cohort, before any share of it leaves. What a site
sends twice is the same bytes.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from federated.crypto.threshold import KeyShare, combine, partial_decrypt
from federated.protocol.address import Attempt
from federated.protocol.cost import round_cost, share_sigma
from federated.protocol.keys import public_key_of, verification_of
from federated.protocol.layout import aggregator_of
from federated.protocol.reproducibility import minibatch_order
from federated.simulation.coordinator import OPEN, Coordinator, Try
from federated.site.local_data import read
from federated.training.local import bounded_update
from federated.wire.base import Signed, decode_bytes
from federated.wire.round import Contribution

NOISE_SIGMAS = 12.0


class Truth:
    """Collects violations, in words."""

    def __init__(
        self, homes: Mapping[str, Path], shares: Mapping[str, KeyShare], malicious: frozenset[str]
    ) -> None:
        self.violations: list[str] = []
        self.coordinator: Coordinator
        self._homes, self._shares, self._malicious = homes, shares, malicious
        self._sent: dict[tuple[str, Attempt, str], str] = {}

    def honest(self, name: str) -> bool:
        return name not in self._malicious

    def tap(self, name: str, at: Attempt, kind: str, signed: Signed[Any]) -> None:
        """A message leaves a site, whether or not it arrives."""
        if kind == "refusal":
            return
        digest = signed.digest()
        if self._sent.setdefault((name, at, kind), digest) != digest:
            self.violations.append(f"{name} sent two different {kind}s for {at}")
        if kind == "share":
            self._check_charged(name, at, signed.body.cohort)

    def _check_charged(self, name: str, at: Attempt, cohort: str) -> None:
        found = self.coordinator.find(at)
        if found.cohort is None or cohort != found.cohort.digest():
            self.violations.append(f"{name} gave a share of a second cohort of {at}")
            return
        for member in filter(self.honest, found.cohort.members):
            if self._committed(member).get((at.round, at.number)) != cohort:
                self.violations.append(f"a share of {at} left before {member} was charged")

    def released(self, found: Try) -> None:
        """Compare a release with the plain sum, and each honest vector with its data."""
        assert found.release is not None
        total = np.zeros(self.coordinator.spec.model.parameters, dtype=np.int64)
        for name, signed in found.sent["contribution"].items():
            vector = self._opened(found, signed)
            total += vector
            if self.honest(name):
                self._check_noise(name, found, vector)
        shown = found.release.sum or found.release.values
        digest = hashlib.sha256(total.astype("<i8").tobytes()).hexdigest()
        if shown != (digest if found.release.sum else tuple(total.tolist())):
            self.violations.append(f"the release of {found.at} is not the plain sum")

    def _opened(self, found: Try, signed: Signed[Contribution]) -> NDArray[np.int64]:
        epoch = self.coordinator.epoch
        key = public_key_of(epoch)
        ciphertexts = [key.decode_ciphertext(decode_bytes(c)) for c in signed.body.ciphertexts]
        quorum = list(self._shares.values())[: epoch.threshold]
        partials = {share.index: partial_decrypt(share, ciphertexts) for share in quorum}
        plaintexts = combine(key, verification_of(epoch), partials)
        context = bytes.fromhex(signed.body.context)
        aggregator = aggregator_of(self.coordinator.spec, epoch)
        total = aggregator.total()
        if total is not None:
            total.add([found.vectors[signed.body.organization][1]], signed.body.masked)
        return aggregator.decode(plaintexts, 1, context=context, total=total)

    def _check_noise(self, name: str, found: Try, vector: NDArray[np.int64]) -> None:
        spec = self.coordinator.spec
        state = self.coordinator.states[found.context.model]
        rows = read(self._homes[name] / "ward.csv", spec.data)
        order = minibatch_order(found.context, name)
        gradient = bounded_update(spec, state.parameters, rows, order=order)
        sigma = share_sigma(spec, minimum_cohort=found.context.minimum(spec))
        if np.abs(vector - gradient).max() > NOISE_SIGMAS * sigma:
            self.violations.append(f"the vector of {name} in {found.at} is not its gradient")

    def end(self, *, spoilt: set[tuple[str, Attempt]], lied_to: set[tuple[str, Attempt]]) -> None:
        """What must hold once the job ended and every site has settled."""
        coordinator = self.coordinator
        if coordinator.state not in ("finished", "failed"):
            self.violations.append(f"the job ends {coordinator.state}: {coordinator.reason}")
        for found in coordinator.tries:
            if found.state in OPEN:
                self.violations.append(f"{found.at} is still {found.state}")
            if (found.release is None) == (found.state == "released"):
                self.violations.append(f"{found.at} is {found.state}, against its release")
        fooled = {name for name, _ in lied_to}
        for name in filter(self.honest, self._homes):
            self._check_ledger(name, spoilt)
            if coordinator.state == "finished" and name not in fooled:
                self._check_model(name)

    def _check_ledger(self, name: str, spoilt: set[tuple[str, Attempt]]) -> None:
        committed = self._committed(name)
        for found in self.coordinator.tries:
            charged = committed.pop((found.at.round, found.at.number), None)
            cohort = found.cohort
            member = cohort is not None and name in cohort.members
            if found.state == "released" and member and charged is None:
                self.violations.append(f"{name} lost its charge of {found.at}")
            if charged is None:
                continue
            if cohort is None or not member:
                self.violations.append(f"{name} was charged for {found.at} without a cohort")
            elif charged != cohort.digest() and (name, found.at) not in spoilt:
                self.violations.append(f"{name} charged another cohort of {found.at}")
        if committed:
            self.violations.append(f"{name} was charged for no attempt: {sorted(committed)}")
        rho = round_cost(self.coordinator.spec).rho
        for row in self._rows(name):
            if row["rho"] != rho or row["state"] == "reserved":
                self.violations.append(f"{name} keeps {row['state']} rho {row['rho']} at the end")

    def _check_model(self, name: str) -> None:
        coordinator = self.coordinator
        rounds = coordinator.spec.strategy.rounds
        folder = self._homes[name] / "jobs" / coordinator.spec.job_id / "states"
        path = folder / f"{rounds}.safetensors"
        if not path.exists() or path.read_bytes() != coordinator.model.to_bytes():
            self.violations.append(f"{name} did not recompute the final model")

    def _committed(self, name: str) -> dict[tuple[int, int], str]:
        rows = [row for row in self._rows(name) if row["state"] == "committed"]
        charges = {(row["round"], row["attempt"]): str(row["cohort"]) for row in rows}
        if len(charges) != len(rows):
            self.violations.append(f"{name} was charged twice for one attempt")
        return charges

    def _rows(self, name: str) -> list[sqlite3.Row]:
        with closing(sqlite3.connect(self._homes[name] / "ledger.sqlite")) as db:
            db.row_factory = sqlite3.Row
            return db.execute("SELECT * FROM charge").fetchall()
