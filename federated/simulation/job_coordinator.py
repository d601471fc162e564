"""The coordinator of a simulated job: server states, masked vectors, rounds."""

from __future__ import annotations

import hashlib
from typing import Any

from federated.aggregation.base import Total
from federated.errors import Conflict, InvalidInput, NotFound
from federated.protocol.agreement import JobAgreement
from federated.protocol.attempt import State
from federated.protocol.cost import cohort_asked
from federated.protocol.masked import masked_bytes, total_of
from federated.protocol.release import release_make
from federated.simulation.coordinator import Coordinator, Played
from federated.training.server import ServerState
from federated.wire.base import Signed
from federated.wire.job import JobSpec
from federated.wire.round import Release, RoundContext, Transcript
from federated.wire.site import AttemptTask, JobTask, Task, Work


class JobCoordinator(Coordinator[JobAgreement]):
    """One job from its proposal to its end."""

    def __init__(
        self, signed: Signed[JobSpec], state: ServerState, agreement: JobAgreement, **options: Any
    ) -> None:
        super().__init__(agreement, **options)
        self.signed = signed
        self.model, self.states = state, {state.digest(): state}

    # What sites ask.

    def shown(self) -> dict[str, Any]:
        return {
            "spec": self.signed.dump(),
            "state": self.state,
            "rounds": [
                {"number": p.at.round, "attempt": p.at.number, "state": p.state.value}
                for p in self.played
            ],
        }

    def _transcript(self, played: Played) -> Transcript:
        sent = played.sent
        return Transcript(
            spec=self.signed,
            approvals=tuple(self.approvals[name] for name in self.agreement.participants),
            context=played.context,
            contributions=tuple(sent["contribution"].values()),
            receipts=tuple(sent["receipt"].values()),
            shares=tuple(sent["share"].values()),
            release=played.release,
        )

    def _task(self, work: Work, played: Played | None) -> Task:
        if played is None:
            return JobTask(job_id=self.agreement.id)
        at = played.at
        return AttemptTask.of(work, at.job_id, at.round, at.number)

    # What sites send.

    def vector_receive(self, played: Played, digest: str, body: bytes, sender: str) -> None:
        """Raises Conflict or InvalidInput."""
        if sender in played.vectors:
            if played.vectors[sender][0] != digest:
                raise Conflict(f"another masked vector of {sender} was stored for {played.title}")
            return
        if played.state is not State.COLLECTING:
            raise Conflict(f"{played.title} is {played.state}: it takes no vectors")
        size = masked_bytes(self.agreement)
        if len(body) != size or hashlib.sha256(body).hexdigest() != digest:
            raise InvalidInput(f"masked vector of {sender}: {len(body)} bytes or another digest")
        played.vectors[sender] = (digest, body)

    def vector(self, played: Played, digest: str) -> bytes:
        """A cohort member's masked vector. Raises NotFound."""
        for known, body in played.vectors.values():
            if known == digest:
                return body
        raise NotFound(f"{played.title}: no such masked vector")

    def _beside_check(self, played: Played, message: str, signed: Signed[Any]) -> None:
        if message != "contribution" or signed.body.masked is None:
            return
        name = signed.body.organization
        if played.vectors.get(name, ("",))[0] != signed.body.masked:
            raise InvalidInput(f"the masked vector of {name} has not arrived")

    # What is due.

    @property
    def _may_approve(self) -> bool:
        return self.state == "proposed"

    def _begin(self, *, late: bool) -> None:
        if len(self.approvals) == len(self.agreement.participants):
            self._open(1, 1)
        elif late:
            self._end("failed", "not approved in time")

    def _context(self, number: int, attempt: int) -> RoundContext:
        released = [len(p.cohort.members) for p in self.played if p.release]
        return RoundContext.parse(
            {
                "job_id": self.agreement.id,
                "spec": self.agreement.digest,
                "round": number,
                "attempt": attempt,
                "model": self.model.digest(),
                "key_epoch": self.agreement.spec.key_epoch,
                "checkpoint": "0" * 64,
                **cohort_asked(self.agreement.spec, attempt=attempt, released=released),
            }
        )

    def _release(self, played: Played) -> Release:
        release: Release
        release, after = release_make(
            self._transcript(played),
            agreement=self.agreement,
            state=self.states[played.context.model],
            total=self._total(played),
        )
        self.model = self.states[after.digest()] = after
        return release

    def _total(self, played: Played) -> Total | None:
        return total_of(
            self._transcript(played),
            agreement=self.agreement,
            source=lambda digest: [self.vector(played, digest)],
        )
