"""What the console's pages show of jobs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from apps.common.coordinator import as_coordinator
from apps.federation.models import Job, JobParticipant, Round
from apps.federation.selectors.jobs import epsilons
from apps.provenance.selectors import LoggedEvent, events, events_logged

EVENTS_SHOWN = 200


@dataclass(frozen=True, slots=True)
class RoundLine:
    """An attempt with who has sent what."""

    round: Round
    contributed: list[str]
    charged: list[str]
    shared: list[str]
    refusals: list[tuple[str, str, str]]
    """(organization, reason, detail)"""
    verdicts: dict[str, bool]

    @property
    def phase_seconds(self) -> dict[str, float]:
        return self.round.phase_seconds


@dataclass(frozen=True, slots=True)
class JobOverview:
    """A job's page: who takes part, how far it is, what it cost, what is on record."""

    job: Job
    participants: list[JobParticipant]
    rounds: list[RoundLine]
    rounds_done: int
    rounds_total: int
    attempts_charged: int
    epsilon_target: float | None
    epsilon_spent: dict[str, float]
    """After the attempts charged: against the coordinator, and against all other insiders."""
    epsilon_whole: dict[str, float]
    delta: float | None
    colluding: int
    events: list[LoggedEvent]
    """Newest first, with leaf, checkpoint and anchor."""
    ended: datetime | None


def job_overview(job: Job) -> JobOverview:
    """All of a job that a participant's page shows; the caller has checked that it may."""
    with as_coordinator():
        rows = (
            job.rounds.defer("product", "release")
            .prefetch_related("refusals", "verdicts")
            .order_by("number", "attempt")
        )
        lines = [_line(found) for found in rows]
        logged = events_logged(list(events(subject=("job", job.pk))[:EVENTS_SHOWN]))
        participants = list(job.participants.all())
    spec = job.wire
    charged = sum(1 for line in lines if line.round.charged_at is not None)
    released = [line for line in lines if line.round.state == Round.State.RELEASED]
    return JobOverview(
        job=job,
        participants=participants,
        rounds=lines,
        rounds_done=len(released),
        rounds_total=spec.strategy.rounds,
        attempts_charged=charged,
        epsilon_target=spec.privacy.epsilon,
        epsilon_spent=epsilons(spec, charged),
        epsilon_whole=epsilons(spec, spec.strategy.rounds),
        delta=spec.privacy.delta,
        colluding=spec.privacy.colluding,
        events=logged,
        ended=job.ended_at,
    )


def _line(found: Round) -> RoundLine:
    def senders(name: str) -> list[str]:
        return sorted(getattr(found, name).values_list("organization", flat=True))

    return RoundLine(
        round=found,
        contributed=senders("contributions"),
        charged=senders("receipts"),
        shared=senders("shares"),
        refusals=[(r.organization, r.reason, r.detail) for r in found.refusals.all()],
        verdicts={v.organization: v.agrees for v in found.verdicts.all()},
    )
