"""Lines of sites where somebody cheats: a lying coordinator to honest sites, or the site itself."""

from __future__ import annotations

from typing import Any

import httpx

from federated.errors import DomainError
from federated.protocol.address import Attempt
from federated.protocol.attempt import State
from federated.protocol.identity import SiteIdentity
from federated.simulation.malice import (
    ALTERED_RELEASE,
    SPLIT_VIEW,
    message_forge,
    transcript_forge,
)
from federated.simulation.network import Network, SiteTransport
from federated.simulation.routes import Request
from federated.wire.base import Signed
from federated.wire.round import Reason, Transcript

CHEATED = ("contribution", "receipt", "share")
SILENT, DISHONEST, SHOWN = 0.1, 0.5, 0.2


def transport_of(network: Network, identity: SiteIdentity) -> SiteTransport:
    """The line of a site that is honest or not."""
    if identity.organization in network.malicious:
        return CheatingSite(network, identity)
    return HonestSite(network, identity.organization)


class HonestSite(SiteTransport):
    """With a malicious site, its coordinator lies now and then; what it says to that is judged."""

    _lie: tuple[str, str] | None = None

    def handle(self, request: Request) -> httpx.Response:
        if request.method == "GET" and request.path.endswith("/transcript"):
            self._lie = None
        return super().handle(request)

    def shown(self, at: Attempt, what: list[str], answer: httpx.Response) -> httpx.Response:
        network = self.network
        if not network.malicious or not answer.is_success:
            return answer
        if what == ["transcript"]:
            return self._transcript(at, answer)
        if what == ["vectors"] and network.chance(SHOWN / 4):
            network.truth.lied_to.add((self.name, at))
            body = answer.content
            return httpx.Response(200, content=bytes([body[0] ^ 1]) + body[1:])
        return answer

    def _transcript(self, at: Attempt, answer: httpx.Response) -> httpx.Response:
        network, played = self.network, self.network.coordinator.find(at)
        share = SHOWN / 4 if played.state is State.RELEASED else SHOWN
        if played.state is State.ABANDONED or not network.chance(share):
            return answer
        act, name, transcript = transcript_forge(
            network.faults.random,
            honest=Transcript.parse(answer.content),
            state=played.state,
            minimum=network.coordinator.agreement.minimum(played.context),
            name=self.name,
        )
        self._lie = (act, name)
        if act == SPLIT_VIEW:
            network.truth.spoilt.add((self.name, at))
        if act == ALTERED_RELEASE:
            network.truth.lied_to.add((self.name, at))
        return httpx.Response(200, content=transcript.canonical())

    def send(
        self, at: Attempt, kind: str, named: str, message: Signed[Any], request: Request
    ) -> httpx.Response:
        # A forged transcript is answered once, by what the site says to it next.
        lie, self._lie = self._lie, None
        if lie is not None and lie[0] not in (SPLIT_VIEW, ALTERED_RELEASE):
            answer = message.body.reason.value if kind == "refusal" else f"sent a {kind}"
            self.network.expect(*lie, answer)
            return httpx.Response(200, content=b"{}")
        self._judge(at, kind, message.body)
        return super().send(at, kind, named, message, request)

    def _judge(self, at: Attempt, kind: str, body: Any) -> None:
        """What an honest site may say where it was told the truth, or was fooled before."""
        network, truth = self.network, self.network.truth
        if kind == "refusal":
            fooled = (self.name, at) in truth.spoilt
            name = Reason.COHORT_ALREADY_SERVED.value if fooled else "no refusal"
            network.expect("second cohort of an attempt", name, body.reason.value)
        if kind == "verdict" and not body.agrees:
            if (self.name, at) in truth.lied_to:
                network.refused[f"{ALTERED_RELEASE}: disagrees"] += 1
            else:
                title = network.coordinator.find(at).title
                truth.violations.append(f"{self.name} disagrees with {title}: {body.detail}")


class CheatingSite(SiteTransport):
    """Is silent, forges messages before its own, and sends other bytes after them."""

    def __init__(self, network: Network, identity: SiteIdentity) -> None:
        super().__init__(network, identity.organization)
        self._identity = identity

    def send(
        self, at: Attempt, kind: str, named: str, message: Signed[Any], request: Request
    ) -> httpx.Response:
        network = self.network
        if network.chance(SILENT):
            raise httpx.WriteTimeout(f"{self.name} sends no {kind}")
        if kind in CHEATED:
            self._forge(at, kind, message)
        answer = super().send(at, kind, named, message, request)
        arrived = self.name in network.coordinator.find(at).sent[kind]
        if kind in CHEATED and arrived and network.chance(DISHONEST):
            other = message.body.model_copy(update={"context": "0" * 64})
            self._attack(
                "resend with other bytes", "already_sent", at, kind, self._identity.sign(other)
            )
        return answer

    def _forge(self, at: Attempt, kind: str, honest: Signed[Any]) -> None:
        network, coordinator = self.network, self.network.coordinator
        played = coordinator.find(at)
        sent = self.name in played.sent[kind]
        due = not sent and played.state is coordinator.kind.taken[kind]
        if not due or not network.chance(DISHONEST):
            return
        before = [p for p in coordinator.played if self.name in p.sent[kind] and p is not played]
        act, name, forged = message_forge(
            network.faults.random,
            kind=kind,
            honest=honest,
            played=played,
            older=before[-1].sent[kind][self.name] if before else None,
            identity=self._identity,
            key=coordinator.agreement.key,
        )
        self._attack(act, name, at, kind, forged)

    def _attack(self, act: str, name: str, at: Attempt, kind: str, forged: Signed[Any]) -> None:
        coordinator = self.network.coordinator
        try:
            coordinator.receive(coordinator.find(at), kind, forged, self.name)
        except DomainError as error:
            answer = str(error.fields.get("reason", error.code))
        else:
            answer = "accepted"
        self.network.expect(act, name, answer)
