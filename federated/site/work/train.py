"""Contributing to an attempt: a bounded vector of local rows, noised, encrypted, proven, kept."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from federated.aggregation.base import Sink
from federated.protocol.address import Attempt
from federated.protocol.contribute import contribution_make
from federated.protocol.refused import Refused
from federated.protocol.reproducibility import minibatch_order
from federated.site.job_folder import JobFolder
from federated.site.retention import expired_here
from federated.site.site import Site
from federated.site.work.attempt import context_keep
from federated.site.work.evaluate import evaluation_counts
from federated.site.work.verify import catch_up
from federated.training.server import ServerState
from federated.wire.base import Signed
from federated.wire.job import Evaluation, JobSpec
from federated.wire.round import Contribution, Reason, RoundContext


def contribution_send(site: Site, at: Attempt) -> None:
    """Make the attempt's contribution once, keep it, then send it; the same bytes ever after.

    Raises Refused where the context is not of the approved job, or starts from a model that this
    site did not recompute.
    """
    spec = site.spec(at.job_id)
    folder = site.home.job(at.job_id)
    name = at.file("contribution")
    if expired_here(folder, at):
        raise Refused(
            Reason.ATTEMPT_SUPERSEDED, f"{at} is over, its contribution is not kept any more"
        )
    kept = folder.signed(Contribution, name)
    context = _context(site, spec, folder, at)
    if kept is None:
        # A second writer cannot win between: the agent's lock makes this process the only one.
        kept = _make_and_keep(site, spec, folder, context, at)
    beside = ""
    if kept.body.masked is not None:
        path = folder.vector(at, kept.body.masked)
        if not path.exists():
            raise Refused(
                Reason.ATTEMPT_SUPERSEDED, f"{at} is over, its masked vector is not kept any more"
            )
        site.api.vector_send(at, kept.body.masked, path)
        beside = f", {path.stat().st_size:,} bytes masked"
    site.api.attempt_send(at, "contribution", kept)
    size = sum(len(ciphertext) for ciphertext in kept.body.ciphertexts)
    site.say(
        f"{at} of {spec.strategy.rounds}: contribution sent, "
        f"{len(kept.body.ciphertexts)} ciphertexts, {size:,} characters{beside}"
    )


def _context(site: Site, spec: JobSpec, folder: JobFolder, at: Attempt) -> RoundContext:
    """The attempt's context, checked; the first one seen is the only one answered."""
    context = site.api.round_context(at)
    done, name = folder.verified_round() or 0, at.file("context")

    def keep(checked: RoundContext) -> RoundContext:
        if at.round <= done and folder.message(RoundContext, name) is None:
            raise Refused(Reason.ATTEMPT_SUPERSEDED, f"{at}: the round was released already")
        return folder.message_keep(name, checked)

    right = (context.round, context.attempt) == (at.round, at.number)
    return context_keep(site.agreement(spec), context, keep, right=right, name=str(at))


def _make_and_keep(
    site: Site, spec: JobSpec, folder: JobFolder, context: RoundContext, at: Attempt
) -> Signed[Contribution]:
    name = at.file("contribution")
    if spec.aggregation == "packed":
        return folder.signed_keep(name, _make(site, spec, folder, context))
    with folder.vector_writing(at) as (sink, keep):
        made = _make(site, spec, folder, context, sink)
        keep(str(made.body.masked))
    return folder.signed_keep(name, made)


def _make(
    site: Site,
    spec: JobSpec,
    folder: JobFolder,
    context: RoundContext,
    sink: Sink | None = None,
) -> Signed[Contribution]:
    state = _state(site, spec, folder, context)
    if isinstance(spec.strategy, Evaluation):
        gradient = evaluation_counts(site, spec, state)
    else:
        gradient = _update(site, spec, state, context)
    return contribution_make(
        agreement=site.agreement(spec),
        context=context,
        identity=site.identity,
        gradient=gradient,
        sink=sink,
    )


def _update(
    site: Site, spec: JobSpec, state: ServerState, context: RoundContext
) -> NDArray[np.int64]:
    from federated.training.local import bounded_update

    return bounded_update(
        spec,
        state.parameters,
        site.data.rows(spec).training,
        order=minibatch_order(context, site.organization),
    )


def _state(site: Site, spec: JobSpec, folder: JobFolder, context: RoundContext) -> ServerState:
    """The state that this site recomputed for the round before, and no other."""
    if (folder.verified_round() or 0) < context.round - 1:
        catch_up(site, spec.job_id, upto=context.round - 1)
    state = folder.state_read(context.round - 1)
    if state is None or state.digest() != context.model:
        known = "none" if state is None else state.digest()[:16]
        raise Refused(
            Reason.CONTEXT_MIXED,
            f"round {context.round} starts from model {context.model[:16]}, "
            f"this site recomputed {known}",
        )
    return state
