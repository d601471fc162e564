"""What a site keeps of one campaign, under ``campaigns/<campaign id>/`` of its folder.

::

    waiting.json                 measurements for the next run, in clear; they never leave
    specs/<digest>/              an approved spec, and the signed answer to it
    runs/<n>/                    measured.json, context, signed bytes, release.json
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from federated.errors import InvalidInput
from federated.files import read_optional, write_durably, write_once
from federated.site.signed_folder import SignedFolder
from federated.wire.base import Message, Signed
from federated.wire.campaign import (
    CampaignRelease,
    CampaignSpec,
    Measured,
    Submission,
)

M = TypeVar("M", bound=Message)
EXPIRED = "expired.json"


class Measurements(Message):
    """Measured values by metric, and when they were taken; the workload is for people here."""

    TAG = "measurements"

    values: dict[str, Measured]
    measured_at: str
    workload: str = ""


class CampaignFolder(SignedFolder):
    def __init__(self, path: Path) -> None:
        super().__init__(path)

    @property
    def campaign_id(self) -> str:
        return self.path.name

    # Specs that this site approved; nothing else is ever voted in, charged or decrypted for.

    def spec(self, digest: str) -> CampaignSpec | None:
        content = read_optional(self.path / "specs" / digest / "spec.json")
        return None if content is None else CampaignSpec.parse(content)

    def spec_keep(self, spec: CampaignSpec) -> None:
        write_once(self.path / "specs" / spec.digest() / "spec.json", spec.canonical())

    def specs(self) -> list[CampaignSpec]:
        """Every spec of this campaign that the site approved."""
        folder = self.path / "specs"
        found = sorted(folder.glob("*/spec.json")) if folder.is_dir() else []
        return [CampaignSpec.parse(path.read_bytes()) for path in found]

    def answer(self, digest: str) -> str:
        """The name that an answer to a spec is kept under."""
        return f"specs/{digest}/answer"

    # Measurements.

    def waiting(self) -> Measurements | None:
        """What will be submitted to the next run."""
        content = read_optional(self.path / "waiting.json")
        return None if content is None else Measurements.parse(content)

    def wait(self, measured: Measurements) -> None:
        """Let these wait for the next run, instead of any that waited before."""
        write_durably(self.path / "waiting.json", measured.canonical())

    def run(self, number: int) -> RunFolder:
        return RunFolder(self.path / "runs" / str(number), self)

    def runs(self) -> list[int]:
        folder = self.path / "runs"
        found = (
            [int(p.name) for p in folder.iterdir() if p.name.isdigit()] if folder.is_dir() else []
        )
        return sorted(found)


class RunFolder(SignedFolder):
    """What a site keeps of one run."""

    def __init__(self, path: Path, campaign: CampaignFolder) -> None:
        super().__init__(path)
        self.campaign = campaign

    @property
    def number(self) -> int:
        return int(self.path.name)

    def measured(self) -> Measurements | None:
        """What this site submitted to the run, in clear."""
        content = read_optional(self.path / "measured.json")
        return None if content is None else Measurements.parse(content)

    def measured_take(self) -> Measurements | None:
        """The run's measurements; those that wait become the run's, once."""
        kept = self.measured()
        waiting = self.campaign.path / "waiting.json"
        if kept is None and (content := read_optional(waiting)) is not None:
            kept = Measurements.parse(write_once(self.path / "measured.json", content))
            waiting.unlink(missing_ok=True)
        return kept

    # The submission that stands, and the one that is to replace it.

    def submission(self) -> Signed[Submission] | None:
        return self.signed(Submission, "submission")

    @property
    def expired(self) -> bool:
        """Whether this site has let the run's ciphertexts go."""
        return (self.path / EXPIRED).exists()

    def replacement(self) -> Signed[Submission] | None:
        return self.signed(Submission, "replacement")

    def replacement_keep(self, measured: Measurements, signed: Signed[Submission]) -> None:
        """Kept before it is sent; replacement_done() makes it the one that stands."""
        write_durably(self.path / "replacement-measured.json", measured.canonical())
        write_durably(self.path / "replacement.json", signed.canonical())

    def replacement_ask(self) -> None:
        """Leave it to the agent to replace the submission by the measurements that wait."""
        write_durably(self.path / "replace", b"")

    @property
    def replacement_asked(self) -> bool:
        return (self.path / "replace").exists()

    def replacement_done(self) -> None:
        """The portal took the replacement; the old one stays under its digest."""
        old, new = self.submission(), self.replacement()
        if new is None:
            return
        if old is not None and old != new:
            write_once(self.path / f"replaced-{old.digest()[:16]}.json", old.canonical())
        write_durably(self.path / "submission.json", new.canonical())
        measured = read_optional(self.path / "replacement-measured.json")
        if measured is not None:
            write_durably(self.path / "measured.json", measured)
        (self.path / "replacement.json").unlink(missing_ok=True)
        (self.path / "replace").unlink(missing_ok=True)
        (self.path / "replacement-measured.json").unlink(missing_ok=True)

    def replacement_drop(self) -> None:
        """The run closed without it: its measurements wait for the next, unless newer ones do."""
        measured = read_optional(self.path / "replacement-measured.json")
        if measured is not None and self.campaign.waiting() is None:
            write_durably(self.campaign.path / "waiting.json", measured)
        for name in ("replacement.json", "replace", "replacement-measured.json"):
            (self.path / name).unlink(missing_ok=True)

    # The release that this site verified.

    def release(self) -> CampaignRelease | None:
        content = read_optional(self.path / "release.json")
        return None if content is None else CampaignRelease.parse(content)

    def release_keep(self, release: CampaignRelease, spec: CampaignSpec) -> None:
        write_durably(self.path / "release.json", release.canonical())
        write_durably(self.path / "released-by.json", json.dumps({"spec": spec.digest()}).encode())

    def spec(self) -> CampaignSpec | None:
        """The spec of the kept release."""
        content = read_optional(self.path / "released-by.json")
        return None if content is None else self.campaign.spec(json.loads(content)["spec"])


def measurements_of(
    spec: CampaignSpec, values: Mapping[str, float], *, measured_at: str, workload: str = ""
) -> Measurements:
    """The values that a campaign asks for, in its units. Raises InvalidInput for a missing one."""
    missing = [metric.key for metric in spec.metrics if metric.key not in values]
    if missing:
        raise InvalidInput(
            f"{', '.join(missing)}: not measured; the campaign {spec.title!r} asks for "
            f"{', '.join(metric.key for metric in spec.metrics)}"
        )
    for metric in spec.metrics:
        if not math.isfinite(values[metric.key]):
            raise InvalidInput(f"{metric.key}: {values[metric.key]} is not a finite number")
    return Measurements(
        values={
            metric.key: Measured.parse({"value": float(values[metric.key]), "unit": metric.unit})
            for metric in spec.metrics
        },
        measured_at=measured_at,
        workload=workload,
    )
