"""Verifying a release: recombine the shares, recompute the server step, keep the model, say so."""

from __future__ import annotations

from collections.abc import Iterator

from federated.aggregation.base import Total
from federated.errors import DomainError, InvalidInput, NotFound
from federated.files import read_pieces
from federated.protocol.address import Attempt
from federated.protocol.masked import total_of
from federated.protocol.refused import Refused
from federated.protocol.release import release_check
from federated.site.job_folder import JobFolder
from federated.site.joint_evaluation import evaluation_keep
from federated.site.site import Site, short
from federated.site.work.attempt import released_check, verdict_of
from federated.training.server import ServerState
from federated.wire.job import Evaluation, JobSpec
from federated.wire.round import Reason, Transcript, Verdict


def verdict_send(site: Site, at: Attempt) -> None:
    """Recompute the attempt's release bit for bit and send a signed verdict.

    A release that does not follow gets ``agrees=False`` with what differs; its state is not kept,
    so that this site trains on nothing that comes after it.
    """
    spec = site.spec(at.job_id)
    folder = site.home.job(at.job_id)
    name = at.file("verdict")
    kept = folder.signed(Verdict, name)
    if kept is None:
        if (folder.verified_round() or 0) < at.round - 1:
            catch_up(site, at.job_id, upto=at.round - 1)
        verdict = _judge(site, spec, folder, _transcript(site, at), at)
        kept = folder.signed_keep(name, site.identity.sign(verdict))
    if at.round == spec.strategy.rounds and kept.body.agrees:
        site.home.ledger.return_unused(at.job_id)
    site.api.attempt_send(at, "verdict", kept)
    told = "verified" if kept.body.agrees else f"DISAGREES: {kept.body.detail}"
    site.say(f"{at} of {spec.strategy.rounds}: release {told}")


def catch_up(site: Site, job_id: str, *, upto: int) -> None:
    """Verify the released rounds that this site missed, in order.

    Raises InvalidInput, ProofInvalid or Refused at the first that does not follow, NotFound where
    the coordinator lists no released attempt of a round.
    """
    spec = site.spec(job_id)
    folder = site.home.job(job_id)
    first = (folder.verified_round() or 0) + 1
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
        at = Attempt(job_id, round, released[round])
        _follow(site, spec, folder, _transcript(site, at), at)
        site.say(f"{at} of {spec.strategy.rounds}: missed release verified")


def _transcript(site: Site, at: Attempt) -> Transcript:
    """Raises NotFound where it came too late to be verified: that is no disagreement."""
    transcript = site.api.transcript(at)
    if transcript.expired:
        raise NotFound(f"{at}: its contributions expired by retention; it cannot be verified now")
    return transcript


def _judge(
    site: Site, spec: JobSpec, folder: JobFolder, transcript: Transcript, at: Attempt
) -> Verdict:
    release = transcript.release
    if release is None:
        raise InvalidInput(f"{at}: the transcript has no release yet")
    return verdict_of(site, release, lambda: _follow(site, spec, folder, transcript, at))


def _follow(
    site: Site, spec: JobSpec, folder: JobFolder, transcript: Transcript, at: Attempt
) -> None:
    """Check one release from the state before, and keep the state that follows."""
    if (transcript.context.round, transcript.context.attempt) != (at.round, at.number):
        raise Refused(Reason.CONTEXT_MIXED, f"the transcript is not of {at}")
    agreement = site.agreement(spec)
    cohort = site.check(transcript, agreement=agreement)
    released_check(site, agreement, cohort, number=at.round, attempt=at.number)
    before = folder.state_read(at.round - 1)
    if before is None:
        raise InvalidInput(f"{at}: this site holds no verified state before it")
    after = release_check(
        transcript,
        agreement=agreement,
        state=before,
        total=_total(site, spec, folder, transcript, at),
    )
    if isinstance(spec.strategy, Evaluation):
        evaluation_keep(site, spec, folder, transcript)
    folder.state_keep(at.round, after.pieces())
    folder.vectors_forget(before=at.round)
    if not isinstance(spec.strategy, Evaluation):
        _score(site, spec, folder, after, at.round)


def _total(
    site: Site, spec: JobSpec, folder: JobFolder, transcript: Transcript, at: Attempt
) -> Total | None:
    """The sum of the cohort's masked vectors, added up here: nobody's sum is taken on trust.

    Each is streamed, this site's own from its folder. Raises InvalidInput for other bytes than
    their sites signed, NotFound where the coordinator keeps one back.
    """

    def source(digest: str) -> Iterator[bytes]:
        own = folder.vector(at, digest)
        return read_pieces(own) if own.exists() else site.api.vector(at, digest)

    return total_of(transcript, agreement=site.agreement(spec), source=source)


def _score(site: Site, spec: JobSpec, folder: JobFolder, state: ServerState, round: int) -> None:
    """One point of the held-out curve; it stays in this site's folder."""
    from federated.training.metrics import score
    from federated.training.server import released_parameters

    try:
        held_out = site.data.rows(spec).held_out
    except DomainError as error:
        site.say(f"round {round}: no held-out score: {short(error)}")
        return
    if held_out is None:
        return
    parameters = released_parameters(state, spec.training)
    metrics = score(spec.model, spec.data.target, parameters, held_out)
    folder.curve_add({"round": round, "rows": len(held_out), **metrics})
    told = ", ".join(f"{name} {value:.3f}" for name, value in metrics.items() if value is not None)
    if told:
        site.say(f"round {round}/{spec.strategy.rounds}: held-out {told} (stays here)")
