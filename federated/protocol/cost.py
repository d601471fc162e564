"""What a job costs, recomputed from its spec by every site (nobody trusts the claim)."""

from __future__ import annotations

import math
from collections.abc import Iterable

from federated.errors import InvalidInput
from federated.privacy import accountant
from federated.wire.job import Cost, Evaluation, JobSpec


def share_sigma(spec: JobSpec, *, minimum_cohort: int) -> float:
    """One site's noise, in grid units, in an attempt that sums at least that many contributions.

    ``privacy.noise_sigma`` is that of the spec's own smallest cohort, of h honest shares. A cohort
    of m has m - colluding of them, so that sigma sqrt(h / (m - colluding)) a share adds up to the
    same variance. It is rounded up beyond a float's error, and never below the 3 grid units (or
    the spec's) at which a sum of shares is as good as one discrete Gaussian.
    """
    sigma = spec.privacy.noise_sigma
    reduced = sigma * math.sqrt(spec.honest / (minimum_cohort - spec.privacy.colluding))
    return min(sigma, max(accountant.SMALLEST_SIGMA, reduced * (1 + 2**-50)))


def cohort_asked(spec: JobSpec, *, attempt: int, released: Iterable[int]) -> dict[str, int]:
    """What a context says of its smallest cohort, given the sizes of those released before.

    A round's first attempt asks for as many as came in every round before it, all participants at
    first. Where one stays away the attempt is abandoned, uncharged, and the next says nothing: the
    spec's minimum, with more noise.
    """
    expected = min(released, default=len(spec.participants))
    asks = attempt == 1 and expected > spec.minimum_cohort
    return {"minimum_cohort": expected} if asks else {}


def sum_sigma(spec: JobSpec, *, minimum_cohort: int, members: int) -> float:
    """Standard deviation of the noise in a cohort's sum, in grid units."""
    return share_sigma(spec, minimum_cohort=minimum_cohort) * math.sqrt(members)


def full_sigma(spec: JobSpec) -> float:
    """The same where every participant contributes, as an attempt first asks for."""
    everybody = len(spec.participants)
    return sum_sigma(spec, minimum_cohort=everybody, members=everybody)


def round_rho(spec: JobSpec) -> float:
    """zCDP of one attempt against the coordinator with ``colluding`` sites.

    It is the same for every smallest cohort that an attempt may have: the honest shares' variance
    is (``share_sigma``), and at 3 grid units and more tau of arXiv 2102.06387, proposition 14, is
    below 1e-34, less than a float tells apart from none.
    """
    return _rho(spec, sigma=spec.privacy.noise_sigma, honest=spec.honest)


def insiders_rho(spec: JobSpec) -> float:
    """zCDP of one attempt against all other members of its cohort.

    One share alone counts, and it is smallest where the attempt asks for every participant.
    """
    sigma = share_sigma(spec, minimum_cohort=len(spec.participants))
    return _rho(spec, sigma=sigma, honest=1)


def _rho(spec: JobSpec, *, sigma: float, honest: int) -> float:
    if spec.privacy.mechanism == "none":
        return math.inf
    return accountant.round_rho(
        noise_sigma=sigma,
        sensitivity=spec.privacy.units,
        honest=honest,
        dimension=spec.dimension,
    )


def round_cost(spec: JobSpec) -> Cost:
    """The charge of one attempt, against the coordinator with ``colluding`` sites.

    Raises InvalidInput for a job without noise: it has no finite cost to charge.
    """
    rho = round_rho(spec)
    if math.isinf(rho):
        raise InvalidInput(
            'privacy.mechanism "none" has no finite cost; it is allowed for synthetic data only'
        )
    return Cost(dataset=spec.data.dataset, unit=spec.privacy.unit, rho=rho)


def job_cost(spec: JobSpec) -> Cost:
    """The cost of all rounds, one attempt each: what a site reserves on approval."""
    once = round_cost(spec)
    return once.model_copy(update={"rho": once.rho * spec.strategy.rounds})


