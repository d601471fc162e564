"""Strategy of a joint evaluation: sites count how a released model does, and train none."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from federated.wire.base import Digest, Identifier, Message
from federated.wire.data import Target

MOST_BINS = 8
"""Of scores or errors: every further bin adds the noise of a cell to what is summed over bins."""
MOST_CLASSES = 64


class Evaluation(Message):
    """Count the held-out records of each site by class and bin, once.

    The model is the one that ``job_id`` (with this ``spec``) released in ``round``; its server
    state is the evaluation's ``initial_state``, and stays as it is. ``bins`` are equal parts of
    the score for a binary target, doubling errors for a regression target, and for a multiclass
    target the predicted class, so that they are as many as there are classes.
    """

    kind: Literal["evaluation"] = "evaluation"
    job_id: Identifier
    spec: Digest
    round: Annotated[int, Field(ge=1, le=10_000)]
    bins: Annotated[int, Field(ge=2, le=MOST_CLASSES)]

    @property
    def rounds(self) -> int:
        """One: counts are released once."""
        return 1

    def check(self, target: Target) -> None:
        """Raises ValueError for a number of bins that the target does not have."""
        if target.kind == "multiclass":
            if self.bins != target.outputs:
                raise ValueError(
                    f"strategy.bins: {self.bins}; a multiclass target has one a class: "
                    f"{target.outputs}"
                )
            return
        if self.bins > MOST_BINS:
            raise ValueError(f"strategy.bins: {self.bins}; at most {MOST_BINS} are allowed")
        if target.kind == "binary" and self.bins % 2:
            raise ValueError(
                f"strategy.bins: {self.bins}; an even number is needed, so that a bin ends at the "
                "threshold 0.5"
            )

    def classes(self, target: Target) -> int:
        """Rows of the table: true classes, or one for a number."""
        return {"binary": 2, "multiclass": target.outputs, "regression": 1}[target.kind]
