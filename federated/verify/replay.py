"""Recomputes a bundle's global model from its transcripts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from federated.errors import DomainError, InvalidInput
from federated.protocol.agreement import JobAgreement
from federated.protocol.joint_evaluation import JointEvaluation, evaluation_in
from federated.protocol.reproducibility import reproducibility_check
from federated.provenance.bundle import Bundle, record_read
from federated.provenance.software import software_differences, software_here
from federated.training.server import ServerState, released_parameters
from federated.verify.states import initial_state, state_absent, state_after
from federated.verify.vectors import VectorFolder
from federated.wire.job import Evaluation, JobSpec
from federated.wire.record import JobRecord
from federated.wire.reproducibility import ReproducibilityRecord, Software
from federated.wire.round import Transcript


@dataclass(frozen=True)
class Replayed:
    """The model that a job's last release must have made, or an evaluation's counts.

    ``made`` is the software that the records of its releases name, each once, in their order:
    empty where releases have no records.
    """

    spec: JobSpec
    state: ServerState
    evaluation: JointEvaluation | None = None
    made: tuple[Software, ...] = ()

    @property
    def parameters(self) -> NDArray[np.float64]:
        """The released parameters, float64 of shape (d,)."""
        return released_parameters(self.state, self.spec.training)


def replay_job(
    bundle: Bundle, job_id: str | None = None, vectors: VectorFolder | None = None
) -> Replayed:
    """Recompute every release of a job, bit for bit: product, shares' proofs, sum, server step.

    ``job_id`` chooses among several jobs, else it is the one that trained, if one did; a masked
    job, or one of a large model, needs its folder of ``vectors``. Signatures and charges are the
    verifier's to check. Where contributions expired by retention no share can be proven against
    them: the signed shares alone lead to the sum.
    Raises InvalidInput or ProofInvalid for a record that does not lead to what was released; the
    message says which round, and how the software differs from the one that released it.
    """
    record = record_of(bundle, job_id)
    spec = record.attempts[0].spec.body
    expired = any(transcript.expired for transcript in record.attempts)
    if spec.aggregation == "masked" and expired:
        raise InvalidInput(
            f"job {spec.job_id}: its masked vectors expired by retention, so that no sum can be "
            "recomputed; its sites keep the models that they verified"
        )
    if spec.aggregation == "masked" and vectors is None:
        raise InvalidInput(
            f"job {spec.job_id} sums masked vectors, which a bundle does not hold: give the folder "
            "that `federated bundle --vectors` filled"
        )
    state = initial_state(record, vectors)
    if state is None:
        raise InvalidInput(f"job {spec.job_id}: initial state {state_absent(record, vectors)}")
    evaluation, agreement = None, JobAgreement(spec, record.key_epoch)
    records = {made.release: made for made in record.reproducibility}
    for transcript in record.attempts:
        if transcript.release is not None:
            made = records.get(transcript.release.digest())
            with _named(transcript, made):
                state = state_after(transcript, agreement, state, vectors)
                if made is not None:
                    reproducibility_check(made, transcript, spec=spec)
            if isinstance(spec.strategy, Evaluation):
                evaluation = evaluation_in(transcript, verified=True)
    if isinstance(spec.strategy, Evaluation) and evaluation is None:
        raise InvalidInput(f"job {spec.job_id} released no counts")
    if state.step == 0:
        raise InvalidInput(f"job {spec.job_id} released no round, there is no model")
    software = {made.software.digest(): made.software for made in records.values()}
    return Replayed(spec, state, evaluation, tuple(software.values()))


@contextmanager
def _named(transcript: Transcript, made: ReproducibilityRecord | None) -> Iterator[None]:
    """Bits that differ: in which round, and what differs of the software too."""
    try:
        yield
    except DomainError as error:
        context = transcript.context
        differs = software_differences(made.software, software_here()) if made else []
        under = f"; it was made by other software: {', '.join(differs)}" if differs else ""
        error.message = f"round {context.round}.{context.attempt}: {error.message}{under}"
        error.args = (error.message,)
        raise


def record_of(bundle: Bundle, job_id: str | None = None) -> JobRecord:
    """A job's record in a bundle. Raises InvalidInput where none has a closed attempt."""
    raw = bundle.sections.get("jobs")
    records = [
        record_read(JobRecord, item)
        for item in (raw if isinstance(raw, list) else [])
        if isinstance(item, dict)
    ]
    found = {record.attempts[0].spec.body.job_id: record for record in records if record.attempts}
    if not found:
        raise InvalidInput("the bundle holds no job with a closed attempt")
    trained = [record for record in found.values() if _trains(record)]
    for listed in (trained, list(found.values())):
        if job_id is None and len(listed) == 1:
            return listed[0]
    if job_id not in found:
        raise InvalidInput(f"--job: the bundle holds {', '.join(sorted(found))}")
    return found[job_id]


def _trains(record: JobRecord) -> bool:
    return not isinstance(record.attempts[0].spec.body.strategy, Evaluation)
