"""The toy kind's app: how shows of hands are played in the portal, and a site that takes part.

``Shows`` is what its ``services/played.py`` would hold, with its tags, its proposals, its tick and
its addresses. It needs no table: ``Agreement`` has all its columns. toy_urls.py is its line in the
API's addresses.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.db import transaction

from apps.attempts import tasks
from apps.attempts.api.views import answer_paths, attempt_paths
from apps.attempts.models import Agreement, Attempt, Participant
from apps.attempts.played import Made, Opening, Played, Sent, Tags
from apps.attempts.selectors.agreements import attempt_last
from apps.attempts.selectors.transcripts import array, contents, transcript_of
from apps.attempts.services.agreements import agreement_end, attempt_open
from apps.attempts.services.answers import participants_make
from apps.attempts.services.events import agreement_event, attempt_event
from apps.common.actor import COORDINATOR, Actor
from apps.common.coordinator import as_coordinator
from apps.keys.bell import bell_ring
from apps.keys.services import key_epoch_hold
from apps.provenance.tags import AnyTag
from federated.protocol.attempt import State
from federated.protocol.checks import charges_check
from federated.protocol.kinds.base import Fail, Finish, Open
from federated.protocol.release import release_make
from federated.protocol.share import share_make
from federated.protocol.transcript import transcript_check
from federated.wire import job as wire_job
from federated.wire import round as wire
from federated.wire.base import Message, Signed, canonical
from federated.wire.site import CampaignTask, RunTask, Task, Work
from tests.federated.protocol.toy import (
    SHOW,
    Hands,
    HandsLeft,
    ShowAgreement,
    ShowApproval,
    ShowContext,
    ShowDecline,
    ShowRelease,
    ShowSpec,
    ShowTranscript,
    hands_make,
    receipt_make,
    verdict_make,
)
from tests.training.world import CAST, EVERYBODY, Site, World, dealt, identity_of, share_of

HANDS = {"lakeside": 3, "northwind": 0, "summit": 41}
RETENTION_DAYS = 30
PROPOSED, OPENED, FINISHED, FAILED, DECLINED = "proposed", "open", "finished", "failed", "declined"


class ShowTag(AnyTag):
    PROPOSED = "shows:show:proposed"
    ENDORSED = "shows:show:endorsed"
    APPROVED = "shows:show:approved"
    DECLINED = "shows:show:declined"
    FINISHED = "shows:show:finished"
    FAILED = "shows:show:failed"
    OPENED = "shows:attempt:opened"
    HANDS_ACCEPTED = "shows:hands:accepted"
    CLOSED = "shows:attempt:closed"
    RECEIPT_ACCEPTED = "shows:receipt:accepted"
    CHARGED = "shows:attempt:charged"
    SHARE_ACCEPTED = "shows:share:accepted"
    REFUSED = "shows:attempt:refused"
    RELEASED = "shows:attempt:released"
    ABANDONED = "shows:attempt:abandoned"
    VERDICT_ACCEPTED = "shows:verdict:accepted"
    EXPIRED = "shows:hands:expired"


class Shows(Played):
    subject = "show"
    noun = "attempt"
    model = Agreement
    stored = ShowSpec
    context_type = ShowContext
    cohort_type = wire.Cohort
    release_type = ShowRelease
    transcript_type = ShowTranscript
    messages = {
        "hand": Sent(Hands, ShowTag.HANDS_ACCEPTED, "Send encrypted, proven hands"),
        "receipt": Sent(wire.ChargeReceipt, ShowTag.RECEIPT_ACCEPTED, "Tell of the charge"),
        "share": Sent(wire.DecryptionShare, ShowTag.SHARE_ACCEPTED, "Send a trustee's share"),
        "refusal": Sent(wire.Refusal, ShowTag.REFUSED, "Refuse to charge or to decrypt"),
        "verdict": Sent(wire.Verdict, ShowTag.VERDICT_ACCEPTED, "Judge a release"),
    }
    answers = {
        "approval": Sent(ShowApproval, ShowTag.APPROVED, "Countersign a show of hands"),
        "decline": Sent(ShowDecline, ShowTag.DECLINED, "Take no part in it"),
    }
    summaries = ("An attempt", "Its transcript", "The number of hands")
    tags = Tags(
        endorsed=ShowTag.ENDORSED,
        ended={
            FINISHED: ShowTag.FINISHED,
            FAILED: ShowTag.FAILED,
            DECLINED: ShowTag.DECLINED,
        },
        opened=ShowTag.OPENED,
        closed=ShowTag.CLOSED,
        charged=ShowTag.CHARGED,
        released=ShowTag.RELEASED,
        abandoned=ShowTag.ABANDONED,
        expired=ShowTag.EXPIRED,
    )
    answerable = PROPOSED
    final = frozenset({Participant.State.APPROVED, Participant.State.DECLINED})
    ended_by_portal = FAILED
    expiring = {"hand": "hands"}
    expires_whole = True
    wait_ms = (75, 75, 250)

    def name(self, attempt: Attempt) -> str:
        return f"show {attempt.number}, attempt {attempt.attempt}"

    def place(self, attempt: Attempt) -> dict[str, int]:
        return {"show": attempt.number, "attempt": attempt.attempt}

    def task(
        self, work: Work, agreement_id: Any, number: int | None = None, attempt: int | None = None
    ) -> Task:
        if number is None:
            return CampaignTask(campaign_id=str(agreement_id))
        return RunTask.of(work, str(agreement_id), number)

    def describe(self, attempt: Attempt) -> dict[str, Any]:
        return {"state": attempt.state, "reason": attempt.reason, "context": attempt.context}

    def answered(
        self, agreement: Any, part: Participant, signed: Signed[Any], actor: Actor
    ) -> None:
        told = {"actor": actor, "signature": signed.digest()}
        if part.state == Participant.State.DECLINED:
            reason = f"declined by {part.organization}: {part.reason}"
            agreement_end(agreement, state=DECLINED, reason=reason, **told)
            return
        digests, data = {"message": signed.digest()}, {"organization": part.organization}
        agreement_event(ShowTag.APPROVED, agreement, digests=digests, data=data, **told)
        if not agreement.participants.exclude(state=Participant.State.APPROVED).exists():
            Agreement.objects.filter(pk=agreement.pk).update(state=OPENED)
            attempt_open(agreement, number=1)

    def opening(self, agreement: Any, *, number: int, attempt: int, checkpoint: str) -> Opening:
        context = ShowContext(
            subject=str(agreement.pk),
            spec=agreement.spec_digest,
            number=number,
            attempt=attempt,
            key_epoch=agreement.key_epoch,
        )
        return Opening(context=context)

    def closed(self, attempt: Attempt, members: Mapping[str, str]) -> None:
        attempt_event(self.tags.closed, attempt, digests=members)

    def ended(self, agreement: Any) -> None:
        last = attempt_last(agreement)
        assert last is not None
        match SHOW.following(
            agreement.terms,
            number=last.number,
            attempt=last.attempt,
            state=State(last.state),
            reason=last.reason,
        ):
            case Open(number, attempt):
                attempt_open(agreement, number=number, attempt=attempt)
            case Finish():
                agreement_end(agreement, state=FINISHED, reason="", actor=COORDINATOR)
            case Fail(reason):
                agreement_end(agreement, state=FAILED, reason=reason, actor=COORDINATOR)

    def release(self, attempt: Attempt) -> Made:
        release, _ = release_make(transcript_of(attempt), agreement=attempt.terms)
        return Made(release=release, data={"hands": release.hands})

    def transcript_parts(self, attempt: Attempt) -> dict[str, bytes]:
        sent = attempt.messages.filter(name="hand")
        left = sent.filter(expired__isnull=False).values_list("expired", flat=True)
        approved = attempt.agreement.participants.filter(state=Participant.State.APPROVED)
        return {
            "approvals": array(canonical(a) for a in approved.values_list("answer", flat=True)),
            "given": contents(sent.filter(expired__isnull=True)),
            "left": array(canonical(remains) for remains in left),
        }

    def retention_days(self) -> int:
        return RETENTION_DAYS

    def remains(self, message: type[Message], content: bytes) -> Message:
        signed: Any = message.parse(content)
        return HandsLeft(organization=signed.body.organization, envelope=signed.digest())


SHOWS = Shows()
ADDRESS = "shows/<uuid:show_id>"
urlpatterns = [
    *answer_paths(SHOWS, ADDRESS),
    *attempt_paths(SHOWS, f"{ADDRESS}/attempts/<int:number>/<int:attempt>"),
]


def show_propose(spec: ShowSpec, *, actor: Actor) -> Agreement:
    """Store a proposed show of hands, which waits for every participant's approval."""
    with as_coordinator(), transaction.atomic():
        key_epoch_hold(digest=spec.key_epoch)
        agreement = Agreement.objects.create(
            id=spec.show_id,
            kind=SHOW.name,
            spec=spec.dump(),
            spec_digest=spec.digest(),
            key_epoch=spec.key_epoch,
            proposer=spec.caller,
            state=PROPOSED,
        )
        participants_make(agreement)
        agreement_event(ShowTag.PROPOSED, agreement, actor=actor)
        bell_ring(agreement.slugs())
        return agreement


