"""What a site keeps of a job for its own people: the held-out rows' choice, scores, results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from federated.files import read_optional, write_durably, write_once
from federated.wire.base import canonical
from federated.wire.round import Release


class JobResults:
    """Part of a job's folder. Curve and comparison never leave it."""

    path: Path

    # What the job holds out, fixed by its first look at the rows: later edits of the policy must
    # not move a row that was trained on among those that score the model.

    def held_out(self, now: float | Path | None) -> float | Path | None:
        """What was held out when the job first asked, which is ``now`` if it never did."""
        kept = json.dumps({"held_out": str(now) if isinstance(now, Path) else now}).encode()
        value = json.loads(write_once(self.path / "held_out.json", kept))["held_out"]
        return Path(value) if isinstance(value, str) else value

    @property
    def holds_out(self) -> bool:
        """Whether the job's rows were split, or have others held out beside them."""
        content = read_optional(self.path / "held_out.json")
        return content is not None and json.loads(content)["held_out"] is not None

    # The counts of a joint evaluation that this site recomputed itself.

    def counts(self) -> dict[str, Any] | None:
        """The release, the cohort's ``members`` and ``minimum_cohort``, once they are verified."""
        found: dict[str, Any] | None = self._read("counts")
        return found

    def counts_keep(
        self, release: Release, members: tuple[str, ...], *, minimum_cohort: int
    ) -> None:
        kept = {
            "release": release.dump(),
            "members": list(members),
            "minimum_cohort": minimum_cohort,
        }
        write_once(self.path / "counts.json", canonical(kept))

    # The held-out curve, by round.

    def curve(self) -> list[dict[str, Any]]:
        points: list[dict[str, Any]] = self._read("curve") or []
        return points

    def curve_add(self, point: dict[str, Any]) -> None:
        points = [p for p in self.curve() if p["round"] != point["round"]]
        ordered = sorted([*points, point], key=lambda p: int(p["round"]))
        write_durably(self.path / "curve.json", canonical(ordered))

    # The joint model beside the one of training alone.

    def comparison(self) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self._read("comparison")
        return found

    def comparison_keep(self, comparison: dict[str, Any]) -> None:
        write_durably(self.path / "comparison.json", canonical(comparison))

    def _read(self, name: str) -> Any:
        content = read_optional(self.path / f"{name}.json")
        return None if content is None else json.loads(content)
