"""Proposing a joint evaluation of a released model, and what makes one fit its model."""

from __future__ import annotations

from collections.abc import Iterable

from federated.errors import InvalidInput
from federated.privacy.config import PrivacyConfig
from federated.protocol.propose import spec_make
from federated.training.server import ServerState
from federated.wire.evaluation import MOST_BINS, Evaluation
from federated.wire.job import JobSpec, Participant


def evaluation_make(
    trained: JobSpec,
    state: ServerState,
    *,
    job_id: str,
    proposer: str,
    proposed_at: str,
    participants: Iterable[Participant],
    privacy: PrivacyConfig,
    key_epoch: str,
    bins: int = MOST_BINS,
    minimum_cohort: int | None = None,
    round_seconds: int | None = None,
) -> JobSpec:
    """The spec of a joint evaluation of the model that ``trained`` released as ``state``.

    ``bins`` is for binary and regression targets; a multiclass target has one a class. Raises
    InvalidInput for what the spec or ``evaluation_check`` refuses.
    """
    target = trained.data.target
    spec = spec_make(
        job_id=job_id,
        consortium=trained.consortium,
        proposer=proposer,
        proposed_at=proposed_at,
        data=trained.data,
        model=trained.model,
        initial_state=state.digest(),
        strategy=Evaluation.parse(
            {
                "kind": "evaluation",
                "job_id": trained.job_id,
                "spec": trained.digest(),
                "round": max(state.step, 1),
                "bins": target.outputs if target.kind == "multiclass" else bins,
            }
        ),
        participants=participants,
        privacy=privacy,
        key_epoch=key_epoch,
        minimum_cohort=minimum_cohort,
        round_seconds=trained.round_seconds if round_seconds is None else round_seconds,
    )
    evaluation_check(spec, trained=trained, state=state)
    return spec


def evaluation_check(spec: JobSpec, *, trained: JobSpec, state: ServerState) -> None:
    """Check that an evaluation is of this job's model, in this state, for its participants alone.

    ``trained`` is the job's spec as the checker knows it, ``state`` the one that it holds for the
    round. Raises InvalidInput that names what differs.
    """
    evaluation = spec.strategy
    if not isinstance(evaluation, Evaluation):
        raise InvalidInput(f"job {spec.job_id} is no joint evaluation")
    if trained.job_id != evaluation.job_id or trained.digest() != evaluation.spec:
        raise InvalidInput(
            f"strategy.spec: {evaluation.spec[:16]} of job {evaluation.job_id}; "
            f"its spec is {trained.digest()[:16]}"
        )
    if isinstance(trained.strategy, Evaluation):
        raise InvalidInput(
            f"strategy.job_id: job {trained.job_id} is an evaluation; it has no model"
        )
    for name, given, known in (
        ("consortium", spec.consortium, trained.consortium),
        ("data", spec.data, trained.data),
        ("model", spec.model, trained.model),
    ):
        if given != known:
            raise InvalidInput(f"{name}: another than that of job {trained.job_id}")
    names = [participant.organization for participant in spec.participants]
    others = [name for name in names if trained.participant(name) is None]
    if others:
        raise InvalidInput(
            f"participants: {', '.join(others)} took no part in job {trained.job_id}; "
            "only its sites hold its model"
        )
    if state.digest() != spec.initial_state or state.step != evaluation.round:
        raise InvalidInput(
            f"initial_state: {spec.initial_state[:16]}; job {trained.job_id} released "
            f"{state.digest()[:16]} in round {state.step}, the evaluation is of round "
            f"{evaluation.round}"
        )
