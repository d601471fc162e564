"""Renders a model card's JSON values as one HTML file: templates/card.html with its style inside.

The file needs nothing else: no script, no link, no request. Names and texts in it come from other
organizations, so the template escapes every value (autoescape), and `shown` replaces control
characters and marks that reorder other text.
"""

from __future__ import annotations

import base64
import hashlib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from federated.card.words import METRICS

COLUMNS_SHOWN = 200
ROUNDS_SHOWN = 50
#: Where training began, by the card's ``seeds.initial``.
BEGUN = {
    "zeros": "all parameters zero",
    "drawn": "drawn from the public seed that the model's digest is",
    "brought": "weights that the proposer brought",
}

_CSS = files("federated.card") / "css"
STYLE = "".join((_CSS / name).read_text("utf-8") for name in ("tokens.css", "card.css"))
_DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{_DIGEST}'; base-uri 'none'; form-action 'none'"
"""The content security policy of a card: its one style, named by digest, and nothing else."""


def card_page(card: Mapping[str, Any]) -> str:
    """The card as HTML. Long lists are cut and say so: all of it is in the JSON."""
    return _ENVIRONMENT.get_template("card.html").render(
        card=card,
        title=f"{card['task']['target']['name']} from {card['task']['dataset']}",
        # The coordinator's own card has no verification, log or anchor.
        verification=card.get("verification"),
        logs=card.get("logs", ()),
        anchors=card.get("anchors", ()),
        policy=POLICY,
        style=Markup(STYLE),  # noqa: S704 - a file of this package
        begun=BEGUN,
        columns_shown=COLUMNS_SHOWN,
        rounds_shown=ROUNDS_SHOWN,
    )


def shown(value: Any) -> Any:
    """A text without controls and marks that reorder others (U+FFFD instead); else the value."""
    if not isinstance(value, str):
        return value
    return type(value)(
        "".join(
            "\ufffd" if unicodedata.category(c) in ("Cc", "Cf", "Cs") and c not in "\n\t" else c
            for c in value
        )
    )


def _epsilon(epsilon: float | None, delta: float | None) -> str:
    if epsilon is None or delta is None:
        return "no finite epsilon"
    return f"epsilon {epsilon:.4g} at delta {delta:g}"


def _estimate(value: Mapping[str, Any], digits: int) -> str:
    return "undetermined" if value["value"] is None else f"{value['value']:.{digits}f}"


def _interval(value: Mapping[str, Any], digits: int) -> str:
    return f"{value['low']:.{digits}f} to {value['high']:.{digits}f}"


def _settings(values: Mapping[str, Any], *without: str) -> str:
    """``name value`` of each setting but its kind and those named."""
    return ", ".join(
        f"{name.replace('_', ' ')} {_plain(value)}"
        for name, value in values.items()
        if name not in ("kind", *without)
    )


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return " x ".join(map(_plain, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _outcome(target: Mapping[str, Any]) -> str:
    """What the model's output means."""
    if target["kind"] == "binary":
        return f"positive above {target['positive_above']:g}"
    if target["kind"] == "multiclass":
        return f"one of {', '.join(target['classes'])}"
    return f"a number from {target['lower']:g} to {target['upper']:g}"


def _allowed(feature: Mapping[str, Any]) -> str:
    """The values that the data dictionary allows in a column."""
    if feature["kind"] == "categorical":
        return ", ".join(feature["categories"])
    missing = ", ".join(f"{value:g}" for value in feature["missing_values"])
    bounds = f"{feature['lower']:g} to {feature['upper']:g}"
    return f"{bounds}; missing: {missing}" if missing else bounds


def _cut(rows: Sequence[object], most: int, which: str = "first") -> str:
    """What a caption adds for a list of which a part is left out."""
    left = f"; the {which} {most} of {len(rows)}, all are in the JSON"
    return left if len(rows) > most else ""


def _seeds(rounds: Iterable[Mapping[str, Any]]) -> str:
    kinds = {
        "mask": "one of the masks' public vector a round",
        "minibatches": "one of the order of rows a round and organization",
    }
    rounds = list(rounds)
    return "; ".join(words for name, words in kinds.items() if any(one[name] for one in rounds))


_ENVIRONMENT = Environment(
    loader=PackageLoader("federated.card"),
    autoescape=True,
    finalize=shown,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
_ENVIRONMENT.filters |= {
    "epsilon": _epsilon,
    "estimate": _estimate,
    "interval": _interval,
    "settings": _settings,
    "outcome": _outcome,
    "allowed": _allowed,
    "cut": _cut,
    "seeds": _seeds,
    "versions": lambda given: ", ".join(f"{name} {version}" for name, version in given.items()),
    "grouped": "{:,}".format,
    "metric": lambda name: METRICS.get(name, name.replace("_", " ")),
}
