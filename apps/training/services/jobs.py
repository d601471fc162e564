"""Proposing a job, and the answers of its participants."""

from __future__ import annotations

from collections.abc import Iterable
from mmap import mmap

from django.db import transaction
from django.utils import timezone

from apps.attempts.models import Agreement, Participant
from apps.attempts.services.agreements import agreement_end, agreement_lock
from apps.attempts.services.answers import (
    own_budget_check,
    participants_make,
    statement_check,
    to_answer,
)
from apps.attempts.services.events import agreement_event
from apps.common.actor import Actor
from apps.common.coordinator import as_coordinator
from apps.keys.bell import bell_ring
from apps.keys.services import key_epoch_hold
from apps.provenance.services import event_record
from apps.provenance.tags import Tag
from apps.training.models import DataDictionary, Job
from apps.training.services import proposals
from apps.training.services.states import state_received
from apps.training.storage import state_put
from federated.errors import Conflict, Forbidden
from federated.protocol.arrival import AlreadySent, Closed
from federated.protocol.cost import job_epsilons
from federated.protocol.kinds import kind_of
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
        found = _job_of(spec.job_id)
    if found is not None:
        return _same(found, signed), False
    if state is not None:
        return _propose(signed, state, actor)
    with state_received(organization=organization, digest=spec.initial_state) as content:
        return _propose(signed, content, actor)


def _job_of(job_id: str) -> Job | None:
    """Raises AlreadySent where the id is that of another kind's agreement."""
    job = Job.objects.filter(pk=job_id).first()
    if job is None and Agreement.objects.filter(pk=job_id).exists():
        raise AlreadySent(f"job_id: {job_id} is taken; draw another one.")
    return job


def _propose(signed: Signed[wire.JobSpec], state: bytes | mmap, actor: Actor) -> tuple[Job, bool]:
    spec = signed.body
    with as_coordinator():
        terms = proposals.proposal_check(signed, state)
    kind = kind_of(terms).name
    own_budget_check(terms, organization=spec.proposer)
    first = state_put(job_id=spec.job_id, step=0, digest=spec.initial_state, content=state)
    with as_coordinator(), transaction.atomic():
        key_epoch_hold(digest=spec.key_epoch)
        job, created = Job.objects.get_or_create(
            id=spec.job_id,
            defaults={
                "kind": kind,
                "spec": signed.dump(),
                "spec_digest": spec.digest(),
                "key_epoch": spec.key_epoch,
                "proposer": spec.proposer,
                "state": Job.State.PROPOSED,
                "model_digest": spec.initial_state,
                "reason": waits_for(p.organization for p in spec.participants),
            },
        )
        if not created:
            return _same(job, signed), False
        participants_make(job)
        first.save(force_insert=True)
        epsilons = job_epsilons(spec)
        agreement_event(
            Tag.JOB_PROPOSED,
            job,
            actor=actor,
            digests={"model": spec.initial_state},
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
            agreement_event(
                Tag.EPSILON_OVERRIDDEN,
                job,
                actor=actor,
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


def waits_for(slugs: Iterable[str]) -> str:
    """Why a proposed job is no further, while these have not answered."""
    names = ", ".join(slugs)
    return f"waits for approval of {names}" if names else "waits for its turn"


def job_cancel(
    agreement: Agreement, *, organization: str, signed: Signed[wire.Cancel], actor: Actor
) -> bool:
    """A participant stops the job: its open attempt ends, nothing more is charged."""
    statement_check(agreement, signed, sender=organization)
    return _cancel(agreement, organization, signed.body.reason, actor, signature=signed.digest())


def job_cancel_by_person(job: Job, *, organization: str, reason: str, actor: Actor) -> bool:
    """A member of a participating organization stops the job in the portal."""
    return _cancel(job, organization, reason, actor)


def _cancel(
    job: Agreement, organization: str, reason: str, actor: Actor, signature: str | None = None
) -> bool:
    with as_coordinator(), transaction.atomic():
        locked = agreement_lock(job.pk)
        if locked.state == Job.State.CANCELLED:
            return False
        if locked.ended:
            raise Closed(f"The job is {locked.state}; there is nothing to cancel.")
        why = f"cancelled by {organization}" + (f": {reason}" if reason else "")
        return agreement_end(
            locked, state=Job.State.CANCELLED, reason=why, actor=actor, signature=signature
        )


def job_decline_by_person(job: Job, *, organization: str, reason: str, actor: Actor) -> bool:
    """A person says no for the organization; it ends the job."""
    with as_coordinator(), transaction.atomic():
        locked, part = to_answer(job, organization)
        part.state, part.reason = Participant.State.DECLINED, reason[:500]
        part.answered_at = timezone.now()
        part.save(update_fields=["state", "reason", "answered_at"])
        return agreement_end(
            locked,
            state=Job.State.DECLINED,
            reason=f"declined by {organization}: {reason}",
            actor=actor,
        )
