"""Public facts of a data set: columns with bounds, the target, denominators."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from federated.wire.base import Message, Name

# From 2^53 on a whole float is written as an integer that JSON cannot carry back.
_LARGEST = 2.0**53 - 1
Finite = Annotated[float, Field(strict=False, ge=-_LARGEST, le=_LARGEST)]
Positive = Annotated[float, Field(strict=False, gt=0, le=_LARGEST)]


class NumericFeature(Message):
    """One column scaled from its public bounds to [-1, 1].

    Values out of bounds are clamped. Missing values (null, or listed in ``missing_values``)
    become the middle of the bounds, that is 0 after scaling.
    """

    kind: Literal["numeric"] = "numeric"
    name: Name
    lower: Finite
    upper: Finite
    missing_values: tuple[Finite, ...] = ()

    @model_validator(mode="after")
    def _ordered(self) -> NumericFeature:
        if not self.lower < self.upper:
            raise ValueError(f"bounds of {self.name}: lower must be below upper")
        return self

    @property
    def width(self) -> int:
        return 1


class CategoricalFeature(Message):
    """One column as an indicator a public category; a missing or unlisted value is all zeros."""

    kind: Literal["categorical"] = "categorical"
    name: Name
    categories: Annotated[tuple[str, ...], Field(min_length=2, max_length=256)]

    @model_validator(mode="after")
    def _distinct(self) -> CategoricalFeature:
        if len(set(self.categories)) != len(self.categories):
            raise ValueError(f"categories of {self.name} repeat")
        return self

    @property
    def width(self) -> int:
        return len(self.categories)


Feature = Annotated[NumericFeature | CategoricalFeature, Field(discriminator="kind")]


class BinaryTarget(Message):
    """Two classes: positive where the column exceeds ``positive_above``.

    A row whose target is missing is left out at the site, before anything is computed; so for
    every kind of target.
    """

    kind: Literal["binary"] = "binary"
    name: Name
    positive_above: Finite = 0.0

    @property
    def outputs(self) -> int:
        """Outputs of a model for this target: one logit."""
        return 1


class MulticlassTarget(Message):
    """Exclusive classes, listed in public and compared as categories are.

    A row of a class that is not listed counts as one without a target.
    """

    kind: Literal["multiclass"] = "multiclass"
    name: Name
    classes: Annotated[tuple[str, ...], Field(min_length=2, max_length=256)]

    @model_validator(mode="after")
    def _distinct(self) -> MulticlassTarget:
        if len(set(self.classes)) != len(self.classes):
            raise ValueError(f"classes of {self.name} repeat")
        return self

    @property
    def outputs(self) -> int:
        """One logit a class, in their order."""
        return len(self.classes)


class RegressionTarget(Message):
    """A number, clamped to its public bounds and scaled to [-1, 1] as numeric features are.

    The loss is half the squared error of the scaled target, or with ``huber_delta`` the Huber loss
    (Huber 1964), which is linear beyond that distance (in scaled units).
    """

    kind: Literal["regression"] = "regression"
    name: Name
    lower: Finite
    upper: Finite
    huber_delta: Positive | None = None

    @model_validator(mode="after")
    def _ordered(self) -> RegressionTarget:
        if not self.lower < self.upper:
            raise ValueError(f"bounds of {self.name}: lower must be below upper")
        return self

    @property
    def outputs(self) -> int:
        """One output: the scaled target."""
        return 1


Target = Annotated[BinaryTarget | MulticlassTarget | RegressionTarget, Field(discriminator="kind")]


class DataDictionary(Message):
    """Public facts of a dataset that every site holds in the same form.

    ``nominal_records`` is the public denominator of the whole consortium; ``max_records`` bounds
    the records of one site (a site with more uses its first ``max_records``).
    """

    TAG: ClassVar[str] = "data-dictionary"

    dataset: Name
    features: Annotated[tuple[Feature, ...], Field(min_length=1, max_length=4096)]
    target: Target
    nominal_records: Annotated[int, Field(ge=1, le=10**9)]
    max_records: Annotated[int, Field(ge=1, le=10**8)] = 20_000

    @model_validator(mode="after")
    def _columns(self) -> DataDictionary:
        names = [feature.name for feature in self.features]
        if len(set(names)) != len(names):
            raise ValueError("features: a column is listed twice")
        if self.target.name in names:
            raise ValueError(f"features: the target {self.target.name} is among them")
        return self

    @property
    def width(self) -> int:
        """Inputs of a model over these features."""
        return sum(feature.width for feature in self.features)
