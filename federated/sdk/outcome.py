"""Waiting for a job's end, and taking the model that this site verified."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from federated.api.coordinator import CoordinatorAPI
from federated.errors import Conflict, InvalidInput, Unavailable
from federated.protocol.cost import job_epsilons
from federated.protocol.identity import verify_signed
from federated.sdk.global_model import GlobalModel
from federated.sdk.waiting import wait_until
from federated.site.agent import ENDED
from federated.site.joint_evaluation import evaluations_of
from federated.site.site import Site
from federated.site.work.round import catch_up
from federated.training.server import ServerState, released_parameters
from federated.wire.base import Signed
from federated.wire.job import JobSpec

POLL_SECONDS = 0.5
VERIFY_SECONDS = 60.0


class JobEnded(Conflict):
    """A job ended without a model; the message says how and why."""

    code = "job_ended"
    title = "The job made no model"


class TimedOut(Unavailable):
    code = "timed_out"
    title = "The job has not ended yet"


def wait_for_end(
    api: CoordinatorAPI, job_id: str, *, deadline: float | None, show: bool
) -> dict[str, Any]:
    """The finished job. Raises JobEnded for any other end, TimedOut at the deadline."""
    with Progress(
        TextColumn("[bold]{task.fields[job]}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("rounds  {task.fields[state]}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        disable=not show,
    ) as progress:
        bar = progress.add_task("", total=None, job=job_id[:8], state="")

        def tell(job: dict[str, Any]) -> None:
            total, completed = job["rounds_total"], _released(job)
            progress.update(bar, total=total, completed=completed, state=_state(job))

        job = wait_until(
            lambda: api.job(job_id),
            lambda job: job["state"] in ENDED,
            deadline=deadline,
            pause=POLL_SECONDS,
            progress=tell,
        )
    if job["state"] == "finished":
        return job
    if job["state"] in ENDED:
        raise JobEnded(f"job {job_id} is {job['state']}: {job['reason'] or 'no reason'}")
    raise TimedOut(
        f"job {job_id} is {_state(job)} after {_released(job)} of "
        f"{job['rounds_total']} rounds; call receive_update again to wait on"
    )


def _released(job: dict[str, Any]) -> int:
    return sum(entry["state"] == "released" for entry in job["rounds"])


def _state(job: dict[str, Any]) -> str:
    return f"{job['state']} ({job['reason']})" if job["reason"] else str(job["state"])


def model_receive(site: Site, job: dict[str, Any], deadline: float | None) -> GlobalModel:
    """The model of a finished job.

    Where this home approved the job, it is the one that this site recomputed itself; a coordinator
    that names another is refused with InvalidInput. Elsewhere the coordinator's is taken by its
    digest, and ``verified`` is False.
    """
    signed: Signed[JobSpec] = Signed[JobSpec].parse(job["spec"])
    signed.body.training  # noqa: B018
    kept = site.home.job(signed.body.job_id).spec()
    if kept is None:
        return _unverified(site, signed, job)
    content = verified_wait(site, kept, deadline)
    state = ServerState.from_bytes(content)
    if state.digest() != job["model"]:
        raise InvalidInput(
            f"the coordinator names model {job['model'][:16]}, this site recomputed "
            f"{state.digest()[:16]}"
        )
    return _model(site, kept, state, job, verified=True)


def verified_wait(site: Site, spec: JobSpec, deadline: float | None) -> bytes:
    """The last state, once the agent has verified it; verified here where no agent runs."""
    folder = site.home.job(spec.job_id)
    rounds = spec.strategy.rounds
    wait_until(
        lambda: (folder.verified_round() or 0) >= rounds,
        lambda verified: verified or not site.home.agent_runs(),
        deadline=min(time.monotonic() + VERIFY_SECONDS, deadline or float("inf")),
        pause=POLL_SECONDS / 5,
    )
    if (folder.verified_round() or 0) < rounds:
        catch_up(site, spec.job_id, upto=rounds)
    content = folder.state(rounds)
    assert content is not None
    return content


def _unverified(site: Site, signed: Signed[JobSpec], job: dict[str, Any]) -> GlobalModel:
    spec = signed.body
    proposer = spec.participant(spec.proposer)
    assert proposer is not None
    verify_signed(signed, proposer.public_key)
    state = ServerState.from_bytes(site.api.model(job["model"]))
    if state.digest() != job["model"]:
        raise InvalidInput(f"the coordinator sent another model than {job['model'][:16]}")
    return _model(site, spec, state, job, verified=False)


def _model(
    site: Site, spec: JobSpec, state: ServerState, job: dict[str, Any], *, verified: bool
) -> GlobalModel:
    curve = site.home.job(spec.job_id).curve()
    charged = int(job["epsilons"]["attempts_charged"])
    metrics: dict[str, Any] = {
        "rounds": state.step,
        "attempts_charged": charged,
        "epsilon": job_epsilons(spec, rounds=charged),
        "delta": spec.privacy.delta,
        "colluding": spec.privacy.colluding,
        "cohorts": [len(r["cohort"]) for r in job["rounds"] if r["state"] == "released"],
    }
    if curve:
        own = {key: value for key, value in curve[-1].items() if key not in ("round", "rows")}
        metrics |= {f"held_out_{key}": value for key, value in own.items()}
    joint = evaluations_of(site.home, spec.job_id)
    if joint:
        metrics["joint"] = joint[-1].dump()
    return GlobalModel(
        spec=spec,
        parameters=released_parameters(state, spec.training),
        round=state.step,
        metrics=metrics,
        verified=verified,
    )
