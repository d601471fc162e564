"""From what a scientist calls with to a data dictionary and a signed job spec.

Features with public bounds and the target never come from the data: they come from the arguments,
from the ``.pt`` file's ``spec``, or from a dictionary that is registered in the portal.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from federated.api.coordinator import CoordinatorAPI
from federated.errors import InvalidInput, NotFound
from federated.privacy.config import PrivacyConfig
from federated.protocol.keys import public_key_of
from federated.protocol.propose import aggregation_chosen, spec_make
from federated.wire.job import DataDictionary, JobSpec, ModelSpec, Participant, Strategy
from federated.wire.key import KeyEpoch, Roster

if TYPE_CHECKING:
    from federated.training.model import LoadedModel

FIELDS = ("dataset", "features", "target", "nominal_records", "max_records")
HOW = (
    "no features with public bounds are given for {what}; give one of: "
    "features={{'age': (20, 100), 'sex': ['Female', 'Male']}} with target='column', dataset= and "
    'nominal_records=; a .pt file whose "spec" holds them; dictionary= with a DataDictionary or '
    "the name of one registered in the portal"
)
Features = Mapping[str, Sequence[float] | Sequence[str]] | Sequence[Any]


@dataclass(frozen=True)
class Asked:
    """What ``submit_training`` was called with about the data."""

    features: Features | None = None
    target: Any = None
    dataset: str | None = None
    nominal_records: int | None = None
    max_records: int | None = None
    dictionary: Any = None

    def given(self) -> dict[str, Any]:
        """The dictionary fields among the arguments, as plain values."""
        values = {name: getattr(self, name) for name in FIELDS}
        values["features"] = _features(self.features)
        values["target"] = _target(self.target)
        return {name: value for name, value in values.items() if value is not None}


def dictionary_choose(
    asked: Asked, options: Mapping[str, Any], api: CoordinatorAPI, *, name: str | None
) -> DataDictionary:
    """The job's data dictionary; ``options`` is the ``.pt`` file's spec, ``name`` the data's.

    Raises InvalidInput that says how to give one where nothing does.
    """
    if isinstance(asked.dictionary, DataDictionary):
        return asked.dictionary
    if isinstance(asked.dictionary, Mapping):
        return DataDictionary.parse(dict(asked.dictionary))
    if isinstance(asked.dictionary, str):
        return api.dictionary(asked.dictionary)
    if asked.dictionary is not None:
        raise InvalidInput("dictionary: must be a DataDictionary, its fields or a registered name")
    stated = {key: options[key] for key in FIELDS if options.get(key) is not None}
    if "features" in stated:
        stated["features"] = _features(stated["features"])
    if "target" in stated:
        stated["target"] = _target(stated["target"])
    merged = {**stated, **asked.given()}
    if "features" not in merged:
        return _registered(merged, api, name)
    merged.setdefault("dataset", name)
    missing = [key for key in ("target", "dataset", "nominal_records") if not merged.get(key)]
    if missing:
        raise InvalidInput(f"features are given, but not {', '.join(missing)}: give {missing[0]}=")
    return DataDictionary.parse(_plain(merged))


def privacy_choose(
    privacy: PrivacyConfig | None, options: Mapping[str, Any], defaults: Mapping[str, Any]
) -> PrivacyConfig:
    """The target: the argument's, else the ``.pt`` spec's over the coordinator's defaults."""
    if privacy is not None:
        return privacy
    own = options.get("privacy") or {}
    known = {field.name for field in fields(PrivacyConfig)}
    if not isinstance(own, Mapping) or not set(own) <= known:
        raise InvalidInput(f'the .pt file\'s spec: "privacy" may hold {", ".join(sorted(known))}')
    usual = {
        key: defaults[key]
        for key in ("epsilon", "delta", "mechanism", "allow_no_noise")
        if defaults.get(key) is not None
    }
    return PrivacyConfig(**{**usual, **own})


def participants_choose(
    wanted: Sequence[str] | None, roster: Roster, epoch: KeyEpoch, *, own: str
) -> list[Participant]:
    """The job's participants with their pinned keys; the whole consortium by default.

    Raises InvalidInput for an organization that has no site, or whose key is not the epoch's.
    """
    keys = {site.organization: site.public_key for site in roster.sites}
    names = sorted({*wanted, own} if wanted is not None else keys)
    unknown = [name for name in names if name not in keys]
    if unknown:
        raise InvalidInput(
            f"participants: {', '.join(unknown)} has no admitted site; "
            f"there are {', '.join(sorted(keys))}"
        )
    for name in names:
        trustee = epoch.trustee(name)
        if trustee is not None and trustee.public_key != keys[name]:
            raise InvalidInput(
                f"participants: the roster's key of {name} is not the one in the key epoch; a new "
                "ceremony is needed after a site has joined again"
            )
    return [Participant(organization=name, public_key=keys[name]) for name in names]


