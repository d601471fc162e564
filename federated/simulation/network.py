"""The wire between sites and coordinator: faults, malice, and a tap that sees all that leaves."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from federated.errors import DomainError, Unavailable
from federated.protocol.address import Attempt
from federated.protocol.attempt import State
from federated.protocol.identity import SiteIdentity
from federated.simulation.carrier import Carrier, Later
from federated.simulation.faults import Faults
from federated.simulation.job_coordinator import JobCoordinator
from federated.simulation.malice import (
    ALTERED_RELEASE,
    SPLIT_VIEW,
    message_forge,
    transcript_forge,
)
from federated.wire.base import Signed
from federated.wire.job import Approval, Decline
from federated.wire.key import KeyConfirmation, KeyEpoch, SealedShare
from federated.wire.round import Reason, RoundContext, Transcript
from federated.wire.site import Inbox, LedgerReport

T = TypeVar("T")
CHEATED = ("contribution", "receipt", "share")
SILENT, DISHONEST, SHOWN = 0.1, 0.5, 0.2
Tap = Callable[[str, Attempt, str, Signed[Any]], None]


class Network(Carrier):
    """Carries every call; ``tap`` is told of each message an honest site lets out."""

    def __init__(
        self,
        coordinator: JobCoordinator,
        faults: Faults,
        *,
        malicious: frozenset[str],
        later: Later,
        tap: Tap,
    ) -> None:
        super().__init__(faults, later=later)
        self.coordinator, self.malicious, self.tap = coordinator, malicious, tap
        self.refused: Counter[str] = Counter()
        self.violations: list[str] = []
        self.spoilt: set[tuple[str, Attempt]] = set()
        self.vectors: dict[tuple[str, Attempt], str] = {}
        self.lied_to: set[tuple[str, Attempt]] = set()

    def chance(self, share: float) -> bool:
        return not self.faults.quiet and self.faults.random.random() < share

    def expect(self, act: str, name: str, answer: str) -> None:
        """Note how an act was refused; a violation where that is not its name."""
        self.refused[f"{act}: {answer}"] += 1
        if answer != name:
            self.violations.append(f"{act}: expected {name}, answered {answer}")


class VirtualAPI:
    """What a site's agent calls; the interface of ``CoordinatorAPI``."""

    url = "https://coordinator.invalid"

    def __init__(self, network: Network, identity: SiteIdentity) -> None:
        self._network, self._identity = network, identity
        self._name = identity.organization
        self._shown: tuple[str, str] | None = None

    @property
    def _coordinator(self) -> JobCoordinator:
        return self._network.coordinator

    def interrupt(self) -> None:
        """Nothing waits here."""

    def inbox(self) -> Inbox:
        return self._ask("inbox", lambda: self._coordinator.inbox(self._name))

    def key(self, digest: str) -> tuple[KeyEpoch, SealedShare | None]:
        return self._ask("key", lambda: self._coordinator.key(self._name))

    def key_confirm(self, digest: str, signed: Signed[KeyConfirmation]) -> None:
        self._say("key confirmation", lambda: self._coordinator.key_confirm(self._name))

    def job(self, job_id: str) -> dict[str, Any]:
        return self._ask("job", self._coordinator.job)

    def job_approve(self, signed: Signed[Approval]) -> None:
        self._say("approval", lambda: self._coordinator.approve(signed))

    def job_decline(self, signed: Signed[Decline]) -> None:
        self._say("decline", lambda: self._coordinator.decline(signed))

    def model(self, digest: str) -> bytes:
        return self._ask("model", self._coordinator.states[digest].to_bytes)

    def round_context(self, at: Attempt) -> RoundContext:
        return self._ask(f"context {at}", lambda: self._context(at))

    def _context(self, at: Attempt) -> RoundContext:
        context: RoundContext = self._coordinator.find(at).context
        return context

    def ledger_send(self, signed: Signed[LedgerReport]) -> None:
        self._say("ledger", lambda: None)

    def transcript(self, at: Attempt) -> Transcript:
        self._shown = None
        played = self._coordinator.find(at)
        honest = self._ask(f"transcript {at}", lambda: self._coordinator.transcript(at))
        network = self._network
        share = SHOWN / 4 if played.state is State.RELEASED else SHOWN
        told_truth = not network.malicious or self._name in network.malicious
        if told_truth or played.state is State.ABANDONED or not network.chance(share):
            return honest
        act, name, transcript = transcript_forge(
            network.faults.random,
            honest=honest,
            state=played.state,
            minimum=self._coordinator.agreement.minimum(played.context),
            name=self._name,
        )
        self._shown = (act, name)
        if act == SPLIT_VIEW:
            network.spoilt.add((self._name, at))
        if act == ALTERED_RELEASE:
            network.lied_to.add((self._name, at))
        return Transcript.parse(transcript.canonical())

    def vector_send(self, at: Attempt, digest: str, path: Path) -> None:
        body = path.read_bytes()
        network = self._network
        first = network.vectors.setdefault((self._name, at), digest)
        if first != digest or hashlib.sha256(body).hexdigest() != digest:
            network.violations.append(f"{self._name} sent two different vectors for {at}")
        self._say(
            f"vector {at}",
            lambda: self._coordinator.vector_receive(at, digest, body, self._name),
        )

    def vector(self, at: Attempt, digest: str) -> Iterator[bytes]:
        """In pieces; a lying coordinator changes one now and then."""
        body = self._ask(f"vector {at}", lambda: self._coordinator.vector(at, digest))
        network = self._network
        fair = not network.malicious or self._name in network.malicious
        if not fair and network.chance(SHOWN / 4):
            network.lied_to.add((self._name, at))
            body = bytes([body[0] ^ 1]) + body[1:]
        yield from (body[:7], body[7:])

    def attempt_send(self, at: Attempt, kind: str, signed: Signed[Any]) -> None:
        # A forged transcript is answered once, by what the site says to it next.
        network, shown, self._shown = self._network, self._shown, None
        if self._name in network.malicious:
            self._misbehave(at, kind, signed)
        elif shown and shown[0] not in (SPLIT_VIEW, ALTERED_RELEASE):
            answer = signed.body.reason.value if kind == "refusal" else f"sent a {kind}"
            network.expect(shown[0], shown[1], answer)
            return
        else:
            self._judge(at, kind, signed)
        message = type(signed).parse(signed.canonical())
        network.tap(self._name, at, kind, message)
        self._say(
            f"{kind} {at}",
            lambda: self._receive(at, kind, message),
        )
        if self._name in network.malicious and kind in CHEATED:
            self._resend_other(at, kind, signed)

    def _judge(self, at: Attempt, kind: str, signed: Signed[Any]) -> None:
        """What an honest site may say where it was told the truth, or was fooled before."""
        network, body = self._network, signed.body
        if kind == "refusal":
            fooled = (self._name, at) in network.spoilt
            name = Reason.COHORT_ALREADY_SERVED.value if fooled else "no refusal"
            network.expect("second cohort of an attempt", name, body.reason.value)
        if kind == "verdict" and not body.agrees and (self._name, at) in network.lied_to:
            network.refused[f"{ALTERED_RELEASE}: disagrees"] += 1
        elif kind == "verdict" and not body.agrees:
            network.violations.append(f"{self._name} disagrees with {at}: {body.detail}")

    def _misbehave(self, at: Attempt, kind: str, signed: Signed[Any]) -> None:
        network, coordinator = self._network, self._coordinator
        if network.chance(SILENT):
            raise Unavailable(f"{self._name} sends no {kind}")
        played = coordinator.find(at)
        sent = self._name in played.sent[kind]
        if kind not in CHEATED or sent or played.state is not coordinator.kind.taken[kind]:
            return
        if not network.chance(DISHONEST):
            return
        before = [p for p in coordinator.played if self._name in p.sent[kind] and p is not played]
        forged = message_forge(
            network.faults.random,
            kind=kind,
            honest=signed,
            played=played,
            older=before[-1].sent[kind][self._name] if before else None,
            identity=self._identity,
            key=coordinator.agreement.key,
        )
        act, name, message = forged
        self._attack(act, name, at, kind, message)

    def _resend_other(self, at: Attempt, kind: str, signed: Signed[Any]) -> None:
        arrived = self._name in self._coordinator.find(at).sent[kind]
        if arrived and self._network.chance(DISHONEST):
            other = signed.body.model_copy(update={"context": "0" * 64})
            message = self._identity.sign(other)
            self._attack("resend with other bytes", "already_sent", at, kind, message)

    def _attack(self, act: str, name: str, at: Attempt, kind: str, message: Signed[Any]) -> None:
        try:
            self._receive(at, kind, message)
        except DomainError as error:
            answer = str(error.fields.get("reason", error.code))
        else:
            answer = "accepted"
        self._network.expect(act, name, answer)

    def _receive(self, at: Attempt, kind: str, message: Signed[Any]) -> None:
        self._coordinator.receive(self._coordinator.find(at), kind, message, self._name)

    def _ask(self, what: str, deliver: Callable[[], T]) -> T:
        return self._network.carry(self._name, what, deliver)

    def _say(self, what: str, deliver: Callable[[], None]) -> None:
        self._network.say(self._name, what, deliver)
