"""Proposing a joint evaluation from a site's folder, and waiting for its results."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from federated.errors import Conflict, InvalidInput, NotFound
from federated.privacy.config import PrivacyConfig
from federated.protocol.address import Attempt
from federated.protocol.agreement import JobAgreement
from federated.protocol.evaluation import evaluation_make
from federated.protocol.identity import verify_signed
from federated.protocol.joint_evaluation import JointEvaluation, evaluation_in
from federated.sdk.outcome import verified_wait
from federated.sdk.proposal import participants_choose, privacy_choose
from federated.site.joint_evaluation import evaluation_kept
from federated.site.site import Site
from federated.site.work.approve import evaluation_accept
from federated.site.work.evaluate import held_out_of
from federated.site.work.key import epoch_of
from federated.site.work.round import catch_up
from federated.training.server import ServerState
from federated.wire.base import Signed
from federated.wire.job import Evaluation, JobSpec


def evaluation_propose(
    site: Site,
    job_id: str,
    *,
    bins: int,
    privacy: PrivacyConfig | None,
    participants: Sequence[str] | None,
    minimum_cohort: int | None,
    round_seconds: int | None,
) -> tuple[JobSpec, bytes]:
    """The spec of an evaluation of the last model that the job released, and the model's state.

    Everything is checked as this site's agent will check it. Raises NotFound for a job that this
    site did not approve, Conflict for one that has released nothing, InvalidInput for the rest.
    """
    folder = site.home.job(job_id)
    trained = folder.spec()
    if trained is None:
        raise NotFound(f"job {job_id}: this site approved no such job, so that it holds no model")
    released = [e["number"] for e in site.api.job(job_id)["rounds"] if e["state"] == "released"]
    if not released:
        raise Conflict(f"job {job_id} has released no model yet")
    catch_up(site, job_id, upto=max(released))
    content = folder.state(max(released))
    assert content is not None
    facts = site.api.site()
    epoch = epoch_of(site, site.api.key_current().digest())
    names = [p.organization for p in trained.participants] if participants is None else participants
    spec = evaluation_make(
        trained,
        ServerState.from_bytes(content),
        job_id=str(uuid.uuid4()),
        proposer=site.organization,
        proposed_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        participants=participants_choose(names, site.api.roster(), epoch, own=site.organization),
        privacy=privacy_choose(privacy, {}, facts["defaults"]),
        key_epoch=epoch.digest(),
        bins=bins,
        minimum_cohort=minimum_cohort,
        round_seconds=round_seconds,
    )
    assert isinstance(spec.strategy, Evaluation)
    JobAgreement(spec, epoch).check()
    evaluation_accept(site, spec, spec.strategy)
    held_out_of(site, spec)
    return spec, content


def evaluation_receive(site: Site, job: dict[str, Any], deadline: float | None) -> JointEvaluation:
    """The results of a finished evaluation.

    Where this home approved it, they are those that this site recomputed itself; elsewhere the
    coordinator's, and ``verified`` is False. Raises InvalidInput for a job that trains.
    """
    signed: Signed[JobSpec] = Signed[JobSpec].parse(job["spec"])
    spec = signed.body
    if not isinstance(spec.strategy, Evaluation):
        raise InvalidInput(f"job {spec.job_id} trains a model: receive_update takes it")
    folder = site.home.job(spec.job_id)
    if folder.spec() is not None:
        verified_wait(site, spec, deadline)
        kept = evaluation_kept(folder)
        assert kept is not None
        return kept
    proposer = spec.participant(spec.proposer)
    assert proposer is not None
    verify_signed(signed, proposer.public_key)
    number = next(int(e["attempt"]) for e in job["rounds"] if e["state"] == "released")
    transcript = site.api.transcript(Attempt(spec.job_id, 1, number))
    if transcript.release is None or transcript.spec.digest() != signed.digest():
        raise InvalidInput("the coordinator's transcript is not the one of this evaluation")
    return evaluation_in(transcript, verified=False)
