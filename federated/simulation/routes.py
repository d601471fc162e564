"""The coordinator's addresses in memory: those of the portal that a site's agent asks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any
from urllib.parse import parse_qsl, unquote

import httpx

from federated.errors import DomainError, InvalidInput
from federated.protocol.address import Attempt
from federated.simulation.campaign_coordinator import CampaignCoordinator
from federated.simulation.coordinator import Coordinator, Played
from federated.simulation.job_coordinator import JobCoordinator
from federated.wire.base import Signed
from federated.wire.campaign import CampaignApproval, CampaignDecline, Submission, TrusteeNoise
from federated.wire.job import Approval, Decline
from federated.wire.key import KeyConfirmation
from federated.wire.round import ChargeReceipt, Contribution, DecryptionShare, Refusal, Verdict
from federated.wire.site import LedgerReport

MESSAGES: dict[str, type[Signed[Any]]] = {
    "contribution": Signed[Contribution],
    "submission": Signed[Submission],
    "receipt": Signed[ChargeReceipt],
    "noise": Signed[TrusteeNoise],
    "share": Signed[DecryptionShare],
    "refusal": Signed[Refusal],
    "verdict": Signed[Verdict],
}
"""What a site sends to an attempt, by the last part of the address."""
APPROVALS: dict[str, type[Signed[Any]]] = {
    "jobs": Signed[Approval],
    "campaigns": Signed[CampaignApproval],
}
DECLINES: dict[str, type[Signed[Any]]] = {
    "jobs": Signed[Decline],
    "campaigns": Signed[CampaignDecline],
}


@dataclass(frozen=True)
class Request:
    """One request of a site; ``url`` is the address from the coordinator's root on."""

    method: str
    url: str
    content: bytes
    headers: Mapping[str, str]

    @cached_property
    def path(self) -> str:
        return unquote(self.url.partition("?")[0])

    @cached_property
    def params(self) -> dict[str, str]:
        return dict(parse_qsl(self.url.partition("?")[2]))


@lru_cache(maxsize=64)
def message_of(kind: str, content: bytes) -> Signed[Any]:
    """Parse a message for an attempt. Raises InvalidInput."""
    return MESSAGES[kind].parse(content)


def attempt_of(request: Request) -> tuple[Attempt | None, list[str]]:
    """The attempt that a request is about, if any, and the rest of its address."""
    match request.path.split("/")[2:]:
        case ["jobs", job_id, "rounds", number, attempt, *rest]:
            return Attempt(job_id, int(number), int(attempt)), rest
        case ["campaigns", campaign_id, "runs", number, *rest]:
            return Attempt(campaign_id, int(number), 1), rest
        case rest:
            return None, rest


def respond(coordinator: Coordinator[Any], sender: str, request: Request) -> httpx.Response:
    """Answer a request as the portal does; its DomainErrors as problem+json.

    Raises NotImplementedError for an address that agents do not ask in a simulation.
    """
    at, rest = attempt_of(request)
    try:
        if at is None:
            content = _of_agreement(coordinator, sender, request, rest)
        else:
            content = _of_attempt(coordinator, coordinator.find(at), sender, request, rest)
    except DomainError as error:
        return httpx.Response(error.status, json=error.problem())
    tag = f'"{hashlib.sha256(content).hexdigest()}"'
    if request.headers.get("If-None-Match") == tag:
        return httpx.Response(304, headers={"ETag": tag})
    return httpx.Response(200, headers={"ETag": tag}, content=content)


def _of_agreement(
    coordinator: Coordinator[Any], sender: str, request: Request, rest: list[str]
) -> bytes:
    body = request.content
    match request.method, *rest:
        case "GET", "inbox":
            return coordinator.inbox(sender).canonical()
        case "GET", "keys", _:
            epoch, sealed = coordinator.key(sender)
            share = None if sealed is None else sealed.dump()
            return json.dumps({"epoch": epoch.dump(), "sealed": share}).encode()
        case "POST", "keys", _, "confirmation":
            Signed[KeyConfirmation].parse(body)
            coordinator.key_confirm(sender)
        case "POST", "ledger":
            Signed[LedgerReport].parse(body)
        case "GET", "jobs" | "campaigns", _:
            return json.dumps(coordinator.shown()).encode()
        case "POST", "jobs" | "campaigns" as kind, _, "approval":
            coordinator.approve(APPROVALS[kind].parse(body))
        case "POST", "jobs" | "campaigns" as kind, _, "decline":
            coordinator.decline(DECLINES[kind].parse(body))
        case "GET", "models", digest if isinstance(coordinator, JobCoordinator):
            return coordinator.states[digest].to_bytes()
        case _:
            raise NotImplementedError(f"{request.method} {request.path}")
    return b"{}"


def _of_attempt(
    coordinator: Coordinator[Any],
    played: Played,
    sender: str,
    request: Request,
    rest: list[str],
) -> bytes:
    body = request.content
    match request.method, *rest:
        case ["GET"]:
            return json.dumps(coordinator.attempt_shown(played)).encode()
        case "GET", "transcript":
            content: bytes = coordinator.transcript(played).canonical()
            return content
        case "POST", message if message in MESSAGES:
            coordinator.receive(played, message, message_of(message, body), sender)
        case "PUT", "submission" if isinstance(coordinator, CampaignCoordinator):
            replaces = request.params["replaces"]
            coordinator.replace(played, message_of("submission", body), replaces, sender)
        case "PUT", "vectors", digest if isinstance(coordinator, JobCoordinator):
            size = len(body)
            if request.headers["Content-Range"] != f"bytes 0-{size - 1}/{size}":
                raise InvalidInput("Content-Range: a simulated vector is sent as a whole")
            coordinator.vector_receive(played, digest, body, sender)
            return json.dumps({"received": size}).encode()
        case "GET", "vectors", digest if isinstance(coordinator, JobCoordinator):
            return coordinator.vector(played, digest)
        case _:
            raise NotImplementedError(f"{request.method} {request.path}")
    return b"{}"
