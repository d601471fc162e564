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
from federated.protocol.attempt import State
from federated.protocol.cost import share_sigma
from federated.protocol.reproducibility import minibatch_order
from federated.simulation.coordinator import Played
from federated.simulation.job_coordinator import JobCoordinator
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
        self.coordinator: JobCoordinator
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
        played = self.coordinator.find(at)
        if played.cohort is None or cohort != played.cohort.digest():
            self.violations.append(f"{name} gave a share of a second cohort of {at}")
            return
        for member in filter(self.honest, played.cohort.members):
            if self._committed(member).get((at.round, at.number)) != cohort:
                self.violations.append(f"a share of {at} left before {member} was charged")

    def released(self, played: Played) -> None:
        """Compare a release with the plain sum, and each honest vector with its data."""
        assert played.release is not None
        total = np.zeros(self.coordinator.spec.model.parameters, dtype=np.int64)
        for name, signed in played.sent["contribution"].items():
            vector = self._opened(played, signed)
            total += vector
            if self.honest(name):
                self._check_noise(name, played, vector)
        shown = played.release.sum or played.release.values
        digest = hashlib.sha256(total.astype("<i8").tobytes()).hexdigest()
        if shown != (digest if played.release.sum else tuple(total.tolist())):
            self.violations.append(f"the release of {played.at} is not the plain sum")

    def _opened(self, played: Played, signed: Signed[Contribution]) -> NDArray[np.int64]:
        agreement = self.coordinator.agreement
        key = agreement.key
        ciphertexts = [key.decode_ciphertext(decode_bytes(c)) for c in signed.body.ciphertexts]
        quorum = list(self._shares.values())[: agreement.threshold]
        partials = {share.index: partial_decrypt(share, ciphertexts) for share in quorum}
        plaintexts = combine(key, agreement.verification, partials)
        context = bytes.fromhex(signed.body.context)
        aggregator = agreement.aggregator
        total = aggregator.total()
        if total is not None:
            total.add([played.vectors[signed.body.organization][1]], signed.body.masked)
        return aggregator.decode(plaintexts, 1, context=context, total=total)

    def _check_noise(self, name: str, played: Played, vector: NDArray[np.int64]) -> None:
        spec = self.coordinator.spec
        state = self.coordinator.states[played.context.model]
        rows = read(self._homes[name] / "ward.csv", spec.data)
        order = minibatch_order(played.context, name)
        gradient = bounded_update(spec, state.parameters, rows, order=order)
        sigma = share_sigma(spec, minimum_cohort=played.context.minimum(spec))
        if np.abs(vector - gradient).max() > NOISE_SIGMAS * sigma:
            self.violations.append(f"the vector of {name} in {played.at} is not its gradient")

    def end(self, *, spoilt: set[tuple[str, Attempt]], lied_to: set[tuple[str, Attempt]]) -> None:
        """What must hold once the job ended and every site has settled."""
        coordinator = self.coordinator
        if coordinator.state not in ("finished", "failed"):
            self.violations.append(f"the job ends {coordinator.state}: {coordinator.reason}")
        for played in coordinator.played:
            if played.open:
                self.violations.append(f"{played.at} is still {played.state}")
            if (played.release is None) == (played.state is State.RELEASED):
                self.violations.append(f"{played.at} is {played.state}, against its release")
        fooled = {name for name, _ in lied_to}
        for name in filter(self.honest, self._homes):
            self._check_ledger(name, spoilt)
            if coordinator.state == "finished" and name not in fooled:
                self._check_model(name)

    def _check_ledger(self, name: str, spoilt: set[tuple[str, Attempt]]) -> None:
        committed = self._committed(name)
        for played in self.coordinator.played:
            charged = committed.pop((played.at.round, played.at.number), None)
            cohort = played.cohort
            member = cohort is not None and name in cohort.members
            if played.state is State.RELEASED and member and charged is None:
                self.violations.append(f"{name} lost its charge of {played.at}")
            if charged is None:
                continue
            if cohort is None or not member:
                self.violations.append(f"{name} was charged for {played.at} without a cohort")
            elif charged != cohort.digest() and (name, played.at) not in spoilt:
                self.violations.append(f"{name} charged another cohort of {played.at}")
        if committed:
            self.violations.append(f"{name} was charged for no attempt: {sorted(committed)}")
        rho = self.coordinator.agreement.cost.rho
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
