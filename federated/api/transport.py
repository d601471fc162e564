"""One request to the coordinator: repeated while it cannot be reached, its errors raised as ours.

Every POST is idempotent by its content (the same signed bytes again are the same request), so all
are repeated with growing pauses. Answers of problem+json are raised as the DomainError of the same
code.
"""

from __future__ import annotations

import random
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

import httpx

from federated.errors import (
    Conflict,
    DomainError,
    Forbidden,
    InvalidInput,
    NotAuthenticated,
    NotFound,
    TooLarge,
    Unavailable,
)
from federated.wire.base import Message, Signed

RETRY_SECONDS = 60.0
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
RETRIED = frozenset({429, 502, 503, 504})
TIMEOUT = httpx.Timeout(60.0, connect=10.0)
BY_STATUS: dict[int, type[DomainError]] = {
    401: NotAuthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: TooLarge,
    422: InvalidInput,
    503: Unavailable,
}
M = TypeVar("M", bound=Message)
Body = Callable[[], tuple[Iterator[bytes], dict[str, str]]]
"""Makes a body that streams, and its headers."""


class Carrier(Protocol):
    """Carries one request to the coordinator, and its answer back.

    ``httpx.Client`` is one over HTTPS; a simulation has one in memory. The calls of
    ``CoordinatorAPI``, their retries and their errors are the same over each. Raises
    httpx.TransportError where no answer comes.
    """

    def request(
        self,
        method: str,
        url: str,
        *,
        content: bytes | Iterable[bytes] | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        """One request, ``url`` from the coordinator's root on."""

    def stream(
        self, method: str, url: str, *, headers: dict[str, str] | None = None
    ) -> AbstractContextManager[httpx.Response]:
        """One request whose answer is read in pieces."""

    def close(self) -> None:
        """Close the connections."""


class TlsFailed(NotAuthenticated):
    """The handshake failed: the coordinator is not who the CA says, or it refuses this site."""

    code = "tls_failed"
    title = "No trusted connection to the coordinator"


class Interrupted(Unavailable):
    """The client was closed while a call waited."""

    code = "interrupted"
    title = "Stopped while waiting"


def error_class(code: str, status: int) -> type[DomainError]:
    """The error class of a code; for a code known to the coordinator alone, one by status."""
    pending = [DomainError]
    while pending:
        kind = pending.pop()
        if kind.code == code and kind.__init__ is DomainError.__init__:
            return kind
        pending.extend(kind.__subclasses__())
    base = BY_STATUS.get(status, DomainError)
    return type(base.__name__, (base,), {"code": code, "status": status})


def error_of(response: httpx.Response) -> DomainError:
    """The DomainError that an answer of 400 and above carries."""
    try:
        problem = response.json()
        code, detail = str(problem["code"]), str(problem["detail"])
        fields = problem.get("fields") or {}
    except (ValueError, KeyError, TypeError, AttributeError):
        base = BY_STATUS.get(response.status_code, DomainError)
        return base(f"{response.request.url.path}: HTTP {response.status_code}, not a problem")
    kind = error_class(code, response.status_code)
    return kind(detail, **{str(k): v for k, v in fields.items() if k != "message"})


class Transport:
    """Requests over one keep-alive connection pool; safe between threads."""

    def __init__(
        self,
        url: str,
        tls: ssl.SSLContext,
        *,
        retry_seconds: float = RETRY_SECONDS,
        transport: httpx.BaseTransport | None = None,
        carrier: Carrier | None = None,
    ) -> None:
        if not url.startswith("https://"):
            raise InvalidInput(f"coordinator url {url!r}: must start with https://")
        self.url = url.rstrip("/")
        self._retry_seconds = retry_seconds
        self._closed = threading.Event()
        self._transport, self._carrier = transport, carrier
        self._http = self._client(tls)

    def _client(self, tls: ssl.SSLContext) -> Carrier:
        return self._carrier or httpx.Client(
            base_url=self.url,
            verify=tls,
            timeout=TIMEOUT,
            transport=self._transport,
            trust_env=False,
        )

    def identify(self, tls: ssl.SSLContext) -> None:
        """Use another certificate from the next request on; those under way end as they began."""
        self._http = self._client(tls)

    def interrupt(self) -> None:
        """End the pauses of calls that wait to be repeated, now and from now on."""
        self._closed.set()

    def close(self) -> None:
        """End waiting calls and close the connections."""
        self.interrupt()
        self._http.close()

    def _json(self, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        response = self._request(method, path, body)
        try:
            answer = response.json()
        except ValueError as error:
            raise InvalidInput(f"{path}: the coordinator's answer is not JSON") from error
        if not isinstance(answer, dict):
            raise InvalidInput(f"{path}: the coordinator's answer is not a JSON object")
        return answer

    def _get(self, path: str) -> httpx.Response:
        return self._request("GET", path)

    def _send(self, path: str, signed: Signed[M]) -> None:
        self._request("POST", path, signed.canonical())

    def _request(
        self,
        method: str,
        path: str,
        body: bytes | Body | None = None,
        headers: dict[str, str] | None = None,
        again: Callable[[], None] = lambda: None,
    ) -> httpx.Response:
        """Raises the coordinator's DomainError, TlsFailed, or Unavailable after the retries.

        A body that streams is made anew, with its headers, for each try; ``again`` comes before
        each try but the first.
        """
        headers = {**(headers or {}), "Accept": "application/json, application/octet-stream, */*"}
        if isinstance(body, bytes):
            headers["Content-Type"] = "application/json"
        give_up = time.monotonic() + self._retry_seconds
        pause, tried = FIRST_PAUSE, False
        while True:
            failure: DomainError
            try:
                if tried:
                    again()
                tried = True
                content, more = body() if callable(body) else (body, {})
                response = self._http.request(
                    method, path, content=content, headers={**headers, **more}
                )
                if response.status_code < 400:
                    return response
                failure = error_of(response)
                if response.status_code not in RETRIED:
                    raise failure
            except httpx.TransportError as error:
                failure = self._transport_failure(error)
                if not failure.retryable:
                    raise failure from error
            except RuntimeError as error:
                if self._closed.is_set():
                    raise Interrupted(f"{path}: the client was closed") from error
                raise
            if time.monotonic() + pause > give_up:
                raise failure
            pause = self._wait(path, pause)

    def _wait(self, path: str, pause: float) -> float:
        """Pause before a repetition; the pause after the next one. Raises Interrupted."""
        if self._closed.wait(pause * random.uniform(0.5, 1.0)):  # noqa: S311
            raise Interrupted(f"{path}: the client was closed")
        return min(2 * pause, LONGEST_PAUSE)

    def _transport_failure(self, error: httpx.TransportError) -> DomainError:
        text = str(error)
        if "CERTIFICATE_VERIFY_FAILED" in text:
            return TlsFailed(f"{self.url}: its certificate is not of this consortium's CA ({text})")
        if "ALERT" in text.upper():
            return TlsFailed(f"{self.url} refuses this site's certificate ({text})")
        return Unavailable(f"{self.url} does not answer ({type(error).__name__}: {text})")
