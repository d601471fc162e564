"""What a model card says in sentences, from a job's spec alone."""

from __future__ import annotations

from typing import Any

from federated.wire.data import BinaryTarget, MulticlassTarget
from federated.wire.job import FedAvg, FedProx, JobSpec
from federated.wire.key import KeyEpoch


def task_words(spec: JobSpec) -> str:
    """What the model predicts, and of what: the use that its data dictionary defines."""
    target = spec.data.target
    columns = len(spec.data.features)
    of = f"from {columns} column{'' if columns == 1 else 's'} of {spec.data.dataset}"
    if isinstance(target, BinaryTarget):
        return f"Tells whether {target.name} is above {target.positive_above:g}, {of}."
    if isinstance(target, MulticlassTarget):
        return f"Tells which of {len(target.classes)} classes {target.name} is, {of}."
    return f"Estimates {target.name}, between {target.lower:g} and {target.upper:g}, {of}."


def round_words(spec: JobSpec) -> str:
    """What a site contributes to a round."""
    strategy = spec.training
    if isinstance(strategy, FedAvg | FedProx):
        near = (
            f", held near the round's model (mu {strategy.mu:g})"
            if strategy.kind == ("fedprox")
            else ""
        )
        passes = "pass" if strategy.local_epochs == 1 else "passes"
        return (
            f"Each site trains for {strategy.local_epochs} {passes} over its rows, in batches of "
            f"{strategy.batch_size}{near}, and contributes how far its model moved."
        )
    return "Each site contributes one gradient over all its rows."


def privacy_words(spec: JobSpec) -> dict[str, Any]:
    """``protects``: the guarantee in words; ``does_not_protect``: what is outside of it."""
    privacy = spec.privacy
    if privacy.mechanism == "none":
        return {
            "protects": "No noise was added: there is no guarantee of differential privacy. Such "
            "jobs are for synthetic data alone.",
            "does_not_protect": ["Anything that the sums or the model tell about single records."],
        }
    organization = privacy.unit == "organization"
    unit = (
        "all that one organization contributed in any round"
        if organization
        else "any one record of any one site"
    )
    sites = "1 site" if privacy.colluding == 1 else f"{privacy.colluding} sites"
    return {
        "protects": (
            f"Whether {unit} is in the training or blanked out changes the odds of anything that "
            f"the coordinator with {sites} colluding can see by a factor of at most e^epsilon, but "
            "for a chance of delta; epsilon is counted over all charged attempts together."
        ),
        "does_not_protect": [
            *(
                []
                if organization
                else [
                    "What the records of one person say together: with k records, rho is k² times "
                    "as large.",
                    "What is true of a whole organization's records.",
                ]
            ),
            "Against all other sites together only one site's noise counts: that epsilon is given "
            "beside the other.",
            "Which organizations took part, and the public numbers of the spec.",
            "What can be learnt about people from the population that they belong to.",
        ],
    }


def limits(epoch: KeyEpoch) -> list[str]:
    """What nothing in a bundle shows, as every reader of a card should know it."""
    return [
        "That the sites' data were true, of one meaning, or like those that the model will meet, "
        "nobody has proven.",
        "A site can send any vector up to the wrap-around range: nothing proves that its update "
        "was clipped (poisoning), or that its noise was sampled honestly.",
        "Metrics are only those of joint evaluations listed here. Their intervals cover the "
        "privacy noise, not how well the held-out records represent others; a site counts its own "
        "rows.",
        "Performance by groups of people was not measured, except by class of the target where an "
        "evaluation gives it.",
        "Inputs outside the data dictionary's bounds are clamped, missing and unlisted values are "
        "encoded as it says: outside of its dictionary the model's outputs mean nothing.",
        f"Any {epoch.threshold} of the {len(epoch.trustees)} trustees together could open what is "
        "still stored of the contributions, outside of this protocol.",
    ]
