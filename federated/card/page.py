"""A model card as one HTML file (federated.card.document), from the card's JSON values."""

from __future__ import annotations

from typing import Any

from federated.card.document import (
    Markup,
    bullets,
    cut,
    document,
    element,
    facts,
    foreign,
    table,
)
from federated.card.document import section as part
from federated.card.evidence import reproducibility_part, verify_part
from federated.command.show import METRICS

COLUMNS_SHOWN = 200

Card = dict[str, Any]


def card_page(card: Card) -> str:
    """The card as HTML. Lists that are long are cut, and say so: all of it is in the JSON."""
    target = card["task"]["target"]["name"]
    return document(
        f"{target} from {card['task']['dataset']}",
        kind="Model card",
        lede=[element("p", foreign(card["task"]["summary"])), _standing(card)],
        body=[
            _glance(card),
            *_performance(card),
            _privacy(card),
            _limits(card),
            _data(card),
            _participants(card),
            _training(card),
            reproducibility_part(card),
            verify_part(card),
        ],
        footer=element(
            "p",
            f"Format {card['format']}. Made from the job's record alone; names and texts are those "
            "that the participating organizations gave.",
        ),
    )


def _standing(card: Card) -> Markup:
    """Whether what stands here was verified, and by whom it has to be where it was not."""
    verified = card.get("verification")
    if verified is None:
        return element(
            "p",
            element("strong", "Not verified: ", class_="warn"),
            "this card says what the coordinator's record says. Make it anew from the job's "
            "bundle, which is verified first: see the end.",
        )
    skipped = len(verified["skipped"])
    left = f"; {skipped} could not be made, they are listed at the end" if skipped else ""
    return element(
        "p",
        element("strong", "Verified ", class_="good"),
        f"from the job's bundle when this card was made: {verified['held']} checks hold{left}.",
    )


def _glance(card: Card) -> Markup:
    model, training, spent = card["model"], card["training"], card["privacy"]["spent"]
    purpose = card["task"]["purpose"]
    return part(
        "At a glance",
        facts(
            [
                ("Purpose", foreign(purpose) if purpose else "not stated by the proposer"),
                ("Consortium", foreign(card["consortium"])),
                ("Proposed by", [foreign(card["proposer"]), f", {card['proposed_at']}"]),
                ("Organizations", str(len(card["participants"]))),
                ("Rounds released", f"{training['released']} of {training['rounds']}"),
                ("Model", f"{_grouped(model['parameters'])} parameters: {_shape(card)}"),
                ("Privacy spent", _epsilon(spent["coordinator"], card["privacy"]["delta"])),
                ("Model state", element("code", model["state"])),
                ("Job", element("code", card["job_id"])),
            ]
        ),
    )


def _shape(card: Card) -> str:
    kinds = [layer["kind"] for layer in card["model"]["layers"]]
    return f"{card['model']['inputs']} inputs, {', '.join(kinds)}, {_count(card, 'outputs')}"


def _count(card: Card, name: str) -> str:
    number = card["model"][name]
    return f"{number} {name if number != 1 else name[:-1]}"


def _performance(card: Card) -> list[Markup]:
    if not card["evaluations"]:
        return [
            part(
                "Performance",
                element("p", "No joint evaluation of this model is in the record."),
                element(
                    "p",
                    "Each site knows the model's score on its own held-out rows, and nobody else "
                    "does.",
                    class_="note",
                ),
            )
        ]
    return [_evaluation(one) for one in card["evaluations"]]


def _evaluation(one: dict[str, Any]) -> Markup:
    rows = [
        *(
            (METRICS.get(name, name.replace("_", " ")), value, 3)
            for name, value in one["metrics"].items()
        ),
        *((f"records, {name}", value, 0) for name, value in one["classes"].items()),
    ]
    sites = f"{len(one['members'])} organizations: {', '.join(one['members'])}"
    bins = one["bins"]
    binary = one["kind"] == "binary"
    return part(
        f"Performance after round {one['round']}",
        table(
            ["Metric", "Estimate", "95% interval"],
            [
                (foreign(name), _estimate(value, digits), _interval(value, digits))
                for name, value, digits in rows
            ],
            caption=f"Joint evaluation on the held-out records of {sites}",
            numbers=2,
        ),
        table(
            [
                "Score" if binary else "Error",
                "Records",
                "Positive" if binary else "Within",
                "95% interval",
            ],
            [
                (
                    f"{row['lower']:.3g}\u2013{row['upper']:.3g}",
                    _estimate(row["records"], 0),
                    _estimate(row["share"], 3),
                    _interval(row["share"], 3),
                )
                for row in bins
            ],
            caption="Calibration: positives among the records of a score"
            if binary
            else "Errors: share of records with at most that absolute error",
            numbers=3,
        )
        if bins
        else None,
        element(
            "p",
            f"Intervals cover the privacy noise (standard deviation {one['noise']:.1f} records in "
            "a cell), not how well these records represent others. The evaluation cost "
            f"{_epsilon(one['epsilon']['coordinator'], one['delta'])} of its own. Job ",
            element("code", one["job_id"]),
            ".",
            class_="note",
        ),
    )


