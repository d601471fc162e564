"""A job's truth: a release is the plain integer sum of its cohort's noisy vectors."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from federated.protocol.cost import share_sigma
from federated.protocol.reproducibility import minibatch_order
from federated.simulation.coordinator import Played
from federated.simulation.job_coordinator import JobCoordinator
from federated.simulation.truth import Truth
from federated.site.local_data import read
from federated.training.local import bounded_update
from federated.wire.base import Signed
from federated.wire.round import Contribution

NOISE_SIGMAS = 12.0


class JobTruth(Truth[JobCoordinator]):
    """Decrypts each vector by itself, and compares an honest one with its site's data."""

    def released(self, played: Played) -> None:
        assert played.release is not None
        total = np.zeros(self.coordinator.agreement.spec.model.parameters, dtype=np.int64)
        for name, signed in played.sent["contribution"].items():
            vector = self._vector(played, signed)
            total += vector
            if self.honest(name):
                self._check_noise(name, played, vector)
        shown = played.release.sum or played.release.values
        digest = hashlib.sha256(total.astype("<i8").tobytes()).hexdigest()
        if shown != (digest if played.release.sum else tuple(total.tolist())):
            self.violations.append(f"the release of {played.title} is not the plain sum")

    def _vector(self, played: Played, signed: Signed[Contribution]) -> NDArray[np.int64]:
        plaintexts = self.opened(list(signed.body.ciphertexts))
        aggregator = self.coordinator.agreement.aggregator
        total = aggregator.total()
        if total is not None:
            assert signed.body.masked is not None
            total.add([played.vectors[signed.body.organization][1]], signed.body.masked)
        context = bytes.fromhex(signed.body.context)
        return aggregator.decode(plaintexts, 1, context=context, total=total)

    def _check_noise(self, name: str, played: Played, vector: NDArray[np.int64]) -> None:
        spec = self.coordinator.agreement.spec
        state = self.coordinator.states[played.context.model]
        rows = read(self._homes[name] / "ward.csv", spec.data)
        order = minibatch_order(played.context, name)
        gradient = bounded_update(spec, state.parameters, rows, order=order)
        sigma = share_sigma(spec, minimum_cohort=played.context.minimum(spec))
        if np.abs(vector - gradient).max() > NOISE_SIGMAS * sigma:
            self.violations.append(f"the vector of {name} in {played.title} is not its gradient")

    def _check_site(self, name: str) -> None:
        """A site that was shown the truth has recomputed the final model."""
        coordinator, fooled = self.coordinator, {name for name, _ in self.lied_to}
        if coordinator.state != "finished" or name in fooled:
            return
        rounds = coordinator.agreement.spec.strategy.rounds
        states = self._homes[name] / "jobs" / coordinator.agreement.id / "states"
        path = states / f"{rounds}.safetensors"
        if not path.exists() or path.read_bytes() != coordinator.model.to_bytes():
            self.violations.append(f"{name} did not recompute the final model")
