"""A job's attempts one after the other. Callers hold its lock and run as the coordinator."""

from __future__ import annotations

from apps.attempts.selectors.agreements import attempt_last
from apps.attempts.services.agreements import agreement_end, attempt_open
from apps.common.actor import COORDINATOR
from apps.training.models import Job
from federated.protocol.attempt import State
from federated.protocol.kinds import kind_of
from federated.protocol.kinds.base import Fail, Finish, Open


def job_continue(job: Job) -> None:
    """Open what follows the job's last attempt, or end the job."""
    last = attempt_last(job)
    if last is None:
        attempt_open(job, number=1)
    elif not last.open:
        following = kind_of(job.terms).following(
            job.terms,
            number=last.number,
            attempt=last.attempt,
            state=State(last.state),
            reason=last.reason,
        )
        match following:
            case Open(number, attempt):
                attempt_open(job, number=number, attempt=attempt)
            case Finish():
                agreement_end(job, state=Job.State.FINISHED, reason="", actor=COORDINATOR)
            case Fail(reason):
                agreement_end(job, state=Job.State.FAILED, reason=reason, actor=COORDINATOR)
