"""Joint evaluations in a site's folder: kept once verified, and found again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from federated.protocol.joint_evaluation import JointEvaluation, evaluation_in, evaluation_of
from federated.site.folder import SiteHome
from federated.site.job_folder import JobFolder
from federated.site.site import Site
from federated.wire.job import Evaluation, JobSpec
from federated.wire.round import Release, Transcript

if TYPE_CHECKING:
    from federated.training.estimates import Estimate


def evaluation_keep(site: Site, spec: JobSpec, folder: JobFolder, transcript: Transcript) -> None:
    """Keep the counts of a release that this site has just recomputed, and say the results."""
    release = transcript.release
    assert release is not None and isinstance(spec.strategy, Evaluation)
    results = evaluation_in(transcript, verified=True)
    minimum = transcript.context.minimum(spec)
    folder.counts_keep(release, results.members, minimum_cohort=minimum)
    told = ", ".join(_told(name, value) for name, value in list(results.metrics.items())[:2])
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
