"""What a model card is made of: of a job's record only what the card shows, read once."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from federated.errors import InvalidInput
from federated.verify.evaluations import spec_of
from federated.wire.base import decode_bytes
from federated.wire.job import Evaluation, JobSpec
from federated.wire.key import KeyEpoch
from federated.wire.record import JobRecord
from federated.wire.reproducibility import ReproducibilityRecord
from federated.wire.round import Cohort, Release, RoundContext


@dataclass(frozen=True, slots=True)
class CardAttempt:
    """A closed attempt: its cohort's members, whether all were charged, what it released."""

    round: int
    attempt: int
    context: str
    cohort: str
    members: tuple[str, ...]
    minimum_cohort: int
    charged: bool
    release: str | None
    state: str | None


@dataclass(frozen=True, slots=True)
class CardSource:
    """One job; ``counts`` is the release of a joint evaluation, None for a training."""

    spec: JobSpec
    epoch: KeyEpoch
    attempts: tuple[CardAttempt, ...]
    records: tuple[ReproducibilityRecord, ...]
    verdicts: int
    refusals: int
    counts: Release | None

    @property
    def released(self) -> list[CardAttempt]:
        return [one for one in self.attempts if one.release is not None]

    @property
    def trains(self) -> bool:
        return not isinstance(self.spec.strategy, Evaluation)

    def site_keys(self) -> dict[str, str]:
        """The fingerprints of the pinned keys by organization."""
        return {
            one.organization: hashlib.sha256(decode_bytes(one.public_key)).hexdigest()
            for one in self.spec.participants
        }


def attempt_of(
    spec: JobSpec,
    context: RoundContext,
    cohort: Cohort,
    *,
    charged: bool,
    release: Release | None,
) -> CardAttempt:
    return CardAttempt(
        round=context.round,
        attempt=context.attempt,
        context=cohort.context,
        cohort=cohort.digest(),
        # The same few names in every attempt.
        members=tuple(sys.intern(name) for name in sorted(cohort.members)),
        minimum_cohort=context.minimum(spec),
        charged=charged,
        release=None if release is None else release.digest(),
        state=None if release is None else release.state,
    )


def source_of(record: JobRecord) -> CardSource:
    """Of a bundle's record, which stays in its file. Raises InvalidInput without an attempt."""
    spec = spec_of(record)
    if spec is None:
        raise InvalidInput("no attempt of this job was closed, there is no model")
    attempts, counts = [], None
    for attempt in record.attempts:
        cohort = attempt.cohort()
        attempts.append(
            attempt_of(
                spec,
                attempt.context,
                cohort,
                charged={s.body.organization for s in attempt.receipts} == set(cohort.members),
                release=attempt.release,
            )
        )
        if isinstance(spec.strategy, Evaluation):
            counts = attempt.release or counts
    return CardSource(
        spec=spec,
        epoch=record.key_epoch,
        attempts=tuple(attempts),
        records=tuple(record.reproducibility),
        verdicts=len(record.verdicts),
        refusals=len(record.refusals),
        counts=counts,
    )


def sources_of(records: Iterable[JobRecord]) -> list[CardSource]:
    """Those of the records with a closed attempt."""
    return [source_of(record) for record in records if len(record.attempts)]
