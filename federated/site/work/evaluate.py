"""A site's part in a joint evaluation: whether it is of a model verified here, and the counts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from federated.errors import InvalidInput
from federated.protocol.evaluation import evaluation_check
from federated.site.site import Site
from federated.site.work.verify import catch_up
from federated.training.data import Dataset
from federated.training.server import ServerState, released_parameters
from federated.wire.job import Evaluation, JobSpec


def evaluation_accept(site: Site, spec: JobSpec, evaluation: Evaluation) -> None:
    """Check that the evaluation is of a release that this site recomputed, and rows are held out.

    Raises InvalidInput naming what is wrong.
    """
    trained = _trained(site, evaluation)
    folder = site.home.job(evaluation.job_id)
    if (folder.verified_round() or 0) < evaluation.round <= trained.strategy.rounds:
        catch_up(site, evaluation.job_id, upto=evaluation.round)
    state = folder.state_read(evaluation.round)
    if state is None:
        raise InvalidInput(
            f"strategy.round: this site holds no state of round {evaluation.round} of job "
            f"{evaluation.job_id}"
        )
    evaluation_check(spec, trained=trained, state=state)
    _held_out(site, spec)


def evaluation_counts(site: Site, spec: JobSpec, state: ServerState) -> NDArray[np.int64]:
    """The held-out rows' table, flat, in grid units; ``state`` is the evaluated model's."""
    from federated.training.tally import bounded_counts

    assert isinstance(spec.strategy, Evaluation)
    trained = _trained(site, spec.strategy)
    parameters = released_parameters(state, trained.training)
    return bounded_counts(spec, parameters, _held_out(site, spec))


def _trained(site: Site, evaluation: Evaluation) -> JobSpec:
    trained = site.home.job(evaluation.job_id).spec()
    if trained is None:
        raise InvalidInput(f"strategy.job_id: this site took no part in job {evaluation.job_id}")
    return trained


def _held_out(site: Site, spec: JobSpec) -> Dataset:
    held_out = site.data.rows(spec).held_out
    if held_out is None:
        raise InvalidInput(
            f"this site holds no rows of {spec.data.dataset} out of training, "
            "so that it has none to evaluate on"
        )
    return held_out
