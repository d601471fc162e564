"""The results of a joint evaluation, as its participants get them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from federated.protocol.cost import job_epsilons, sum_sigma
from federated.wire.job import Evaluation, JobSpec
from federated.wire.round import Release, Transcript

if TYPE_CHECKING:
    from federated.training.estimates import Estimate
    from federated.training.joint import JointResult


@dataclass(frozen=True)
class JointEvaluation:
    """Metrics of a released model over the held-out records of all sites of a cohort.

    Each value has a 95% interval that covers the privacy noise (see federated.training.joint).
    ``verified`` says that this site recomputed the counts from ciphertexts and shares.
    """

    spec: JobSpec
    result: JointResult
    members: tuple[str, ...]
    verified: bool

    @property
    def job_id(self) -> str:
        return self.spec.job_id

    @property
    def of_job(self) -> str:
        """The job whose model was evaluated."""
        assert isinstance(self.spec.strategy, Evaluation)
        return self.spec.strategy.job_id

    @property
    def metrics(self) -> dict[str, Estimate]:
        return self.result.metrics

    @property
    def epsilon(self) -> dict[str, float]:
        """What one attempt costs, at the spec's delta: see job_epsilons."""
        return job_epsilons(self.spec)

    def dump(self) -> dict[str, Any]:
        """As JSON has it: plain lists and numbers."""
        plain = {
            "job_id": self.job_id,
            "of_job": self.of_job,
            "members": list(self.members),
            "verified": self.verified,
            "epsilon": self.epsilon,
            "delta": self.spec.privacy.delta,
            **asdict(self.result),
        }
        told: dict[str, Any] = json.loads(json.dumps(plain))
        return told


def evaluation_of(
    spec: JobSpec,
    release: Release,
    members: tuple[str, ...],
    *,
    minimum_cohort: int,
    verified: bool,
) -> JointEvaluation:
    """The results that a release holds, of an attempt with that smallest cohort."""
    from federated.training.joint import joint_result

    sigma = sum_sigma(spec, minimum_cohort=minimum_cohort, members=len(members))
    result = joint_result(spec, release.values, sigma=sigma)
    return JointEvaluation(spec, result, members, verified)


def evaluation_in(transcript: Transcript, *, verified: bool) -> JointEvaluation:
    """The results that a transcript's release holds."""
    release, spec = transcript.release, transcript.spec.body
    assert release is not None
    return evaluation_of(
        spec,
        release,
        tuple(sorted(transcript.cohort().members)),
        minimum_cohort=transcript.context.minimum(spec),
        verified=verified,
    )
