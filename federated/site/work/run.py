"""A site's part in a campaign's run: the votes for its measurements, and their replacement."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from federated.errors import Conflict, InvalidInput
from federated.protocol.address import Attempt
from federated.protocol.agreement import CampaignAgreement
from federated.protocol.kinds.benchmark import submission_make, vote_points
from federated.protocol.noise import noise_left_check, noised_cohort_check
from federated.protocol.refused import Refused
from federated.protocol.release import release_check
from federated.protocol.transcript import cohort_check, expired_check
from federated.site.campaign_folder import Measurements, RunFolder
from federated.site.site import Site, Waiting
from federated.site.work.attempt import Part
from federated.wire.base import Signed
from federated.wire.campaign import (
    CampaignContext,
    CampaignTranscript,
    Submission,
    SubmissionCohort,
)
from federated.wire.round import Reason, Refusal


class RunPart(Part):
    folder: RunFolder
    message = "submission"
    over = Reason.SUBMISSION_EXPIRED

    def __init__(self, site: Site, campaign_id: str, number: int) -> None:
        folder = site.home.campaign(campaign_id).run(number)
        at = Attempt(campaign_id, number, 1)
        super().__init__(site, at, folder, subject="campaign", name=f"run {number}")
        self.campaign = folder.campaign
        self._asked = (campaign_id, number)

    @property
    def expired(self) -> bool:
        return self.folder.expired

    def file(self, name: str) -> str:
        return name

    def refusal_name(self, refusal: Refusal) -> str:
        return f"refusal-{refusal.cohort[:16]}-{refusal.reason.value}"

    def post(self, name: str, signed: Signed[Any]) -> None:
        self.site.api.run_send(*self._asked, name, signed)

    def transcript(self) -> CampaignTranscript:
        return self.site.api.run_transcript(*self._asked)

    def closed(self) -> tuple[SubmissionCohort, Callable[[], CampaignAgreement]]:
        """A member is shown the cohort alone before it charges."""
        answer = self.site.api.run(*self._asked)
        if answer.get("cohort") is None:
            raise InvalidInput(f"{self.name} has no cohort to charge for")
        cohort = SubmissionCohort.parse(answer["cohort"])
        return cohort, lambda: self._cohort_check(cohort)

    def _cohort_check(self, cohort: SubmissionCohort) -> CampaignAgreement:
        agreement, context = self.context()
        # A replacement that the portal took, but whose answer this site never saw, stands.
        new = self.folder.replacement()
        if new is not None and cohort.members.get(self.site.organization) == new.digest():
            self.folder.replacement_done()
        cohort_check(cohort, agreement=agreement, context=context, own=self.own())
        return agreement

    def agreement(self, transcript: CampaignTranscript) -> CampaignAgreement:
        return self._agreement(transcript.spec.digest())

    def _agreement(self, digest: str) -> CampaignAgreement:
        spec = self.campaign.spec(digest)
        if spec is None:
            raise Refused(
                Reason.SPEC_CHANGED, f"{self.name} is of spec {digest[:16]}, not approved here"
            )
        return self.site.agreement(spec)

    def context(self) -> tuple[CampaignAgreement, CampaignContext]:
        """The run's agreement and its context, checked. Raises Refused."""
        context = CampaignContext.parse(self.site.api.run(*self._asked)["context"])
        agreement = self._agreement(context.spec)
        return agreement, self.context_first(agreement, context)

    def context_seen(self, context: CampaignContext) -> Any:
        """A trustee that submitted nothing sees it with the transcript first, and keeps it."""
        return self.context_keep(context)

    def own(self) -> Signed[Submission] | None:
        return self.folder.submission()

    def contribution(self) -> tuple[Signed[Submission], str]:
        """Of the measurements that wait here: rounded, encrypted, proven, signed.

        Raises Waiting where none wait, and InvalidInput for a measurement that the campaign
        refuses; it then waits for a better one.
        """
        kept = self.own()
        if kept is None:
            waiting = self.campaign.waiting()
            if self.folder.measured() is None and waiting is None:
                raise Waiting(
                    f"{self.subject}, {self.name}: no measurement waits; "
                    f"federated bench run --home {self.site.home.path} -- COMMAND makes one"
                )
            agreement, context = self.context()
            if self.folder.measured() is None and waiting is not None:
                # Measurements that the campaign refuses wait on; others become this run's.
                vote_points(agreement.spec, waiting.values)
            measured = self.folder.measured_take()
            assert measured is not None
            made = self._make(agreement, context, measured)
            kept = self.folder.signed_keep("submission", made)
        size = sum(len(vote.ciphertext) + len(vote.proof) for vote in kept.body.votes)
        return kept, f"{size:,} characters"

    def _make(
        self, agreement: CampaignAgreement, context: CampaignContext, measured: Measurements
    ) -> Signed[Submission]:
        return submission_make(
            agreement=agreement,
            context=context,
            identity=self.site.identity,
            measured=measured.values,
        )

    def replace(self) -> None:
        """Replace this site's submission by the measurements that wait, before the run closes."""
        standing, new, waiting = self.own(), self.folder.replacement(), self.campaign.waiting()
        if standing is None or (waiting is None and new is None):
            raise Conflict(f"{self.name}: there is nothing to replace, or nothing to replace it by")
        if new is None:
            assert waiting is not None
            new = self._make(*self.context(), waiting)
            self.folder.replacement_keep(waiting, new)
            (self.campaign.path / "waiting.json").unlink(missing_ok=True)
        self.site.api.submission_replace(*self._asked, new, replaces=standing.digest())
        self.folder.replacement_done()
        self.site.say(f"{self.subject}, {self.name}: submission replaced")

    def follow(self, transcript: CampaignTranscript) -> None:
        """Check a release from its signed shares, and keep it.

        After the run's retention only a no is signed: what is left may contradict the release, but
        without the shares' proofs it cannot bear it out.
        """
        agreement, whole = self.agreement(transcript), transcript.expired is None
        if whole:
            noised_cohort_check(transcript, agreement=agreement)
        else:
            expired_check(transcript, agreement=agreement)
            noise_left_check(transcript, agreement=agreement)
        self.released_check(agreement, transcript.cohort().digest())
        release_check(transcript, agreement=agreement, proofs=whole)
        assert transcript.release is not None
        if whole:
            self.folder.release_keep(transcript.release, agreement.spec)
