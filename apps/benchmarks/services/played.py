"""How campaigns are played: runs by schedule, votes that may be replaced, the trustees' noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.db.models import Q

from apps.attempts.models import Attempt, Participant
from apps.attempts.played import Made, Opening, Played, Sent, Tags
from apps.attempts.queue import enqueue
from apps.attempts.selectors.agreements import attempt_last
from apps.attempts.selectors.transcripts import array, contents, transcript_of
from apps.attempts.services.events import agreement_event, attempt_event
from apps.benchmarks.models import Campaign
from apps.benchmarks.selectors.campaigns import run_summary, state_of
from apps.benchmarks.services.waiting import campaign_wait
from apps.common.actor import Actor
from apps.provenance.tags import Tag
from federated.protocol.arrival import CampaignClosed
from federated.protocol.release import release_make
from federated.wire import campaign as wire
from federated.wire import round as wire_round
from federated.wire.base import Signed, canonical
from federated.wire.site import CampaignTask, RunTask, Task, Work


class Campaigns(Played):
    subject = "campaign"
    noun = "run"
    model = Campaign
    stored = wire.CampaignSpec
    context_type = wire.CampaignContext
    cohort_type = wire.SubmissionCohort
    release_type = wire.CampaignRelease
    transcript_type = wire.CampaignTranscript
    messages = {
        "submission": Sent(
            wire.Submission, Tag.SUBMISSION_ACCEPTED, "Submit encrypted, proven votes", limit=None
        ),
        "receipt": Sent(
            wire_round.ChargeReceipt,
            Tag.RUN_RECEIPT_ACCEPTED,
            "Tell that the site's ledger has charged the run",
        ),
        "noise": Sent(wire.TrusteeNoise, Tag.NOISE_ACCEPTED, "Send a trustee's proven noise"),
        "share": Sent(
            wire_round.DecryptionShare,
            Tag.RUN_SHARE_ACCEPTED,
            "Send a trustee's proven decryption share",
        ),
        "refusal": Sent(
            wire_round.Refusal, Tag.RUN_REFUSED, "Refuse to charge or to decrypt, with a reason"
        ),
        "verdict": Sent(
            wire_round.Verdict, Tag.RUN_VERDICT_ACCEPTED, "Judge a release after recomputing it"
        ),
    }
    answers = {
        "approval": Sent(
            wire.CampaignApproval,
            Tag.CAMPAIGN_APPROVED,
            "Countersign a campaign: its cost is reserved in the site's ledger",
        ),
        "decline": Sent(wire.CampaignDecline, Tag.CAMPAIGN_DECLINED, "Take no part in a campaign"),
    }
    summaries = (
        "A run: context, state, deadline, cohort",
        "What may be checked of a closed run",
        "The noisy sums and their statistics",
    )
    replaceable = frozenset({"submission"})
    tags = Tags(
        endorsed=Tag.CAMPAIGN_ENDORSED,
        ended={
            Campaign.State.ENDED: Tag.CAMPAIGN_ENDED,
            Campaign.State.CANCELLED: Tag.CAMPAIGN_CANCELLED,
        },
        opened=Tag.RUN_OPENED,
        closed=Tag.RUN_CLOSED,
        charged=Tag.RUN_CHARGED,
        noised=Tag.RUN_NOISED,
        released=Tag.RUN_RELEASED,
        abandoned=Tag.RUN_ABANDONED,
        replaced=Tag.SUBMISSION_REPLACED,
        expired=Tag.SUBMISSIONS_EXPIRED,
    )
    closed_error = CampaignClosed
    answerable = Campaign.State.ACTIVE
    # Who said no may think again: its site approves once the budget allows it.
    final = frozenset({Participant.State.APPROVED})
    ended_by_portal = Campaign.State.CANCELLED
    expiring = {"submission": "submissions", "noise": "noise"}
    expires_whole = False
    inbox_first = True
    wait_ms = (1000, 300, 1000)

    def retention_days(self) -> int:
        days: int = settings.FSC_CONFIG.benchmarks.retention_days
        return days

    # How people and messages name a run.

    def name(self, attempt: Attempt) -> str:
        return f"run {attempt.number}"

    def place(self, attempt: Attempt) -> dict[str, int]:
        return {"run": attempt.number}

    def task(
        self, work: Work, agreement_id: Any, number: int | None = None, attempt: int | None = None
    ) -> Task:
        if number is None:
            return CampaignTask(campaign_id=str(agreement_id))
        return RunTask.of(work, str(agreement_id), number)

    def describe(self, attempt: Attempt) -> dict[str, Any]:
        more = {"context": attempt.context, "spec": attempt.spec, "cohort": attempt.cohort}
        return {**run_summary(attempt), **more}

    def state_name(self, attempt: Attempt) -> str:
        return state_of(attempt)

    # A campaign's answers and its end.

    def answered(
        self, agreement: Campaign, part: Participant, signed: Signed[Any], actor: Actor
    ) -> None:
        approved = part.state == Participant.State.APPROVED
        agreement_event(
            Tag.CAMPAIGN_APPROVED if approved else Tag.CAMPAIGN_DECLINED,
            agreement,
            actor=actor,
            digests={"message": signed.digest()},
            data={"organization": part.organization, "reason": part.reason},
            signature=signed.digest(),
        )
        if approved:
            _invite(agreement, part)
        campaign_wait(agreement)
        enqueue("benchmarks.campaign_advance", agreement.pk)

    def over(self, agreement: Campaign) -> None:
        Campaign.objects.filter(pk=agreement.pk).update(next_run_at=None)

    # A run's steps. The next one opens when it is due.

    def opening(
        self, agreement: Campaign, *, number: int, attempt: int, checkpoint: str
    ) -> Opening:
        """By the present spec, for those who approved it."""
        context = wire.CampaignContext(
            campaign_id=str(agreement.pk),
            spec=agreement.spec_digest,
            run=number,
            key_epoch=agreement.key_epoch,
            checkpoint=checkpoint,
        )
        approved = agreement.participants.filter(state=Participant.State.APPROVED)
        return Opening(
            context=context,
            columns={
                "spec": agreement.spec,
                "approvals": {part.organization: part.answer for part in approved},
            },
            digests={"spec": agreement.spec_digest},
        )

    def closed(self, attempt: Attempt, members: Mapping[str, str]) -> None:
        attempt_event(self.tags.closed, attempt, data={"submissions": len(members)})

    def release(self, attempt: Attempt) -> Made:
        release, _ = release_make(transcript_of(attempt), agreement=attempt.terms)
        return Made(release=release, data={"count": release.count})

    def transcript_parts(self, attempt: Attempt) -> dict[str, bytes]:
        """Noise that arrived after the noised cohort was fixed is no part of it."""
        noise = attempt.messages.filter(name="noise")
        if attempt.noised is not None:
            noise = noise.filter(organization__in=attempt.noised["noise"])
        submissions = attempt.messages.filter(name="submission")
        whole = attempt.expired_at is None
        left = {"noise": _left(noise), "submissions": _left(submissions)}
        approvals = attempt.approvals or {}
        return {
            "approvals": array(canonical(approvals[name]) for name in attempt.members),
            "expired": b"null" if whole else canonical(left),
            "noise": contents(noise) if whole else b"[]",
            "submissions": contents(submissions) if whole else b"[]",
        }

    def judged_by(self, organization: str) -> Q:
        """Members of the cohort: the others have nothing at stake, and nothing to compare with."""
        return Q(cohort__members__has_key=organization)


def _left(messages: Any) -> list[dict[str, str]]:
    rows = messages.values_list("organization", "digest")
    return [{"envelope": digest, "organization": name} for name, digest in rows]


def _invite(campaign: Campaign, part: Participant) -> None:
    """Who approves while a run by this very spec takes submissions may still submit to it."""
    last = attempt_last(campaign)
    if last is None or last.context["spec"] != campaign.spec_digest:
        return
    collecting = Attempt.objects.select_for_update().filter(
        pk=last.pk, state=Attempt.State.COLLECTING
    )
    for run in collecting:
        approvals = {**(run.approvals or {}), part.organization: part.answer}
        collecting.update(approvals=approvals)


CAMPAIGNS = Campaigns()
