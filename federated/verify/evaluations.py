"""Checks that a joint evaluation is of the model that its job released."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from federated.errors import InvalidInput
from federated.protocol.evaluation import evaluation_check
from federated.provenance.verify import Check
from federated.verify.parts import checked
from federated.verify.states import initial_state
from federated.verify.vectors import VectorFolder
from federated.wire.job import Evaluation, JobSpec
from federated.wire.record import JobRecord


def evaluated_checks(
    records: Iterable[JobRecord], folder: VectorFolder | None = None
) -> Iterator[Check]:
    """One check an evaluation; skipped where the bundle does not hold the job that trained.

    That the release itself follows from its transcript is checked with its job.
    """
    jobs = {spec.job_id: (record, spec) for record in records if (spec := spec_of(record))}
    for record, spec in jobs.values():
        evaluation = spec.strategy
        if not isinstance(evaluation, Evaluation):
            continue
        name = f"job {spec.job_id[:8]} evaluated model"
        trained = jobs.get(evaluation.job_id)
        if trained is None:
            yield Check(
                name,
                "skipped",
                f"job {evaluation.job_id} is not in the bundle; its own must show that round "
                f"{evaluation.round} released {spec.initial_state[:16]}",
            )
            continue
        evaluated = partial(_evaluated, record, spec, *trained, folder)
        yield checked(name, evaluated)


def spec_of(record: JobRecord) -> JobSpec | None:
    """The spec of a record's first attempt; None where no attempt was closed."""
    first = next(iter(record.attempts), None)
    return None if first is None else first.spec.body


def _evaluated(
    record: JobRecord,
    spec: JobSpec,
    trained: JobRecord,
    trained_spec: JobSpec,
    folder: VectorFolder | None,
) -> str:
    """That the digests are the same is checked without the state, which may not be here."""
    evaluation = spec.strategy
    assert isinstance(evaluation, Evaluation)
    state = initial_state(record, folder)
    if state is not None:
        evaluation_check(spec, trained=trained_spec, state=state)
    released = {
        transcript.context.round: transcript.release.state
        for transcript in trained.attempts
        if transcript.release is not None
    }
    if released.get(evaluation.round) != spec.initial_state:
        raise InvalidInput(
            f"round {evaluation.round} of job {evaluation.job_id} did not release this model"
        )
    return f"round {evaluation.round} of job {evaluation.job_id[:8]} released it"
