"""The results of a joint evaluation, read from its released counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from federated.errors import InvalidInput
from federated.training.estimates import Estimate, auc, cleaned, count, ratio
from federated.training.network import Floats
from federated.training.tally import error_edges, score_edges
from federated.wire.data import BinaryTarget, MulticlassTarget, RegressionTarget, Target
from federated.wire.evaluation import Evaluation
from federated.wire.job import JobSpec


@dataclass(frozen=True)
class BinResult:
    """One score or error bin: its ends, records in it, and a share of records.

    ``share`` is the share of positives in a score bin (the calibration), or of all records with an
    error up to ``upper``.
    """

    lower: float
    upper: float
    records: Estimate
    share: Estimate


@dataclass(frozen=True)
class JointResult:
    """What a joint evaluation says of a model's held-out records over all its sites.

    ``metrics`` by name, ``classes`` are records by true class, ``bins`` as the target has them,
    ``counts`` the table as it is shown: not negative, see ``estimates.cleaned``. ``noise`` is the
    standard deviation of one cell's noise in records. Intervals cover that noise at 95%, each by
    itself; they do not cover how well the records represent others.
    """

    kind: str
    metrics: dict[str, Estimate]
    classes: dict[str, Estimate]
    bins: tuple[BinResult, ...]
    counts: tuple[tuple[float, ...], ...]
    noise: float


def joint_result(spec: JobSpec, values: Sequence[int], *, sigma: float) -> JointResult:
    """The results of released ``values`` (grid units, [d]), whose noise has deviation ``sigma``.

    Raises InvalidInput for a job that is no evaluation, or another number of values.
    """
    evaluation = spec.strategy
    if not isinstance(evaluation, Evaluation):
        raise InvalidInput(f"job {spec.job_id} trains; it has no joint evaluation's results")
    if len(values) != spec.dimension:
        raise InvalidInput(f"values: {len(values)} of them, the table has {spec.dimension} cells")
    units = spec.privacy.units
    cells = np.array([value / units for value in values], dtype=np.float64)
    cells = cells.reshape(evaluation.classes(spec.data.target), evaluation.bins)
    noise = sigma / units
    target = spec.data.target
    bins: tuple[BinResult, ...] = ()
    if isinstance(target, BinaryTarget):
        metrics, bins = _binary(cells, noise), _calibration(cells, noise)
    elif isinstance(target, MulticlassTarget):
        metrics = _confusion(cells, noise, target.classes)
    else:
        metrics, bins = _errors(cells, noise, target)
    return JointResult(
        kind=target.kind,
        metrics=metrics,
        classes={
            name: count(row, noise) for name, row in zip(class_names(target), cells, strict=True)
        },
        bins=bins,
        counts=tuple(tuple(row) for row in cleaned(cells).tolist()),
        noise=noise,
    )


def class_names(target: Target) -> tuple[str, ...]:
    """What the table's rows are called."""
    if isinstance(target, MulticlassTarget):
        return target.classes
    return ("negative", "positive") if isinstance(target, BinaryTarget) else ("all",)


def _binary(cells: Floats, noise: float) -> dict[str, Estimate]:
    """AUC; accuracy, sensitivity and specificity at the threshold 0.5, which ends a bin."""
    half = cells.shape[1] // 2
    right, everything = np.zeros_like(cells), np.ones_like(cells)
    right[0, :half] = right[1, half:] = 1.0
    rows = [np.zeros_like(cells), np.zeros_like(cells)]
    rows[0][0] = rows[1][1] = 1.0
    return {
        "auc": auc(cells[0], cells[1], noise),
        "accuracy": ratio(right, everything, cells, noise, most=1.0),
        "sensitivity": ratio(right * rows[1], rows[1], cells, noise, most=1.0),
        "specificity": ratio(right * rows[0], rows[0], cells, noise, most=1.0),
    }


def _calibration(cells: Floats, noise: float) -> tuple[BinResult, ...]:
    edges = score_edges(cells.shape[1])
    found = []
    for place in range(cells.shape[1]):
        here, positive = np.zeros_like(cells), np.zeros_like(cells)
        here[:, place] = positive[1, place] = 1.0
        found.append(
            BinResult(
                lower=float(edges[place]),
                upper=float(edges[place + 1]),
                records=count(cells[:, place], noise),
                share=ratio(positive, here, cells, noise, most=1.0),
            )
        )
    return tuple(found)


def _confusion(cells: Floats, noise: float, classes: Sequence[str]) -> dict[str, Estimate]:
    """Accuracy, and each class's recall (records of it that are told as it)."""
    metrics = {"accuracy": ratio(np.eye(len(cells)), np.ones_like(cells), cells, noise, most=1.0)}
    for place, name in enumerate(classes):
        row, hit = np.zeros_like(cells), np.zeros_like(cells)
        row[place], hit[place, place] = 1.0, 1.0
        metrics[f"recall {name}"] = ratio(hit, row, cells, noise, most=1.0)
    return metrics


def _errors(
    cells: Floats, noise: float, target: RegressionTarget
) -> tuple[dict[str, Estimate], tuple[BinResult, ...]]:
    """Mean absolute error in the target's unit, and the share of records within each bin's end.

    A bin says between which ends an error lies, not where: the interval of the mean goes from the
    lower ends' lowest to the upper ends' highest.
    """
    edges = error_edges(cells.shape[1])
    everything = np.ones_like(cells)
    span = target.upper - target.lower

    def mean(errors: Floats) -> Estimate:
        return ratio(errors[None, :] * span, everything, cells, noise, most=span)

    low, middle, high = mean(edges[:-1]), mean((edges[:-1] + edges[1:]) / 2), mean(edges[1:])
    found = []
    for place in range(cells.shape[1]):
        within = np.zeros_like(cells)
        within[:, : place + 1] = 1.0
        found.append(
            BinResult(
                lower=float(edges[place]) * span,
                upper=float(edges[place + 1]) * span,
                records=count(cells[:, place], noise),
                share=ratio(within, everything, cells, noise, most=1.0),
            )
        )
    metrics = {"mean_absolute_error": Estimate(middle.value, low.low, high.high)}
    return metrics, tuple(found)
