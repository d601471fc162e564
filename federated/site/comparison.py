"""Did this site get worse than alone? Computed, kept and shown here; nothing of it is ever sent.

The site trains the job's model again on its own training rows only, by the same steps and without
noise, and scores both models on its own held-out rows.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from federated.errors import Conflict, DomainError, InvalidInput, NotFound
from federated.site.folder import SiteHome
from federated.site.job_folder import JobFolder
from federated.site.site import Site, short
from federated.wire.job import Evaluation, JobSpec

if TYPE_CHECKING:
    from federated.training.alone import Difference


def comparable(folder: JobFolder) -> JobSpec | None:
    """The spec of a job that trained and whose last release this site verified, if it is one."""
    spec = folder.spec()
    if spec is None or isinstance(spec.strategy, Evaluation):
        return None
    return spec if folder.verified_round() == spec.strategy.rounds else None


def next_to_compare(home: SiteHome, tried: set[str]) -> str | None:
    """A job that ended here, holds rows out and has not been compared; none of ``tried``."""
    for job_id in home.jobs():
        folder = home.job(job_id)
        if job_id in tried or folder.comparison() is not None or not folder.holds_out:
            continue
        if comparable(folder) is not None:
            return job_id
    return None


def compare_and_say(site: Site, job_id: str) -> None:
    """Compare, keep it and say how it went in a line; never raises."""
    try:
        site.say(comparison_line(job_id, comparison_of(site, job_id)))
    except DomainError as error:
        site.say(f"job {job_id[:8]} is not compared with training alone: {short(error)}")
    except Exception as error:
        # As in the agent: another library's message may quote data.
        site.say(f"job {job_id[:8]} is not compared: unexpected {type(error).__name__}")


def comparison_of(site: Site, job_id: str) -> dict[str, Any]:
    """The comparison that is kept, made now if it is not: round, rows, ``metrics`` by name.

    Raises NotFound for a job that this site did not approve, Conflict for one that has not ended
    here, InvalidInput for an evaluation or where no rows are held out.
    """
    folder = site.home.job(job_id)
    kept = folder.comparison()
    if kept is not None:
        return kept
    spec = folder.spec()
    if spec is None:
        raise NotFound(f"job {job_id}: this site approved no such job")
    rounds = spec.training.rounds
    if comparable(folder) is None:
        raise Conflict(
            f"job {job_id}: this site has verified {folder.verified_round() or 0} of {rounds} "
            "rounds; the last model is compared"
        )
    found = _compute(site, spec, folder)
    folder.comparison_keep(found)
    return found


def _compute(site: Site, spec: JobSpec, folder: JobFolder) -> dict[str, Any]:
    from federated.training.alone import compare, train_alone
    from federated.training.server import ServerState, released_parameters

    rows = site.data.rows(spec)
    if rows.held_out is None or not len(rows.held_out):
        raise InvalidInput(
            f"{spec.data.dataset}: no rows are held out here; held_out in {site.home.policy_path}"
        )
    initial, last = folder.state(0), folder.state(spec.strategy.rounds)
    assert initial is not None and last is not None
    alone = train_alone(spec, ServerState.from_bytes(initial), rows.training)
    joint = released_parameters(ServerState.from_bytes(last), spec.training)
    metrics = compare(spec, alone, joint, rows.held_out)
    return {
        "round": spec.strategy.rounds,
        "training_rows": len(rows.training),
        "held_out_rows": len(rows.held_out),
        "metrics": {name: asdict(one) for name, one in metrics.items()},
    }


def comparison_line(job_id: str, comparison: dict[str, Any]) -> str:
    """The comparison in a line, by its first metric."""
    name, one = next(iter(differences(comparison).items()))
    rows = comparison["held_out_rows"]
    shown = name.upper() if name == "auc" else name.replace("_", " ")
    head = f"job {job_id[:8]}, own {rows} held-out rows: {shown}"
    if one.difference is None:
        return f"{head} undefined (they hold one class), no comparison with training alone"
    return f"{head} {one.federated:.3f}, alone {one.alone:.3f}: {verdict(name, one)} (stays here)"


def verdict(name: str, one: Difference) -> str:
    """What the rows show of a metric, in words."""
    if one.difference is None:
        return "undefined"
    if one.worse(name):
        return "worse than alone"
    if one.better(name):
        return "better than alone"
    return "no clear difference"


def differences(comparison: dict[str, Any]) -> dict[str, Difference]:
    """The comparison's metrics by name."""
    from federated.training.alone import Difference

    return {name: Difference(**one) for name, one in comparison["metrics"].items()}