def spec_propose(
    *,
    loaded: LoadedModel,
    data: DataDictionary,
    strategy: Strategy,
    participants: list[Participant],
    privacy: PrivacyConfig,
    epoch: KeyEpoch,
    proposer: str,
    initial_state: str,
    training: Mapping[str, Any],
) -> JobSpec:
    """The spec of a new job. ``training`` holds the options that spec_make takes by name.

    Without ``aggregation`` among them the cheaper one is taken (aggregation_chosen).
    """
    _check_fits(loaded.model, data)
    spec = spec_make(
        job_id=str(uuid.uuid4()),
        consortium=epoch.consortium,
        proposer=proposer,
        proposed_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        data=data,
        model=loaded.model,
        initial_state=initial_state,
        strategy=strategy,
        participants=participants,
        privacy=privacy,
        key_epoch=epoch.digest(),
        **{key: value for key, value in training.items() if value is not None},
    )
    return spec if training.get("aggregation") else aggregation_chosen(spec, public_key_of(epoch))


def _registered(merged: dict[str, Any], api: CoordinatorAPI, name: str | None) -> DataDictionary:
    dataset = merged.get("dataset") or name
    if dataset is None:
        raise InvalidInput(HOW.format(what="the data"))
    try:
        found = api.dictionary(str(dataset))
    except NotFound as error:
        raise InvalidInput(HOW.format(what=f"dataset {dataset}")) from error
    differs = [key for key in merged if merged[key] != found.dump()[key] and key != "dataset"]
    if differs:
        raise InvalidInput(
            f"dataset {dataset} is registered with another {differs[0]} than the one given"
        )
    return found


def _features(features: Any) -> list[dict[str, Any]] | None:
    """Feature messages, their fields, or a mapping of column to (lower, upper) or categories."""
    if features is None:
        return None
    if isinstance(features, Mapping):
        return [_feature(str(name), value) for name, value in features.items()]
    if isinstance(features, str) or not isinstance(features, Sequence):
        raise InvalidInput("features: must be a mapping of column to bounds, or a list of features")
    plain = []
    for position, feature in enumerate(features):
        if hasattr(feature, "dump"):
            plain.append(feature.dump())
        elif isinstance(feature, Mapping):
            plain.append(dict(feature))
        else:
            raise InvalidInput(
                f"features.{position}: {feature!r} has no public bounds; use "
                "{'name': column, 'lower': a, 'upper': b} or {'name': column, 'categories': [...]}"
            )
    for entry in plain:
        entry.setdefault("kind", "categorical" if "categories" in entry else "numeric")
    return plain


def _feature(name: str, value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        kind = "categorical" if "categories" in value else "numeric"
        return {"kind": kind, "name": name, **value}
    if isinstance(value, Sequence) and not isinstance(value, str):
        if value and all(isinstance(item, str) for item in value):
            return {"kind": "categorical", "name": name, "categories": list(value)}
        if len(value) == 2 and all(isinstance(item, int | float) for item in value):
            return {"kind": "numeric", "name": name, "lower": value[0], "upper": value[1]}
    raise InvalidInput(
        f"features: {name}: give (lower, upper) for a number, or a list of text categories"
    )


def _target(target: Any) -> dict[str, Any] | None:
    if target is None:
        return None
    if isinstance(target, str):
        return {"kind": "binary", "name": target}
    if hasattr(target, "dump"):
        return dict(target.dump())
    if isinstance(target, Mapping):
        fields = {str(key): value for key, value in target.items()}
        kind = "binary"
        if "classes" in fields:
            kind = "multiclass"
        elif {"lower", "upper", "huber_delta"} & set(fields):
            kind = "regression"
        return {"kind": kind, **fields}
    raise InvalidInput(
        "target: must be a column's name (positive above 0), {'name': ..., 'positive_above': ...}, "
        "{'name': ..., 'classes': [...]} or {'name': ..., 'lower': ..., 'upper': ...}"
    )


def _plain(values: Any) -> Any:
    """Tuples as lists and numpy scalars as numbers, so that JSON takes them."""
    if isinstance(values, Mapping):
        return {str(key): _plain(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [_plain(value) for value in values]
    return values.item() if hasattr(values, "item") and not isinstance(values, str) else values


def _check_fits(model: ModelSpec, data: DataDictionary) -> None:
    if model.outputs != data.target.outputs:
        needs = {"binary": "one logit", "regression": "one number", "multiclass": "one a class"}
        raise InvalidInput(
            f"the model has {model.outputs} outputs, the {data.target.kind} target "
            f"{data.target.name} takes {data.target.outputs} ({needs[data.target.kind]})"
        )
    if model.inputs != data.width:
        widths = ", ".join(f"{feature.name} {feature.width}" for feature in data.features)
        raise InvalidInput(
            f"the model takes {model.inputs} inputs, the features make {data.width} ({widths})"
        )
