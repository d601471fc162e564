"""What a campaign's votes look like and cost: from the spec and the key epoch, nothing else."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache

from federated.aggregation.votes import GAUSSIAN_WEIGHT, UNIT, Slot, VoteLayout
from federated.errors import InvalidInput
from federated.privacy import accountant
from federated.protocol.keys import public_key_of
from federated.wire.campaign import CampaignSpec, Metric
from federated.wire.job import Cost
from federated.wire.key import KeyEpoch


def honest_trustees(epoch: KeyEpoch) -> int:
    """t - f: trustees of a quorum that do not collude, on whose Gaussian shares privacy rests."""
    return epoch.threshold - epoch.max_colluding


def vote_layout(spec: CampaignSpec, epoch: KeyEpoch, position: int) -> VoteLayout:
    """The slots of the metric at ``position``. Raises InvalidInput where they do not fit."""
    return _layout(
        spec.metrics[position],
        kind=spec.noise.kind,
        honest=honest_trustees(epoch),
        contributors=len(spec.participants),
        trustees=len(epoch.trustees),
        bits=public_key_of(epoch).bits,
    )


@lru_cache(maxsize=256)
def _layout(
    metric: Metric, *, kind: str, honest: int, contributors: int, trustees: int, bits: int
) -> VoteLayout:
    weight = GAUSSIAN_WEIGHT if kind == "gaussian" else 1
    sensitivity = {"histogram": weight, "values": UNIT, "squares": UNIT // 2}
    slots: list[Slot] = []
    for name in ("histogram", "values", "squares"):
        part = getattr(metric.split, name)
        if part == 0:
            continue
        scale = _scale(kind, sensitivity[name], part, honest)
        repeat = metric.grid.bins if name == "histogram" else 1
        slots += [Slot(name, sensitivity[name], scale)] * repeat
    return VoteLayout(metric, tuple(slots), weight, contributors, trustees, bits)


def _scale(kind: str, sensitivity: int, part: float, honest: int) -> Fraction | float:
    """The noise of one share: b = D / epsilon, or sigma = D / sqrt(2 rho h) rounded up."""
    if kind == "laplace":
        return sensitivity / Fraction(part)
    sigma = sensitivity / math.sqrt(2 * part * honest)
    digits = 6 - math.ceil(math.log10(sigma))
    return float(math.ceil(sigma * 10.0**digits) / 10.0**digits)


def run_cost(spec: CampaignSpec, epoch: KeyEpoch) -> Cost:
    """The charge of one run. Pure epsilon is converted to rho = epsilon^2 / 2."""
    if spec.noise.kind == "laplace":
        rho = accountant.pure_epsilon_to_rho(spec.noise.epsilon)
    else:
        rho = _gaussian_rho(spec, epoch)
    return Cost(dataset=spec.dataset, unit="organization", rho=rho)


def campaign_cost(spec: CampaignSpec, epoch: KeyEpoch) -> Cost:
    """The charge of all runs: what a site reserves when it approves."""
    once = run_cost(spec, epoch)
    return once.model_copy(update={"rho": once.rho * spec.runs})


def campaign_check(spec: CampaignSpec, epoch: KeyEpoch) -> None:
    """Refuse a spec that does not fit the key or costs more than it claims.

    Raises InvalidInput that gives both numbers. Sites and the portal check it before approval.
    """
    if spec.key_epoch != epoch.digest():
        raise InvalidInput(f"key_epoch: the spec pins {spec.key_epoch[:16]}, another key is used")
    for position in range(len(spec.metrics)):
        _ = vote_layout(spec, epoch, position).widths
    if spec.noise.delta is not None:
        actual = accountant.rho_to_epsilon(_gaussian_rho(spec, epoch), spec.noise.delta)
        if actual > spec.noise.epsilon:
            raise InvalidInput(
                f"split: the metrics' rho gives epsilon {actual:.4f} at delta "
                f"{spec.noise.delta:g}, the spec claims {spec.noise.epsilon:g}"
            )


def _gaussian_rho(spec: CampaignSpec, epoch: KeyEpoch) -> float:
    """zCDP of all metrics and sums together, with t - f honest shares (arXiv 2102.06387)."""
    parts = []
    for position, metric in enumerate(spec.metrics):
        layout = vote_layout(spec, epoch, position)
        for slot in dict.fromkeys(layout.slots):
            parts.append(
                accountant.round_rho(
                    noise_sigma=float(slot.scale),
                    sensitivity=slot.sensitivity,
                    honest=honest_trustees(epoch),
                    dimension=metric.grid.bins if slot.kind == "histogram" else 1,
                )
            )
    return math.fsum(parts)