def workers() -> None:
    """Its tick, and the tasks that the API enqueues on commit."""
    going = Attempt.objects.filter(agreement__kind=SHOW.name, state__in=Attempt.OPEN)
    for pk in going.values_list("pk", flat=True):
        tasks.advance(str(pk))
        tasks.release(str(pk))


@dataclass
class ShowSite(Site):
    """An honest site: it does what its inbox asks, through the API alone."""

    specs: dict[str, ShowSpec] = field(default_factory=dict)
    """Those that it was given to approve."""

    def show(self, show_id: str) -> ShowAgreement:
        return ShowAgreement(self.specs[show_id], dealt()[0])

    def path(self, task: Task) -> str:
        return f"shows/{task.campaign_id}/attempts/{task.run}/1"

    def read(self, task: Task) -> tuple[ShowAgreement, ShowTranscript]:
        answer = self.get(f"{self.path(task)}/transcript")
        assert answer.status_code == 200, answer.content
        return self.show(task.campaign_id), ShowTranscript.parse(answer.content)

    def do_approve(self, task: Task) -> Any:
        approval = self.sign(self.show(task.campaign_id).approval(self.slug))
        return self.post(f"shows/{task.campaign_id}/approval", approval)

    def do_submit(self, task: Task) -> Any:
        agreement = self.show(task.campaign_id)
        context = ShowContext.parse(self.get(self.path(task)).json()["context"])
        agreement.context_check(context)
        made = hands_make(agreement, context, self.identity, HANDS[self.slug])
        return self.post(f"{self.path(task)}/hand", made)

    def do_charge(self, task: Task) -> Any:
        return self.post(
            f"{self.path(task)}/receipt", receipt_make(*self.read(task), self.identity)
        )

    def do_decrypt(self, task: Task) -> Any:
        agreement, transcript = self.read(task)
        cohort = transcript_check(transcript, agreement=agreement)
        charges_check(transcript.receipts, agreement=agreement, cohort=cohort)
        share = share_make(
            transcript, agreement=agreement, share=share_of(self.slug), identity=self.identity
        )
        return self.post(f"{self.path(task)}/share", share)

    def do_verify(self, task: Task, **changes: Any) -> Any:
        verdict = verdict_make(*self.read(task), self.identity, **changes)
        return self.post(f"{self.path(task)}/verdict", verdict)


