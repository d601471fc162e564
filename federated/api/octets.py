"""Octets to and from the coordinator: resumed where they broke off, in parts on the way up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import httpx

from federated.api.transport import FIRST_PAUSE, Transport, error_of
from federated.errors import DomainError, InvalidInput
from federated.files import PIECE_BYTES

OCTETS = "application/octet-stream"
PART_BYTES = 1 << 23
Pieces = Callable[[int, int], Iterator[bytes]]
"""Gives bytes from one position to another (exclusive), in pieces."""


class OctetTransport(Transport):
    """Bodies that are longer than a request should be."""

    def _octets_send(self, url: str, pieces: Pieces, size: int) -> None:
        here = 0
        while here < size:
            here = self._part_send(url, pieces, here, size)

    def _part_send(self, url: str, pieces: Pieces, start: int, size: int) -> int:
        """Send one part, from ``start`` at first and then from where the coordinator is."""
        at = [start]

        def part() -> tuple[Iterator[bytes], dict[str, str]]:
            end = min(at[0] + PART_BYTES, size)
            headers = {
                "Content-Type": OCTETS,
                "Content-Length": str(end - at[0]),
                "Content-Range": f"bytes {at[0]}-{end - 1}/{size}",
            }
            return pieces(at[0], end), headers

        def ask() -> None:
            asked = {"Content-Type": OCTETS, "Content-Range": f"bytes */{size}"}
            answer = self._http.request("PUT", url, content=b"", headers=asked)
            # Whole: what was sent did arrive, and its first part again is answered with that.
            received = _received(answer) if answer.status_code < 400 else 0
            at[0] = received if received < size else 0

        return _received(self._request("PUT", url, body=part, again=ask))

    def _octets(self, url: str) -> Iterator[bytes]:
        """What lies there in pieces, read on from where a connection broke."""
        seen = 0
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


def pieces_of(content: bytes) -> Pieces:
    """The Pieces of bytes that are in memory."""

    def pieces(start: int, end: int) -> Iterator[bytes]:
        for at in range(start, end, PIECE_BYTES):
            yield content[at : min(at + PIECE_BYTES, end)]

    return pieces


def _received(response: httpx.Response) -> int:
    try:
        return int(response.json()["received"])
    except (ValueError, KeyError, TypeError) as error:
        url = response.request.url.path
        raise InvalidInput(f"{url}: the answer does not say how much was received") from error