def _privacy(card: Card) -> Markup:
    privacy = card["privacy"]
    delta, spent = privacy["delta"], privacy["spent"]
    reason = privacy["high_epsilon_reason"]
    noise = (
        f"discrete Gaussian, standard deviation {privacy['noise_sigma']:g} grid units a site"
        if privacy["mechanism"] == "gaussian"
        else "none"
    )
    charged = privacy["charged_attempts"]
    return part(
        "Privacy",
        element("p", privacy["protects"]),
        facts(
            [
                ("Unit", f"one {privacy['unit']}"),
                (
                    f"Spent, {charged} charged attempt{'' if charged == 1 else 's'}",
                    f"{_epsilon(spent['coordinator'], delta)} against the coordinator with "
                    f"{privacy['colluding']} colluding",
                ),
                ("Against all other sites", _epsilon(spent["insiders"], delta)),
                ("Approved", _epsilon(privacy["epsilon"], delta)),
                (
                    "Reason for more than 10",
                    foreign(reason) if reason else None,
                ),
                ("Noise", noise),
                (
                    "Clipping",
                    f"L2 norm {privacy['clipping_norm']:g}, rounded to {privacy['units']} steps",
                ),
                ("Honest noise counted", f"{privacy['honest']} sites' in the smallest cohort"),
            ]
        ),
        [
            element("p", element("strong", "Warning: ", class_="warn"), foreign(warning))
            for warning in privacy["warnings"]
        ],
        element("h3", "Not protected"),
        bullets(privacy["does_not_protect"]),
    )


def _limits(card: Card) -> Markup:
    return part("Limits", bullets(card["limits"]))


def _data(card: Card) -> Markup:
    data, target = card["data"], card["task"]["target"]
    features = data["features"]
    return part(
        "Data",
        facts(
            [
                ("Data set", foreign(data["dataset"])),
                ("Target", foreign(f"{target['name']}: {_target(target)}")),
                ("Nominal records", f"{_grouped(data['nominal_records'])} in all sites together"),
                ("At most", f"{_grouped(data['max_records'])} records of one site"),
            ]
        ),
        table(
            ["Column", "Kind", "Allowed values"],
            [
                (foreign(one["name"]), one["kind"], foreign(_allowed(one)))
                for one in features[:COLUMNS_SHOWN]
            ],
            caption=cut("Data dictionary", features, COLUMNS_SHOWN),
        ),
    )


def _target(target: dict[str, Any]) -> str:
    if target["kind"] == "binary":
        return f"positive above {target['positive_above']:g}"
    if target["kind"] == "multiclass":
        return f"one of {', '.join(target['classes'])}"
    return f"a number from {target['lower']:g} to {target['upper']:g}"


def _allowed(feature: dict[str, Any]) -> str:
    if feature["kind"] == "categorical":
        return ", ".join(feature["categories"])
    missing = ", ".join(f"{value:g}" for value in feature["missing_values"])
    return f"{feature['lower']:g} to {feature['upper']:g}" + (
        f"; missing: {missing}" if missing else ""
    )


def _participants(card: Card) -> Markup:
    key = card["decryption"]
    return part(
        "Participants",
        table(
            ["Organization", "Site's key", "Trustee", "Rounds"],
            [
                (
                    foreign(one["organization"]),
                    element("code", (one["site_key"] or "")[:32]),
                    "yes" if one["trustee"] else "no",
                    str(one["rounds"]),
                )
                for one in card["participants"]
            ],
            caption="Who approved the job, with the pinned key's fingerprint (its first half)",
            numbers=1,
        ),
        element(
            "p",
            f"Sums are decrypted by any {key['threshold']} of {key['trustees']} trustees, of whom "
            f"{key['max_colluding']} may collude (key epoch {key['key_epoch']}); a round is summed "
            f"from {card['training']['minimum_cohort']} contributions up. "
            f"{card['statements']['verdicts']} verdicts of sites and "
            f"{card['statements']['refusals']} refusals are in the record.",
            class_="note",
        ),
    )


def _training(card: Card) -> Markup:
    training = card["training"]
    strategy = dict(training["strategy"])
    optimizer = dict(strategy.pop("server_optimizer"))
    kind, server = strategy.pop("kind"), optimizer.pop("kind")
    return part(
        "Training",
        element("p", training["summary"]),
        facts(
            [
                ("Strategy", f"{kind}: {_settings(strategy)}"),
                ("Server optimizer", f"{server}: {_settings(optimizer)}"),
                ("Aggregation", f"{training['aggregation']}, divided by {training['denominator']}"),
                ("Abandoned attempts", str(training["abandoned"])),
            ]
        ),
        table(
            ["Layer", "Settings"],
            [
                (layer["kind"], _settings({k: v for k, v in layer.items() if k != "kind"}))
                for layer in card["model"]["layers"]
            ],
            caption=f"Layers, {_grouped(card['model']['parameters'])} parameters",
        ),
    )


def _settings(values: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {_plain(one)}" for name, one in values.items())


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return " x ".join(map(_plain, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _grouped(number: int) -> str:
    return f"{number:,}"


def _epsilon(epsilon: float | None, delta: float | None) -> str:
    if epsilon is None or delta is None:
        return "no finite epsilon"
    return f"epsilon {epsilon:.4g} at delta {delta:g}"


def _estimate(value: dict[str, Any], digits: int) -> str:
    return "undetermined" if value["value"] is None else f"{value['value']:.{digits}f}"


def _interval(value: dict[str, Any], digits: int) -> str:
    return f"{value['low']:.{digits}f} to {value['high']:.{digits}f}"