def job_epsilons(spec: JobSpec, *, rounds: int | None = None) -> dict[str, float]:
    """Epsilon against the coordinator with ``colluding`` sites, and against all other insiders.

    ``insiders`` counts one honest site's noise alone (all others of a cohort collude).
    """
    done = spec.strategy.rounds if rounds is None else rounds
    if done == 0:
        return {"coordinator": 0.0, "insiders": 0.0}
    delta = spec.privacy.delta
    if delta is None:
        return {"coordinator": math.inf, "insiders": math.inf}
    return {
        "coordinator": accountant.rho_to_epsilon(done * round_rho(spec), delta),
        "insiders": accountant.rho_to_epsilon(done * insiders_rho(spec), delta),
    }


def mechanism_of(spec: JobSpec) -> str:
    """A job's mechanism and its parameters, in words: what each of its charges paid for."""
    privacy, rounds = spec.privacy, spec.strategy.rounds
    if privacy.mechanism == "none":
        return "no noise"
    clipped = (
        ""
        if isinstance(spec.strategy, Evaluation)
        else f", clipping norm {privacy.clipping_norm:g}"
    )
    return (
        f"discrete Gaussian, sigma {privacy.noise_sigma:.4g} a site where {spec.minimum_cohort} "
        f"contribute, {spec.honest} counted, "
        f"sensitivity {privacy.units}{clipped}, {rounds} round{'' if rounds == 1 else 's'}"
    )


def noise_and_signal(spec: JobSpec) -> tuple[float, float]:
    """Of one coordinate of a round's mean update: the noise's standard deviation, and the signal.

    The noise is that of the whole cohort's shares, all participants present. The signal is the root
    mean square of a coordinate where every unit's vector has the clipping norm and one direction:
    no job has more. Both in the units of ``clipping_norm``.
    """
    privacy = spec.privacy
    grid = privacy.clipping_norm / privacy.units
    noise = full_sigma(spec) * grid / spec.denominator
    return noise, privacy.clipping_norm / math.sqrt(spec.model.parameters)


def privacy_warnings(spec: JobSpec) -> list[str]:
    """What a person should read before a job is proposed or approved; often nothing."""
    if isinstance(spec.strategy, Evaluation):
        return _counts_warnings(spec)
    noise, signal = noise_and_signal(spec)
    if noise <= signal:
        return []
    advice = (
        f"about {math.ceil(len(spec.participants) * noise / signal)} organizations would bring "
        "them level; fewer parameters, more epsilon or unit record help too"
        if spec.privacy.unit == "organization"
        else "more records, fewer parameters or more epsilon help"
    )
    return [
        f"noise swamps the signal: in every round a coordinate of the mean update carries noise of "
        f"{noise:.3g}, where clipping leaves at most {signal:.3g} (clipping_norm / sqrt of "
        f"{spec.model.parameters} parameters), {noise / signal:.1f} times less; {advice}"
    ]


def _counts_warnings(spec: JobSpec) -> list[str]:
    """An evaluation whose cells would be noise even if every nominal record were held out."""
    noise = full_sigma(spec) / spec.privacy.units
    fair = spec.data.nominal_records / spec.dimension
    if noise <= fair:
        return []
    return [
        f"noise swamps the counts: a cell carries noise of {noise:.3g} records, and all "
        f"{spec.data.nominal_records} nominal records spread over {spec.dimension} cells make "
        f"{fair:.3g}; fewer bins, more epsilon or more records help"
    ]


def check_spec_privacy(spec: JobSpec) -> None:
    """Refuse a spec whose noise does not reach the epsilon it claims, or whose delta says nothing.

    To publish one of n records (or organizations' updates) whole, drawn by lot, meets epsilon 0 at
    delta 1/n: delta has to be below it. Raises InvalidInput that gives both numbers.
    """
    if spec.privacy.epsilon is None or spec.privacy.delta is None:
        return
    units, what = spec.denominator, spec.privacy.unit
    if spec.privacy.delta * units >= 1:
        raise InvalidInput(
            f"privacy.delta: {spec.privacy.delta:g} is not below 1 / {units} {what}s "
            f"({1 / units:.3g}); to publish a {what} whole would meet it"
        )
    actual = job_epsilons(spec)["coordinator"]
    if actual > spec.privacy.epsilon:
        raise InvalidInput(
            f"privacy.noise_sigma {spec.privacy.noise_sigma} gives epsilon {actual:.4f} "
            f"over {spec.strategy.rounds} rounds, the spec claims {spec.privacy.epsilon}"
        )
