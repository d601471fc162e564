"""A site's part in a job's attempt: a bounded vector of local rows, and the model that follows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from federated.aggregation.base import Sink
from federated.errors import DomainError, InvalidInput, NotFound
from federated.files import read_pieces
from federated.protocol.address import Attempt
from federated.protocol.agreement import AnyAgreement, JobAgreement
from federated.protocol.kinds.training import contribution_make
from federated.protocol.masked import total_of
from federated.protocol.refused import Refused
from federated.protocol.release import release_check
from federated.protocol.reproducibility import minibatch_order
from federated.site.job_folder import JobFolder
from federated.site.joint_evaluation import evaluation_keep
from federated.site.retention import expired_here
from federated.site.site import Site, short
from federated.site.work.attempt import Part
from federated.site.work.evaluate import evaluation_counts
from federated.training.server import ServerState
from federated.wire.base import Signed
from federated.wire.job import Evaluation, JobSpec
from federated.wire.round import (
    Cohort,
    Contribution,
    Reason,
    Refusal,
    RoundContext,
    Transcript,
    Verdict,
)


class RoundPart(Part):
    """Raises Refused(job_unknown) where this site did not approve the job it is to work on."""

    folder: JobFolder
    message = "contribution"
    over = Reason.ATTEMPT_SUPERSEDED

    def __init__(self, site: Site, at: Attempt) -> None:
        super().__init__(site, at, site.home.job(at.job_id), subject="job", name=str(at))

    @property
    def spec(self) -> JobSpec:
        return self.site.spec(self.at.job_id)

    @property
    def expired(self) -> bool:
        return expired_here(self.folder, self.at)

    def file(self, name: str) -> str:
        return self.at.file(name)

    def refusal_name(self, refusal: Refusal) -> str:
        return f"refusal-{refusal.digest()[:16]}"

    def post(self, name: str, signed: Signed[Any]) -> None:
        self.site.api.attempt_send(self.at, name, signed)

    def transcript(self) -> Transcript:
        return self.site.api.transcript(self.at)

    def closed(self) -> tuple[Cohort, Callable[[], AnyAgreement]]:
        """A member checks the whole transcript before it charges."""
        transcript = self.transcript()
        return transcript.cohort(), lambda: self.check(transcript)[0]

    def agreement(self, transcript: Transcript) -> JobAgreement:
        """By the approved spec; for a job of others, the transcript's, held against the key epoch.

        A trustee that takes no part has no approval to compare with: the members' keys that it
        knows are the epoch's, and the members' signed approvals bind the rest.
        """
        claimed = transcript.spec.body
        if claimed.participant(self.site.organization) is not None:
            return self.site.agreement(self.spec)
        agreement = self.site.agreement(claimed)
        if other := agreement.pinned_otherwise():
            raise Refused(
                Reason.SPEC_CHANGED, f"the spec pins another key of {other} than the key epoch"
            )
        return agreement

    def own(self) -> Signed[Contribution] | None:
        return self.kept(Contribution, self.message)

    # Contributing.

    def contribution(self) -> tuple[Signed[Contribution], str]:
        """Its masked vector, if it has one, is sent before it."""
        agreement = self.site.agreement(self.spec)
        context = self.context_first(agreement, self.site.api.round_context(self.at))
        # A second writer cannot win between: the agent's lock makes this process the only one.
        kept = self.own() or self._make_and_keep(agreement, context)
        size = sum(len(ciphertext) for ciphertext in kept.body.ciphertexts)
        told = f"{len(kept.body.ciphertexts)} ciphertexts, {size:,} characters"
        if kept.body.masked is None:
            return kept, told
        path = self.folder.vector(self.at, kept.body.masked)
        if not path.exists():
            raise Refused(self.over, f"{self.at} is over, its masked vector is not kept any more")
        self.site.api.vector_send(self.at, kept.body.masked, path)
        return kept, f"{told}, {path.stat().st_size:,} bytes masked"

    def context_keep(self, context: RoundContext) -> RoundContext:
        if self.at.round <= self.verified and self.context_seen(context) is None:
            raise Refused(self.over, f"{self.at}: the round was released already")
        kept: RoundContext = super().context_keep(context)
        return kept

    def _make_and_keep(
        self, agreement: JobAgreement, context: RoundContext
    ) -> Signed[Contribution]:
        name = self.file(self.message)
        if agreement.spec.aggregation == "packed":
            return self.folder.signed_keep(name, self._make(agreement, context))
        with self.folder.vector_writing(self.at) as (sink, keep):
            made = self._make(agreement, context, sink)
            keep(str(made.body.masked))
        return self.folder.signed_keep(name, made)

    def _make(
        self, agreement: JobAgreement, context: RoundContext, sink: Sink | None = None
    ) -> Signed[Contribution]:
        return contribution_make(
            agreement=agreement,
            context=context,
            identity=self.site.identity,
            gradient=self._vector(agreement.spec, context, self._state(context)),
            sink=sink,
        )

    def _vector(
        self, spec: JobSpec, context: RoundContext, state: ServerState
    ) -> NDArray[np.int64]:
        if isinstance(spec.strategy, Evaluation):
            return evaluation_counts(self.site, spec, state)
        from federated.training.local import bounded_update

        return bounded_update(
            spec,
            state.parameters,
            self.site.data.rows(spec).training,
            order=minibatch_order(context, self.site.organization),
        )

    def _state(self, context: RoundContext) -> ServerState:
        """The state that this site recomputed for the round before, and no other."""
        catch_up(self.site, self.at.job_id, upto=context.round - 1)
        state = self.folder.state_read(context.round - 1)
        if state is None or state.digest() != context.model:
            known = "none" if state is None else state.digest()[:16]
            raise Refused(
                Reason.CONTEXT_MIXED,
                f"round {context.round} starts from model {context.model[:16]}, "
                f"this site recomputed {known}",
            )
        return state

    # Verifying.

    @property
    def verified(self) -> int:
        """The last round whose release this site recomputed."""
        return self.folder.verified_round() or 0

    def judge(self) -> Verdict:
        catch_up(self.site, self.at.job_id, upto=self.at.round - 1)
        return super().judge()

    def judged(self, verdict: Verdict) -> None:
        if self.at.round == self.spec.strategy.rounds and verdict.agrees:
            self.site.home.ledger.return_unused(self.at.job_id)

    def follow(self, transcript: Transcript) -> None:
        """Check one release from the state before, and keep the state that follows.

        This site trains on nothing that comes after one that does not. The cohort's masked vectors
        are added up here, each streamed, this site's own from its folder: nobody's sum is taken on
        trust. Raises NotFound where the transcript came too late to be verified: that is no
        disagreement.
        """
        if transcript.expired:
            raise NotFound(
                f"{self.at}: its contributions expired by retention; it cannot be verified now"
            )
        self.at_check(transcript.context)
        agreement, number = self.site.agreement(self.spec), self.at.round
        cohort = self.site.check(transcript, agreement=agreement)
        self.released_check(agreement, cohort.digest())
        before = self.folder.state_read(number - 1)
        if before is None:
            raise InvalidInput(f"{self.at}: this site holds no verified state before it")

        def source(digest: str) -> Iterator[bytes]:
            own = self.folder.vector(self.at, digest)
            return read_pieces(own) if own.exists() else self.site.api.vector(self.at, digest)

        total = total_of(transcript, agreement=agreement, source=source)
        after = release_check(transcript, agreement=agreement, state=before, total=total)
        counts = isinstance(agreement.spec.strategy, Evaluation)
        if counts:
            evaluation_keep(self.site, agreement.spec, self.folder, transcript)
        self.folder.state_keep(number, after.pieces())
        self.folder.vectors_forget(before=number)
        if not counts:
            self._score(agreement.spec, after)

    def _score(self, spec: JobSpec, state: ServerState) -> None:
        """One point of the held-out curve; it stays in this site's folder."""
        from federated.training.metrics import score
        from federated.training.server import released_parameters

        site, round = self.site, self.at.round
        try:
            held_out = site.data.rows(spec).held_out
        except DomainError as error:
            site.say(f"round {round}: no held-out score: {short(error)}")
            return
        if held_out is None:
            return
        parameters = released_parameters(state, spec.training)
        metrics = score(spec.model, spec.data.target, parameters, held_out)
        self.folder.curve_add({"round": round, "rows": len(held_out), **metrics})
        told = ", ".join(
            f"{name} {value:.3f}" for name, value in metrics.items() if value is not None
        )
        if told:
            site.say(f"round {round}/{spec.strategy.rounds}: held-out {told} (stays here)")


def catch_up(site: Site, job_id: str, *, upto: int) -> None:
    """Verify the released rounds that this site missed, in order.

    Raises InvalidInput, ProofInvalid or Refused at the first that does not follow, NotFound where
    the coordinator lists no released attempt of a round.
    """
    site.spec(job_id)
    first = (site.home.job(job_id).verified_round() or 0) + 1
    if first > upto:
        return
    released = {
        int(entry["number"]): int(entry["attempt"])
        for entry in site.api.job(job_id)["rounds"]
        if entry["state"] == "released"
    }
    for round in range(first, upto + 1):
        if round not in released:
            raise NotFound(f"job {job_id}: round {round} has no released attempt")
        part = RoundPart(site, Attempt(job_id, round, released[round]))
        part.follow(part.transcript())
        site.say(f"{part.subject}, {part.at}: missed release verified")
