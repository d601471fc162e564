"""The coordinator's API as typed calls; `transport` repeats them and raises its errors."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from federated.client.credentials import Credentials
from federated.client.files import read_pieces
from federated.client.home import Attempt
from federated.client.transport import FIRST_PAUSE, M, Transport, error_of
from federated.errors import DomainError, InvalidInput
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

OCTETS = "application/octet-stream"
PART_BYTES = 1 << 23


class CoordinatorAPI(Transport):
    """What a site and its people ask of the coordinator; safe between threads."""

    def __init__(self, url: str, tls: ssl.SSLContext, **options: Any) -> None:
        super().__init__(url, tls, **options)
        self._etag: str | None = None
        self._inbox = Inbox(tasks=(), wait_ms=1000)

    @classmethod
    def for_site(cls, url: str, credentials: Credentials, **options: Any) -> CoordinatorAPI:
        """With the site's certificate, trusting the consortium's CA."""
        credentials.check_dates()
        return cls(url, credentials.ssl_context(), **options)

    # Joining, without a certificate yet.

    def authority(self) -> bytes:
        """The PEM that the coordinator claims is the consortium's CA."""
        return self._get("/api/ca").content

    def join(self, request: JoinRequest) -> JoinResponse:
        return JoinResponse.parse(self._json("POST", "/api/join", request.canonical()))

    # The site and the key.

    def site(self) -> dict[str, Any]:
        """Who this certificate is, the coordinator's defaults, when its agent was last seen."""
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
        body = canonical({"spec": spec.dump(), "state": encode_bytes(state)})
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
        """A job's bundle (docs/bundle.md), as a file."""
        return self._get(f"/api/jobs/{quote(job_id, safe='')}/bundle").content

    def model(self, digest: str) -> bytes:
        """The bytes of a server state."""
        return self._get(f"/api/models/{digest}").content

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
        """What the organization's admin asks in the portal."""
        return AllotmentRequest.parse(self._get(f"/api/ledger/allotments/{request_id}").content)

    # Masked vectors: octets, in parts on the way up, resumed where they broke off on both ways.

    def vector_send(self, at: Attempt, digest: str, path: Path) -> None:
        """Upload a file as the attempt's masked vector; nothing of it is held in memory."""
        url, size = f"{_path(at)}/vectors/{digest}", path.stat().st_size
        here = 0
        while here < size:
            here = self._part_send(url, path, here, size)

    def _part_send(self, url: str, path: Path, start: int, size: int) -> int:
        """Send one part, from ``start`` at first and then from where the coordinator is."""
        at = [start]

        def part() -> tuple[Iterator[bytes], dict[str, str]]:
            end = min(at[0] + PART_BYTES, size)
            headers = {
                "Content-Type": OCTETS,
                "Content-Length": str(end - at[0]),
                "Content-Range": f"bytes {at[0]}-{end - 1}/{size}",
            }
            return read_pieces(path, at[0], end), headers

        def ask() -> None:
            asked = {"Content-Type": OCTETS, "Content-Range": f"bytes */{size}"}
            answer = self._http.request("PUT", url, content=b"", headers=asked)
            # Whole: what was sent did arrive, and its first part again is answered with that.
            received = _received(answer) if answer.status_code < 400 else 0
            at[0] = received if received < size else 0

        return _received(self._request("PUT", url, body=part, again=ask))

    def vector(self, at: Attempt, digest: str) -> Iterator[bytes]:
        """A cohort member's masked vector in pieces, read on from where a connection broke."""
        url, seen = f"{_path(at)}/vectors/{digest}", 0
        give_up, pause = time.monotonic() + self._retry_seconds, FIRST_PAUSE
        while True:
            try:
                headers = {"Range": f"bytes={seen}-"} if seen else {}
                with self._http.stream("GET", url, headers=headers) as response:
                    if response.status_code >= 400:
                        response.read()
                        raise error_of(response)
                    if seen and response.status_code != httpx.codes.PARTIAL_CONTENT:
                        raise InvalidInput(f"{url}: the coordinator does not read on")
                    for piece in response.iter_bytes():
                        seen += len(piece)
                        yield piece
                return
            except httpx.TransportError as error:
                failure = self._transport_failure(error)
            except DomainError as error:
                failure = error
            if not failure.retryable or time.monotonic() + pause > give_up:
                raise failure
            pause = self._wait(url, pause)

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
        """A campaign's bundle (docs/bundle.md), as a file."""
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


def _received(response: httpx.Response) -> int:
    try:
        return int(response.json()["received"])
    except (ValueError, KeyError, TypeError) as error:
        url = response.request.url.path
        raise InvalidInput(f"{url}: the answer does not say how much was received") from error


def _path(at: Attempt) -> str:
    return f"/api/jobs/{at.job_id}/rounds/{at.round}/{at.number}"


def _campaign(campaign_id: str) -> str:
    return f"/api/campaigns/{quote(campaign_id, safe='')}"


def _run(campaign_id: str, number: int) -> str:
    return f"{_campaign(campaign_id)}/runs/{number}"
