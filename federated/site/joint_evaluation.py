"""The results of a joint evaluation, as its participants get them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from federated.protocol.cost import job_epsilons, sum_sigma
from federated.site.folder import SiteHome
from federated.site.job_folder import JobFolder
from federated.site.site import Site
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


def evaluation_keep(site: Site, spec: JobSpec, folder: JobFolder, transcript: Transcript) -> None:
    """Keep the counts of a release that this site has just recomputed, and say the results."""
    release = transcript.release
    assert release is not None and isinstance(spec.strategy, Evaluation)
    members = tuple(sorted(transcript.cohort().members))
    minimum = transcript.context.minimum(spec)
    folder.counts_keep(release, members, minimum_cohort=minimum)
    found = evaluation_of(spec, release, members, minimum_cohort=minimum, verified=True)
    told = ", ".join(_told(name, value) for name, value in list(found.metrics.items())[:2])
    site.say(f"joint evaluation of job {spec.strategy.job_id[:8]}: {told} (95%, noise)")


def evaluation_kept(folder: JobFolder) -> JointEvaluation | None:
    """The results that this site verified, if the folder is of such a job and it has ended so."""
    kept, spec = folder.counts(), folder.spec()
    if kept is None or spec is None:
        return None
    return evaluation_of(
        spec,
        Release.parse(kept["release"]),
        tuple(kept["members"]),
        minimum_cohort=kept.get("minimum_cohort", spec.minimum_cohort),
        verified=True,
    )


def evaluations_of(home: SiteHome, job_id: str) -> list[JointEvaluation]:
    """The verified joint evaluations of a job's model in this home, oldest first."""
    found = []
    for each in home.jobs():
        spec = home.job(each).spec()
        if spec is not None and isinstance(spec.strategy, Evaluation):
            kept = evaluation_kept(home.job(each)) if spec.strategy.job_id == job_id else None
            found += [] if kept is None else [kept]
    return sorted(found, key=lambda evaluation: evaluation.spec.proposed_at)


def _told(name: str, value: Estimate) -> str:
    shown = "undetermined" if value.value is None else f"{value.value:.3f}"
    return f"{name.replace('_', ' ')} {shown} ({value.low:.3f} to {value.high:.3f})"
