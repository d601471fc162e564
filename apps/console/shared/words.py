"""Names that several pages use."""

from __future__ import annotations

from federated.wire.job import Conv2dLayer, Evaluation, JobSpec, LinearLayer

#: The fields of an allotment in words.
TERMS = {
    "epsilon": "ε",
    "delta": "δ",
    "period": "period",
    "max_queries_per_tenant": "jobs of a proposer",
}


def job_title(spec: JobSpec) -> str:
    what = _model_name(spec)
    if isinstance(spec.strategy, Evaluation):
        what = f"joint evaluation of {what}"
    return f"{spec.data.dataset}, {what}"


def _model_name(spec: JobSpec) -> str:
    layers = spec.model.layers
    widths = [layer.out_features for layer in layers if isinstance(layer, LinearLayer)]
    channels = [layer.out_channels for layer in layers if isinstance(layer, Conv2dLayer)]
    if channels:
        return f"CNN {'-'.join(map(str, [*channels, *widths[:-1]]))}"
    if len(widths) == 1:
        kinds = {"binary": "logistic", "multiclass": "softmax", "regression": "linear"}
        return f"{kinds[spec.data.target.kind]} regression"
    return f"MLP {'-'.join(map(str, widths[:-1]))}"
