"""A site's part in a joint evaluation: the counts of its held-out rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from federated.errors import InvalidInput
from federated.site.site import Site
from federated.training.data import Dataset
from federated.training.server import ServerState, released_parameters
from federated.wire.job import Evaluation, JobSpec


def evaluation_counts(site: Site, spec: JobSpec, state: ServerState) -> NDArray[np.int64]:
    """The held-out rows' table, flat, in grid units; ``state`` is the evaluated model's."""
    from federated.training.tally import bounded_counts

    assert isinstance(spec.strategy, Evaluation)
    trained = trained_of(site, spec.strategy)
    parameters = released_parameters(state, trained.training)
    return bounded_counts(spec, parameters, held_out_of(site, spec))


def trained_of(site: Site, evaluation: Evaluation) -> JobSpec:
    """The job whose model is evaluated. Raises InvalidInput where this site took no part in it."""
    trained = site.home.job(evaluation.job_id).spec()
    if trained is None:
        raise InvalidInput(f"strategy.job_id: this site took no part in job {evaluation.job_id}")
    return trained


def held_out_of(site: Site, spec: JobSpec) -> Dataset:
    """The rows to evaluate on. Raises InvalidInput where this site holds none out."""
    held_out = site.data.rows(spec).held_out
    if held_out is None:
        raise InvalidInput(
            f"this site holds no rows of {spec.data.dataset} out of training, "
            "so that it has none to evaluate on"
        )
    return held_out
