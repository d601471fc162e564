"""The verifier's check of reproducibility records: logged with their releases, and true of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from federated.errors import DomainError, InvalidInput
from federated.protocol.reproducibility import reproducibility_check
from federated.provenance.bundle import Bundle
from federated.provenance.verify import Check
from federated.wire.job import JobSpec
from federated.wire.record import JobRecord
from federated.wire.round import Release, Transcript


def records_in_log(bundle: Bundle) -> dict[str, str]:
    """Digests of the reproducibility records that events name, by the digests of their releases."""
    return {
        event.digests["release"]: event.digests["reproducibility"]
        for _, event in bundle.events()
        if {"release", "reproducibility"} <= event.digests.keys()
    }


class ReproducibilityCheck:
    """Walks a job's records beside its released attempts; both are in one order.

    A release that was made before releases had records has none, and its event names none.
    """

    def __init__(self, record: JobRecord, spec: JobSpec, recorded: Mapping[str, str]) -> None:
        self._records = iter(record.reproducibility)
        self._next = next(self._records, None)
        self._spec = spec
        self._recorded = recorded

    def of(self, transcript: Transcript, name: str) -> Check:
        """The check of one released attempt."""
        assert transcript.release is not None
        try:
            detail = self._checked(transcript, transcript.release)
        except DomainError as error:
            return Check(name, "failed", error.message)
        if detail is None:
            return Check(name, "skipped", "released without a record")
        return Check(name, "ok", detail)

    def rest(self, name: str) -> Iterator[Check]:
        """A failed check where records are left that no release has."""
        if self._next is not None:
            yield Check(name, "failed", "a record of no release, or not in the releases' order")

    def _checked(self, transcript: Transcript, release: Release) -> str | None:
        digest, given = release.digest(), self._next
        logged = self._recorded.get(digest)
        if given is None or given.release != digest:
            if logged is not None:
                raise InvalidInput("an event names a record of this release, it is not given")
            return None
        self._next = next(self._records, None)
        if given.digest() != logged:
            raise InvalidInput("no event of the release names this record")
        reproducibility_check(given, transcript, spec=self._spec)
        software = given.software
        return (
            f"{len(given.inputs.contributions)} contributions and the other inputs are the "
            f"transcript's; made by federated {software.federated}, source {software.source[:16]}"
        )
