"""The network in memory: requests of the real API calls, lost, late, repeated, out of order."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from federated.protocol.address import Attempt
from federated.simulation.coordinator import Coordinator
from federated.simulation.faults import Fate, Faults
from federated.simulation.routes import Request, attempt_of, message_of, respond
from federated.simulation.truth import Truth
from federated.wire.base import Signed

Later = Callable[[float, Callable[[], object]], None]
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Network:
    """``later`` puts an event on the virtual clock; late requests overtake and are overtaken.

    ``malicious`` sites cheat; with any, the coordinator lies to the others.
    """

    def __init__(
        self,
        faults: Faults,
        truth: Truth[Any],
        *,
        later: Later,
        malicious: frozenset[str] = frozenset(),
    ) -> None:
        self.coordinator: Coordinator[Any] = truth.coordinator
        self.faults, self.truth, self.later, self.malicious = faults, truth, later, malicious
        self.trace: list[str] = []
        self.refused: Counter[str] = Counter()

    def chance(self, share: float) -> bool:
        return not self.faults.quiet and self.faults.random.random() < share

    def expect(self, act: str, name: str, answer: str) -> None:
        """Note how an act was refused; a violation where that is not its name."""
        self.refused[f"{act}: {answer}"] += 1
        if answer != name:
            self.truth.violations.append(f"{act}: expected {name}, answered {answer}")


class SiteTransport:
    """One site's line to the coordinator, a ``Carrier``: its API calls are those over HTTPS."""

    def __init__(self, network: Network, name: str) -> None:
        self.network, self.name = network, name

    def request(
        self,
        method: str,
        url: str,
        *,
        content: bytes | Iterable[bytes] | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        """Raises httpx.TransportError where no answer comes, Crash where the site dies."""
        body = content if isinstance(content, bytes) else b"".join(content or ())
        return self.handle(Request(method, url, body, headers or {}))

    @contextmanager
    def stream(
        self, method: str, url: str, *, headers: dict[str, str] | None = None
    ) -> Iterator[httpx.Response]:
        yield self.request(method, url, headers=headers)

    def close(self) -> None:
        """Nothing is open."""

    def handle(self, request: Request) -> httpx.Response:
        at, rest = attempt_of(request)
        if request.method == "GET":
            answer = self.carry(request)
            return answer if at is None else self.shown(at, rest[:1], answer)
        if at is None:
            return self.say(request)
        if rest[0] == "vectors":
            self.network.truth.once(self.name, at, "vector", rest[1])
            return self.say(request)
        kind = rest[0]
        replaces = request.params.get("replaces")
        named = f"replacement of {replaces}" if replaces else kind
        return self.send(at, kind, named, message_of(kind, request.content), request)

    def shown(self, at: Attempt, what: list[str], answer: httpx.Response) -> httpx.Response:
        """The coordinator's answer about an attempt, as this site gets to see it."""
        return answer

    def send(
        self, at: Attempt, kind: str, named: str, message: Signed[Any], request: Request
    ) -> httpx.Response:
        """Let a message for an attempt out."""
        self.network.truth.tap(self.name, at, named, message)
        return self.say(request)

    def say(self, request: Request) -> httpx.Response:
        """A message: the process may die just before it is sent, and just after it is taken."""
        self.network.faults.crash_point()
        answer = self.carry(request)
        if answer.is_success:
            self.network.faults.crash_point()
        return answer

    def carry(self, request: Request) -> httpx.Response:
        """One request and its answer. Raises httpx.ReadTimeout where the answer does not come."""
        network, fate = self.network, self.network.faults.fate()
        path = _DIGEST.sub("*", request.path)  # keys differ between runs of one seed
        network.trace.append(f"{self.name} {request.method} {path} {fate.value}")

        def deliver() -> httpx.Response:
            return respond(network.coordinator, self.name, request)

        if fate in (Fate.LATE, Fate.REPEATED):
            network.later(network.faults.lateness(), deliver)
        if fate in (Fate.REQUEST_LOST, Fate.LATE):
            raise httpx.ReadTimeout(fate.value)
        answer = deliver()
        if fate is Fate.ANSWER_LOST:
            raise httpx.ReadTimeout(fate.value)
        return answer
