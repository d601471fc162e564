"""Proposing a job, and the answers of its participants."""

from __future__ import annotations

from mmap import mmap
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.budgets.selectors import budget_check
from apps.common.actor import Actor
from apps.common.coordinator import as_coordinator
from apps.keys.bell import bell_ring
from apps.keys.services import key_epoch_hold
from apps.provenance.services import event_record
from apps.provenance.tags import Tag
from apps.training.models import DataDictionary, Job, JobParticipant
from apps.training.queue import enqueue
from apps.training.selectors.jobs import jobs_of
from apps.training.services import lifecycle, proposals
from apps.training.services.states import state_received
from apps.training.storage import state_put
from federated.errors import Conflict, Forbidden, InvalidInput
from federated.protocol.arrival import AlreadySent, Closed, sender_check
from federated.protocol.checks import approval_check
from federated.protocol.cost import job_cost, job_epsilons
from federated.protocol.refused import Refused
from federated.wire import job as wire
from federated.wire.base import Signed


def dictionary_register(
    *, dictionary: wire.DataDictionary, organization: str, actor: Actor
) -> tuple[DataDictionary, bool]:
    """Register public facts of a dataset under its name; the same again changes nothing.

    Raises Conflict where the name stands for something else.
    """
    digest = dictionary.digest()
    with as_coordinator(), transaction.atomic():
        row, created = DataDictionary.objects.get_or_create(
            name=dictionary.dataset,
            defaults={
                "organization": organization,
                "message": dictionary.dump(),
                "digest": digest,
            },
        )
        if not created and row.digest != digest:
            raise Conflict(
                f"{dictionary.dataset} is registered by {row.organization} with other content; "
                "choose another dataset name"
            )
        if created:
            event_record(
                tag=Tag.DICTIONARY_REGISTERED,
                actor=actor,
                subject=("dictionary", dictionary.dataset),
                digests={"dictionary": digest},
            )
        return row, created


def job_propose(
    *, signed: Signed[wire.JobSpec], state: bytes | None, organization: str, actor: Actor
) -> tuple[Job, bool]:
    """Store a proposed job with its first server state. True beside it if it is new.

    None is for a state that the organization sent before (services.states).
    Raises Forbidden for another's proposal, Conflict where the job's id stands for another spec,
    BudgetExceeded where the proposer's mirrored ledger has too little left, StateMissing for a
    state that is not here, and InvalidInput or SignatureInvalid for anything that the sites would
    refuse.
    """
    spec = signed.body
    if spec.proposer != organization:
        raise Forbidden(f"The proposer is {spec.proposer}; this certificate is {organization}'s.")
    with as_coordinator():
        found = Job.objects.filter(pk=spec.job_id).first()
    if found is not None:
        return _same(found, signed), False
    if state is not None:
        return _propose(signed, state, actor)
    with state_received(organization=organization, digest=spec.initial_state) as content:
        return _propose(signed, content, actor)