class Theatre(World):
    """The cast's sites with an active key, and the shows that they are asked for."""

    def __init__(self) -> None:
        self.sites = {slug: ShowSite(slug) for slug in EVERYBODY}
        self.publish_key()
        self.confirm_key()

    def propose(self, **changes: Any) -> Agreement:
        spec = ShowSpec(
            show_id=str(uuid.uuid4()),
            consortium=settings.FSC_CONSORTIUM,
            caller="summit",
            participants=tuple(
                wire_job.Participant(organization=slug, public_key=identity_of(slug).public_key)
                for slug in CAST
            ),
            key_epoch=dealt()[0].digest(),
            minimum_cohort=3,
        ).model_copy(update=changes)
        for site in self.sites.values():
            site.specs[spec.show_id] = spec
        return show_propose(spec, actor=Actor.system("tests"))

    def asked(self) -> dict[str, list[Work]]:
        """What each inbox asks for a show of hands."""
        return {
            slug: [
                task.kind for task in site.inbox().tasks if isinstance(task, CampaignTask | RunTask)
            ]
            for slug, site in self.sites.items()
        }

    def all_work(self, *kinds: Work, slugs: tuple[str, ...] = CAST) -> None:
        for slug in slugs:
            self[slug].work(*kinds)
        workers()
