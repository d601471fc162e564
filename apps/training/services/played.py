"""How jobs are played: a round's attempts, the server step that follows, the next round."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings

from apps.attempts.models import Agreement, Attempt, Participant
from apps.attempts.played import Made, Opening, Played, Sent, Tags
from apps.attempts.queue import enqueue
from apps.attempts.selectors.transcripts import array, contents, transcript_of
from apps.attempts.services.agreements import agreement_end
from apps.attempts.services.events import agreement_event, attempt_event
from apps.common.actor import Actor
from apps.keys.bell import bell_ring
from apps.provenance.tags import Tag
from apps.training.errors import VectorMissing
from apps.training.models import Job, MaskedVector, ModelState
from apps.training.selectors.jobs import round_summary
from apps.training.selectors.vectors import vectors_of
from apps.training.services.jobs import job_cancel, waits_for
from apps.training.services.lifecycle import job_continue
from apps.training.services.sums import round_total, sum_begin, sum_ready
from apps.training.services.vectors import vector_delete
from apps.training.storage import state_bytes, state_put
from federated.protocol.cost import cohort_asked
from federated.protocol.kinds.training import expired_of
from federated.protocol.release import release_make
from federated.protocol.reproducibility import reproducibility_make
from federated.provenance.software import software_here
from federated.training.server import ServerState
from federated.wire import job as wire_job
from federated.wire import round as wire
from federated.wire.base import Message, Signed, canonical, decode_bytes
from federated.wire.site import AttemptTask, JobTask, Task, Work


class Jobs(Played):
    subject = "job"
    noun = "attempt"
    model = Job
    stored = Signed[wire_job.JobSpec]
    context_type = wire.RoundContext
    cohort_type = wire.Cohort
    release_type = wire.Release
    transcript_type = wire.Transcript
    messages = {
        "contribution": Sent(
            wire.Contribution,
            Tag.CONTRIBUTION_ACCEPTED,
            "Send the encrypted, proven contribution",
            limit=None,
        ),
        "receipt": Sent(
            wire.ChargeReceipt,
            Tag.RECEIPT_ACCEPTED,
            "Tell that the site's ledger has charged the attempt",
        ),
        "share": Sent(
            wire.DecryptionShare,
            Tag.SHARE_ACCEPTED,
            "Send a trustee's proven decryption share",
            limit=None,
        ),
        "refusal": Sent(
            wire.Refusal, Tag.SHARE_REFUSED, "Refuse to charge or to decrypt, with a reason"
        ),
        "verdict": Sent(wire.Verdict, Tag.VERDICT_ACCEPTED, "Judge a release after recomputing it"),
    }
    answers = {
        "approval": Sent(wire_job.Approval, Tag.JOB_APPROVED, "Countersign a job"),
        "decline": Sent(wire_job.Decline, Tag.JOB_REFUSED, "Decline a job"),
        "cancel": Sent(wire_job.Cancel, Tag.JOB_CANCELLED, "Stop a job"),
    }
    statements = {"cancel": job_cancel}
    summaries = (
        "An attempt: context, state, deadline",
        "What participants may check of a closed attempt",
        "The decoded sum and the next state's digest",
    )
    tags = Tags(
        endorsed=Tag.JOB_ENDORSED,
        ended={
            Job.State.FINISHED: Tag.JOB_FINISHED,
            Job.State.FAILED: Tag.JOB_FAILED,
            Job.State.DECLINED: Tag.JOB_REFUSED,
            Job.State.CANCELLED: Tag.JOB_CANCELLED,
        },
        opened=Tag.ROUND_OPENED,
        closed=Tag.ROUND_CLOSED,
        charged=Tag.ROUND_CHARGED,
        released=Tag.ROUND_RELEASED,
        abandoned=Tag.ROUND_ABANDONED,
        expired=Tag.CONTRIBUTIONS_EXPIRED,
    )
    answerable = Job.State.PROPOSED
    final = frozenset({Participant.State.APPROVED, Participant.State.DECLINED})
    ended_by_portal = Job.State.FAILED
    expiring = {"contribution": "contributions"}
    expires_whole = True
    wait_ms = (75, 75, 250)

    def retention_days(self) -> int:
        days: int = settings.FSC_CONFIG.jobs.retention_days
        return days

    # How people and messages name an attempt.

    def name(self, attempt: Attempt) -> str:
        return f"round {attempt.number}, attempt {attempt.attempt}"

    def place(self, attempt: Attempt) -> dict[str, int]:
        return {"round": attempt.number, "attempt": attempt.attempt}

    def task(
        self, work: Work, agreement_id: Any, number: int | None = None, attempt: int | None = None
    ) -> Task:
        if number is None or attempt is None:
            return JobTask(job_id=str(agreement_id))
        return AttemptTask.of(work, str(agreement_id), number, attempt)

    def describe(self, attempt: Attempt) -> dict[str, Any]:
        return {**round_summary(attempt), "context": attempt.context}

    # A job's answers and its end.

    def answered(
        self, agreement: Job, part: Participant, signed: Signed[Any], actor: Actor
    ) -> None:
        if part.state == Participant.State.DECLINED:
            agreement_end(
                agreement,
                state=Job.State.DECLINED,
                reason=f"declined by {part.organization}: {part.reason}",
                actor=actor,
                signature=signed.digest(),
            )
            return
        agreement_event(
            Tag.JOB_APPROVED,
            agreement,
            actor=actor,
            digests={"message": signed.digest()},
            data={"organization": part.organization, "rho": signed.body.cost.rho},
            signature=signed.digest(),
        )
        pending = agreement.participants.filter(state=Participant.State.PENDING)
        names = list(pending.values_list("organization", flat=True))
        Agreement.objects.filter(pk=agreement.pk).update(reason=waits_for(names))
        bell_ring(agreement.slugs())
        if not names:
            enqueue("training.job_advance", agreement.pk)

    def ending_digests(self, agreement: Job) -> dict[str, str]:
        return {"model": agreement.model_digest}

    def over(self, agreement: Job) -> None:
        waiting = Job.objects.filter(state=Job.State.QUEUED).order_by("queued_at").first()
        if waiting is not None:
            enqueue("training.job_advance", waiting.pk)

    # An attempt's steps.

    def opening(self, agreement: Job, *, number: int, attempt: int, checkpoint: str) -> Opening:
        """From the job's present model."""
        spec = agreement.wire
        released = agreement.attempts.filter(state=Attempt.State.RELEASED)
        cohorts = released.values_list("cohort", flat=True)
        context = wire.RoundContext.parse(
            {
                "job_id": str(agreement.pk),
                "spec": agreement.spec_digest,
                "round": number,
                "attempt": attempt,
                "model": agreement.model_digest,
                "key_epoch": spec.key_epoch,
                "checkpoint": checkpoint,
                **cohort_asked(
                    spec,
                    attempt=attempt,
                    released=[len(cohort["members"]) for cohort in cohorts if cohort],
                ),
            }
        )
        return Opening(context=context, digests={"model": agreement.model_digest})

    def closed(self, attempt: Attempt, members: Mapping[str, str]) -> None:
        cohort = {"cohort": attempt.cohort_digest}
        attempt_event(self.tags.closed, attempt, digests={**members, **cohort})
        enqueue("training.round_sum", attempt.pk)
        sum_begin(attempt)

    def ended(self, agreement: Job) -> None:
        job_continue(agreement)

    def product_kept(self, attempt: Attempt) -> list[int] | None:
        if attempt.product is None:
            return None
        return [int.from_bytes(decode_bytes(item), "big") for item in attempt.product]

    def beside_check(self, attempt: Attempt, message: str, signed: Signed[Any]) -> None:
        if message != "contribution" or signed.body.masked is None:
            return
        wanted = signed.body.masked
        mine = vectors_of(attempt).filter(organization=signed.body.organization, digest=wanted)
        if not mine.exists():
            raise VectorMissing(f"masked: the vector {wanted[:16]} has not arrived for {attempt}")

    def releasable(self, attempt: Attempt) -> bool:
        ready = sum_ready(attempt)
        if not ready:
            sum_begin(attempt, workers=1)
        return ready

    def release(self, attempt: Attempt) -> Made:
        """With the server's step. A large state is in storage before the release is."""
        transcript, job_id = transcript_of(attempt), attempt.agreement_id
        before = ModelState.objects.get(job_id=job_id, digest=attempt.context["model"])
        release, after = release_make(
            transcript,
            agreement=attempt.terms,
            state=ServerState.from_bytes(state_bytes(before)),
            total=round_total(attempt),
        )
        record = reproducibility_make(
            transcript.model_copy(update={"release": release}),
            spec=attempt.wire,
            software=software_here(),
        )
        digest, state = release.state, None
        if digest != before.digest:  # counts of a joint evaluation leave the model as it is
            state = state_put(
                job_id=job_id, step=attempt.number, digest=digest, content=after.to_bytes()
            )

        def keep(job: Job) -> None:
            if state is not None:
                state.save(force_insert=True)
            Job.objects.filter(pk=job.pk).update(model_digest=digest)
            job.refresh_from_db()

        return Made(
            release=release,
            columns={"reproducibility": record.dump()},
            digests={"model": digest, "reproducibility": record.digest()},
            keep=keep,
        )

    def transcript_parts(self, attempt: Attempt) -> dict[str, bytes]:
        approved = attempt.agreement.participants.filter(
            state=Participant.State.APPROVED, answer__isnull=False
        )
        sent = attempt.messages.filter(name="contribution")
        left = sent.filter(expired__isnull=False).values_list("expired", flat=True)
        return {
            "approvals": array(canonical(a) for a in approved.values_list("answer", flat=True)),
            "contributions": contents(sent.filter(expired__isnull=True)),
            "expired": array(canonical(remains) for remains in left),
        }

    # Retention.

    def remains(self, message: type[Message], content: bytes) -> Message:
        return expired_of(message.parse(content))  # type: ignore[arg-type]

    def expire_beside(self, attempt: Attempt) -> None:
        for vector in MaskedVector.objects.filter(attempt=attempt):
            # Deleted before, its file may still lie there: whoever deleted it may have died.
            vector.attempt = attempt
            vector_delete(vector=vector, reason="retention")


JOBS = Jobs()