def _propose(signed: Signed[wire.JobSpec], state: bytes | mmap, actor: Actor) -> tuple[Job, bool]:
    spec = signed.body
    with as_coordinator():
        proposals.proposal_check(signed, state)
    _budget_check(spec, spec.proposer)
    first = state_put(job_id=spec.job_id, step=0, digest=spec.initial_state, content=state)
    with as_coordinator(), transaction.atomic():
        key_epoch_hold(digest=spec.key_epoch)
        job, created = Job.objects.get_or_create(
            id=spec.job_id,
            defaults={
                "spec": signed.dump(),
                "spec_digest": spec.digest(),
                "proposer": spec.proposer,
                "model_digest": spec.initial_state,
                "reason": _waits_for(p.organization for p in spec.participants),
            },
        )
        if not created:
            return _same(job, signed), False
        JobParticipant.objects.bulk_create(
            JobParticipant(job=job, organization=p.organization) for p in spec.participants
        )
        first.save(force_insert=True)
        epsilons = job_epsilons(spec)
        event_record(
            tag=Tag.JOB_PROPOSED,
            actor=actor,
            subject=("job", job.pk),
            digests={"spec": job.spec_digest, "model": spec.initial_state},
            data={
                **_evaluates(spec),
                "dataset": spec.data.dataset,
                "rounds": spec.strategy.rounds,
                "participants": job.slugs(),
                "minimum_cohort": spec.minimum_cohort,
                "delta": spec.privacy.delta,
                "epsilons": {name: round(value, 6) for name, value in epsilons.items()},
            },
            signature=signed.digest(),
        )
        if spec.privacy.high_epsilon_reason is not None:
            event_record(
                tag=Tag.EPSILON_OVERRIDDEN,
                actor=actor,
                subject=("job", job.pk),
                digests={"spec": job.spec_digest},
                data={
                    "epsilon": spec.privacy.epsilon,
                    "reason": spec.privacy.high_epsilon_reason,
                },
                signature=signed.digest(),
            )
        bell_ring(job.slugs())
        return job, True


def _evaluates(spec: wire.JobSpec) -> dict[str, str]:
    evaluation = spec.strategy
    return {"evaluates": evaluation.job_id} if isinstance(evaluation, wire.Evaluation) else {}


def _same(job: Job, signed: Signed[wire.JobSpec]) -> Job:
    if job.signed.digest() != signed.digest():
        raise AlreadySent(f"Job {job.pk} was proposed with other content; give it another job_id.")
    return job


def _waits_for(slugs: Any) -> str:
    names = ", ".join(slugs)
    return f"waits for approval of {names}" if names else "waits for its turn"


def job_approve(
    *, job: Job, organization: str, signed: Signed[wire.Approval], actor: Actor
) -> bool:
    """Keep a site's countersignature; the last one queues the job. True if it is new."""
    sender_check(signed, sender=organization)
    try:
        approval_check(signed, agreement=job.agreement)
    except Refused as error:
        raise InvalidInput(error.message, reason=error.reason.value) from error
    return _answer(job, signed, state=JobParticipant.State.APPROVED, reason="", actor=actor)


def job_decline(*, job: Job, organization: str, signed: Signed[wire.Decline], actor: Actor) -> bool:
    """Keep a site's signed no; it ends the job. True if it is new."""
    sender_check(signed, sender=organization)
    _same_spec(job, signed.body)
    job.agreement.verify(signed)
    declined = JobParticipant.State.DECLINED
    return _answer(job, signed, state=declined, reason=signed.body.reason, actor=actor)


def _same_spec(job: Job, body: wire.Decline | wire.Cancel) -> None:
    if body.job_id != str(job.pk) or body.spec != job.spec_digest:
        raise InvalidInput(f"job_id, spec: of another job than {job.pk}")


def _answer(
    job: Job, signed: Signed[Any], *, state: JobParticipant.State, reason: str, actor: Actor
) -> bool:
    organization = signed.body.organization
    with as_coordinator(), transaction.atomic():
        locked = lifecycle.job_lock(job.pk)
        part = locked.participants.get(organization=organization)
        if part.state != JobParticipant.State.PENDING:
            if part.answer == signed.dump():
                return False
            raise AlreadySent(f"{organization} has {part.state} this job before.")
        if locked.state != Job.State.PROPOSED:
            raise Closed(f"The job is {locked.state}; nothing is to be approved.")
        part.state, part.reason = state, reason
        part.answer, part.answered_at = signed.dump(), timezone.now()
        part.save(update_fields=["state", "reason", "answer", "answered_at"])
        if state == JobParticipant.State.DECLINED:
            lifecycle.job_end(
                locked,
                state=Job.State.DECLINED,
                reason=f"declined by {organization}: {reason}",
                actor=actor,
                signature=signed.digest(),
            )
            return True
        event_record(
            tag=Tag.JOB_APPROVED,
            actor=actor,
            subject=("job", job.pk),
            digests={"spec": job.spec_digest, "message": signed.digest()},
            data={"organization": organization, "rho": signed.body.cost.rho},
            signature=signed.digest(),
        )
        _wait_for_others(locked)
        return True


