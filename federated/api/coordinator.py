"""The coordinator's API as typed calls; `transport` repeats them and raises its errors."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from federated.api.credentials import Credentials
from federated.api.octets import OctetTransport, pieces_of
from federated.api.transport import Carrier, M
from federated.files import read_pieces
from federated.protocol.address import Attempt
from federated.wire.base import Signed, canonical, encode_bytes
from federated.wire.campaign import (
    CampaignApproval,
    CampaignDecline,
    CampaignRelease,
    CampaignTranscript,
    Submission,
)
from federated.wire.job import Approval, Cancel, DataDictionary, Decline, JobSpec
from federated.wire.key import KeyConfirmation, KeyEpoch, KeyRetired, Roster, SealedShare
from federated.wire.record import state_beside
from federated.wire.round import RoundContext, Transcript
from federated.wire.site import (
    AllotmentRequest,
    Inbox,
    JoinRequest,
    JoinResponse,
    LedgerReport,
    Renewal,
    RenewalRequest,
)
from federated.wire.witness import Cosigned, CosignOffer, LogName, WitnessKey

ELSEWHERE = "https://coordinator.invalid"
"""The coordinator's address where no network leads to it."""


class CoordinatorAPI(OctetTransport):
    """The calls that a site and its people make to the coordinator; safe between threads."""

    def __init__(self, url: str, tls: ssl.SSLContext, **options: Any) -> None:
        super().__init__(url, tls, **options)
        self._etag: str | None = None
        self._inbox = Inbox(tasks=(), wait_ms=1000)

    @classmethod
    def for_site(cls, url: str, credentials: Credentials, **options: Any) -> CoordinatorAPI:
        """Make the API for a site's certificate, trusting the consortium's CA."""
        credentials.check_dates()
        return cls(url, credentials.ssl_context(), **options)

    @classmethod
    def over(cls, carrier: Carrier) -> CoordinatorAPI:
        """Make the API over something else than HTTPS, whose failures are not waited out."""
        return cls(ELSEWHERE, _no_tls(), carrier=carrier, retry_seconds=0.0)

    # Joining, without a certificate yet.

    def authority(self) -> bytes:
        """The PEM that the coordinator claims is the consortium's CA."""
        return self._get("/api/ca").content

    def join(self, request: JoinRequest) -> JoinResponse:
        return JoinResponse.parse(self._json("POST", "/api/join", request.canonical()))

    # The site and the key.

    def site(self) -> dict[str, Any]:
        """Returns this site's record, the coordinator's defaults, when its agent was last seen."""
        return self._json("GET", "/api/site")

    def renew(self, request: RenewalRequest) -> Renewal:
        """The newest certificate of this site's key."""
        return Renewal.parse(self._json("POST", "/api/site/certificate", request.canonical()))

    def roster(self) -> Roster:
        return Roster.parse(self._get("/api/roster").content)

    def key_current(self) -> KeyEpoch:
        """The epoch that new jobs use. Raises NotFound where there is none."""
        return KeyEpoch.parse(self._json("GET", "/api/keys/current")["epoch"])

    def key(self, digest: str) -> tuple[KeyEpoch, SealedShare | None]:
        """An epoch, and the share that is sealed to this site, if it is a trustee."""
        answer = self._json("GET", f"/api/keys/{digest}")
        sealed = answer.get("sealed")
        return KeyEpoch.parse(answer["epoch"]), None if not sealed else SealedShare.parse(sealed)

    def key_confirm(self, digest: str, signed: Signed[KeyConfirmation]) -> None:
        self._send(f"/api/keys/{digest}/confirmation", signed)

    def key_retired(self, digest: str, signed: Signed[KeyRetired]) -> None:
        self._send(f"/api/keys/{digest}/retirement", signed)

    def inbox(self) -> Inbox:
        """All that this site must do now; an unchanged one costs the coordinator a 304."""
        headers = {"If-None-Match": self._etag} if self._etag else {}
        response = self._request("GET", "/api/inbox", headers=headers)
        if response.status_code != 304:
            self._inbox = Inbox.parse(response.content)
            self._etag = response.headers.get("ETag")
        return self._inbox

    # Dictionaries and jobs.

    def dictionary(self, name: str) -> DataDictionary:
        return DataDictionary.parse(self._get(f"/api/dictionaries/{quote(name)}").content)

    def job_submit(self, spec: Signed[JobSpec], state: bytes) -> str:
        """Propose a job with the server state that it starts from; its id."""
        beside = state_beside(len(state))
        if beside:
            url = f"/api/models/{spec.body.initial_state}"
            self._octets_send(url, pieces_of(state), len(state))
        inline = None if beside else encode_bytes(state)
        body = canonical({"spec": spec.dump(), "state": inline})
        return str(self._json("POST", "/api/jobs", body)["job_id"])

    def job(self, job_id: str) -> dict[str, Any]:
        """The job as the coordinator shows it; ``spec`` is Signed[JobSpec] in plain values."""
        return self._json("GET", f"/api/jobs/{job_id}")

    def job_approve(self, signed: Signed[Approval]) -> None:
        self._send(f"/api/jobs/{signed.body.job_id}/approval", signed)

    def job_decline(self, signed: Signed[Decline]) -> None:
        self._send(f"/api/jobs/{signed.body.job_id}/decline", signed)

    def job_cancel(self, signed: Signed[Cancel]) -> None:
        self._send(f"/api/jobs/{signed.body.job_id}/cancel", signed)

    def bundle(self, job_id: str) -> bytes:
        """A job's bundle (docs/audit/bundle.md), as a file."""
        return self._get(f"/api/jobs/{quote(job_id, safe='')}/bundle").content

    def model(self, digest: str) -> bytes:
        """The bytes of a server state."""
        return b"".join(self.model_pieces(digest))

    def model_pieces(self, digest: str) -> Iterator[bytes]:
        """A server state in pieces, read on from where a connection broke; not checked."""
        return self._octets(f"/api/models/{digest}")

    # Attempts.

    def round_context(self, at: Attempt) -> RoundContext:
        answer = self._json("GET", _path(at))
        return RoundContext.parse(answer["context"])

    def transcript(self, at: Attempt) -> Transcript:
        return Transcript.parse(self._get(_path(at) + "/transcript").content)

    def attempt_send(self, at: Attempt, name: str, signed: Signed[M]) -> None:
        """``name`` is contribution, receipt, share, refusal or verdict."""
        self._send(f"{_path(at)}/{name}", signed)

    def allotment_request(self, request_id: str) -> AllotmentRequest:
        """Returns an allotment request of the organization's admin."""
        return AllotmentRequest.parse(self._get(f"/api/ledger/allotments/{request_id}").content)

    # Masked vectors.

    def vector_send(self, at: Attempt, digest: str, path: Path) -> None:
        """Upload a file as the attempt's masked vector; nothing of it is held in memory."""
        url = f"{_path(at)}/vectors/{digest}"
        self._octets_send(url, partial(read_pieces, path), path.stat().st_size)

    def vector(self, at: Attempt, digest: str) -> Iterator[bytes]:
        """A cohort member's masked vector in pieces, read on from where a connection broke."""
        return self._octets(f"{_path(at)}/vectors/{digest}")

    # Campaigns.

    def campaigns(self) -> list[dict[str, Any]]:
        """The campaigns that this organization may take part in, newest first."""
        found: list[dict[str, Any]] = []
        cursor = ""
        while True:
            more = f"&cursor={quote(cursor, safe='')}" if cursor else ""
            answer = self._json("GET", f"/api/campaigns?limit=200{more}")
            found += answer["campaigns"]
            cursor = str(answer.get("next_cursor") or "")
            if not cursor:
                return found

    def campaign(self, campaign_id: str) -> dict[str, Any]:
        """The campaign as the coordinator shows it; ``spec`` is CampaignSpec in plain values."""
        return self._json("GET", _campaign(campaign_id))

    def campaign_create(self, draft: dict[str, Any]) -> str:
        """Raises Forbidden where only operators create campaigns."""
        return str(self._json("POST", "/api/campaigns", canonical(draft))["campaign_id"])

    def campaign_approve(self, signed: Signed[CampaignApproval]) -> None:
        self._send(f"{_campaign(signed.body.campaign_id)}/approval", signed)

    def campaign_decline(self, signed: Signed[CampaignDecline]) -> None:
        self._send(f"{_campaign(signed.body.campaign_id)}/decline", signed)

    def run(self, campaign_id: str, number: int) -> dict[str, Any]:
        """A run: state, ``context``, ``spec``, ``cohort``."""
        return self._json("GET", _run(campaign_id, number))

    def run_transcript(self, campaign_id: str, number: int) -> CampaignTranscript:
        return CampaignTranscript.parse(
            self._get(_run(campaign_id, number) + "/transcript").content
        )

    def run_release(self, campaign_id: str, number: int) -> CampaignRelease:
        return CampaignRelease.parse(self._get(_run(campaign_id, number) + "/release").content)

    def run_send(self, campaign_id: str, number: int, name: str, signed: Signed[M]) -> None:
        """``name`` is submission, receipt, noise, share, refusal or verdict."""
        self._send(f"{_run(campaign_id, number)}/{name}", signed)

    def submission_replace(
        self, campaign_id: str, number: int, signed: Signed[Submission], *, replaces: str
    ) -> None:
        """``replaces`` is the digest of the submission that stands now."""
        path = f"{_run(campaign_id, number)}/submission?replaces={replaces}"
        self._request("PUT", path, signed.canonical())

    def campaign_bundle(self, campaign_id: str) -> bytes:
        """A campaign's bundle (docs/audit/bundle.md), as a file."""
        return self._get(_campaign(campaign_id) + "/bundle").content

    def ledger_send(self, signed: Signed[LedgerReport]) -> None:
        self._send("/api/ledger", signed)

    # Logs and their witnesses.

    def cosign_offer(self, log: LogName, *, old: int) -> CosignOffer:
        """A log's newest checkpoint with its proof from size ``old``."""
        return CosignOffer.parse(self._get(f"/api/logs/{log}/cosign?old={old}").content)

    def cosigned_send(self, log: LogName, signed: Signed[Cosigned]) -> None:
        self._send(f"/api/logs/{log}/cosign", signed)

    def witness_register(self, signed: Signed[WitnessKey]) -> None:
        self._send("/api/witnesses", signed)


@cache
def _no_tls() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _path(at: Attempt) -> str:
    return f"/api/jobs/{at.job_id}/rounds/{at.round}/{at.number}"


def _campaign(campaign_id: str) -> str:
    return f"/api/campaigns/{quote(campaign_id, safe='')}"


def _run(campaign_id: str, number: int) -> str:
    return f"{_campaign(campaign_id)}/runs/{number}"