def _wait_for_others(job: Job) -> None:
    pending = job.participants.filter(state=JobParticipant.State.PENDING)
    names = list(pending.values_list("organization", flat=True))
    Job.objects.filter(pk=job.pk).update(reason=_waits_for(names))
    bell_ring(job.slugs())
    if not names:
        enqueue("training.job_advance", job.pk)


def job_cancel(*, job: Job, organization: str, signed: Signed[wire.Cancel], actor: Actor) -> bool:
    """A participant stops the job: its open attempt ends, nothing more is charged."""
    sender_check(signed, sender=organization)
    _same_spec(job, signed.body)
    job.agreement.verify(signed)
    return _cancel(job, organization, signed.body.reason, actor, signature=signed.digest())


def job_cancel_by_person(*, job: Job, organization: str, reason: str, actor: Actor) -> bool:
    """A member of a participating organization stops the job in the portal."""
    return _cancel(job, organization, reason, actor)


def _cancel(
    job: Job, organization: str, reason: str, actor: Actor, signature: str | None = None
) -> bool:
    with as_coordinator(), transaction.atomic():
        locked = lifecycle.job_lock(job.pk)
        if locked.state == Job.State.CANCELLED:
            return False
        if locked.ended:
            raise Closed(f"The job is {locked.state}; there is nothing to cancel.")
        why = f"cancelled by {organization}" + (f": {reason}" if reason else "")
        return lifecycle.job_end(
            locked, state=Job.State.CANCELLED, reason=why, actor=actor, signature=signature
        )


def job_approve_by_person(*, job: Job, organization: str, actor: Actor) -> bool:
    """A person lets the organization's site approve, where its policy waits for one.

    The site still decides and signs. Raises BudgetExceeded by the mirrored ledger, Closed where
    the organization has answered or the job is past approval.
    """
    _budget_check(job.wire, organization)
    with as_coordinator(), transaction.atomic():
        locked, part = _to_answer(job, organization)
        if part.endorsed_by is not None:
            return False
        part.endorsed_by = actor.snapshot()
        part.save(update_fields=["endorsed_by"])
        event_record(
            tag=Tag.JOB_ENDORSED,
            actor=actor,
            subject=("job", job.pk),
            digests={"spec": job.spec_digest},
            data={"organization": organization},
        )
        bell_ring(locked.slugs())
        return True


def _budget_check(spec: wire.JobSpec, organization: str) -> None:
    proposed = jobs_of(organization).filter(proposer=spec.proposer).exclude(pk=spec.job_id)
    budget_check(
        organization=organization,
        cost=job_cost(spec),
        proposer=spec.proposer,
        proposed=dict(proposed.values_list("pk", "created_at")),
    )


def job_decline_by_person(*, job: Job, organization: str, reason: str, actor: Actor) -> bool:
    """A person says no for the organization; it ends the job."""
    with as_coordinator(), transaction.atomic():
        locked, part = _to_answer(job, organization)
        part.state, part.reason = JobParticipant.State.DECLINED, reason[:500]
        part.answered_at = timezone.now()
        part.save(update_fields=["state", "reason", "answered_at"])
        return lifecycle.job_end(
            locked,
            state=Job.State.DECLINED,
            reason=f"declined by {organization}: {reason}",
            actor=actor,
        )


def _to_answer(job: Job, organization: str) -> tuple[Job, JobParticipant]:
    locked = lifecycle.job_lock(job.pk)
    part = locked.participants.get(organization=organization)
    if locked.state != Job.State.PROPOSED or part.state != JobParticipant.State.PENDING:
        raise Closed(f"The job is {locked.state}, {organization} has {part.state} it.")
    return locked, part
