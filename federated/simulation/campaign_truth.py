"""A campaign's truth: a release is the plain sum of its members' votes and the trustees' noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from federated.files import read_optional
from federated.protocol.address import Attempt
from federated.protocol.attempt import State
from federated.protocol.kinds.benchmark import vote_points
from federated.protocol.noise import noise_ciphertexts
from federated.simulation.campaign_coordinator import CampaignCoordinator
from federated.simulation.coordinator import Played
from federated.simulation.truth import Truth
from federated.site.campaign_folder import CampaignFolder, Measurements, RunFolder
from federated.wire.base import Signed
from federated.wire.campaign import Submission


class CampaignTruth(Truth[CampaignCoordinator]):
    """Opens each vote by itself, and compares it with the measurement that its site kept."""

    def tap(self, name: str, at: Attempt, kind: str, signed: Signed[Any]) -> None:
        replaced = any(
            key[:2] == (name, at) and key[2].startswith("replacement") for key in self._sent
        )
        # It stands or a later one does: released() compares the one that is summed.
        if kind != "submission" or not replaced:
            super().tap(name, at, kind, signed)

    def released(self, played: Played) -> None:
        assert played.release is not None
        agreement, title = self.coordinator.agreement, played.title
        transcript = self.coordinator.transcript(played)
        layouts, n = agreement.layouts, agreement.key.n
        rows: list[list[tuple[int, ...]]] = [[] for _ in layouts]
        for signed in transcript.submissions:
            name = signed.body.organization
            points = self._points(name, played.at.round, signed)
            opened = self.opened([vote.ciphertext for vote in signed.body.votes])
            for at, (layout, plain) in enumerate(zip(layouts, opened, strict=True)):
                rows[at].append(layout.unpack(plain, n))
                if points is None or layout.codewords[points[at]] % n != plain % n:
                    self.violations.append(f"{title}: a vote of {name} is not its own")
        for noise in transcript.noise:
            for at, plain in enumerate(self.opened_numbers(noise_ciphertexts(noise, agreement))):
                rows[at].append(layouts[at].unpack(plain, n))
        if len(transcript.noise) < agreement.threshold:
            self.violations.append(f"{title}: too little noise")
        for metric, column in zip(played.release.metrics, rows, strict=True):
            if metric.slots != tuple(sum(slot) for slot in zip(*column, strict=True)):
                self.violations.append(f"{title}: {metric.key} is not the plain sum")

    def _points(self, name: str, number: int, signed: Signed[Submission]) -> list[int] | None:
        """The grid points of what the site kept beside this very submission."""
        spec = self.coordinator.agreement.spec
        folder = CampaignFolder(self._homes[name] / "campaigns" / spec.campaign_id)
        run = RunFolder(folder.path / "runs" / str(number), folder)
        for kept, values in (
            (run.submission(), run.measured()),
            (run.replacement(), _measurements(run.path / "replacement-measured.json")),
        ):
            if kept is not None and values is not None and kept.digest() == signed.digest():
                return list(vote_points(spec, values.values))
        return None

    def _check_site(self, name: str) -> None:
        """A member of a released run has given its verdict."""
        for played in self.coordinator.played:
            member = played.cohort is not None and name in played.cohort.members
            judged = name in played.sent["verdict"]
            if played.state is State.RELEASED and member and not judged:
                self.violations.append(f"{name} gave no verdict on {played.title}")


def _measurements(path: Path) -> Measurements | None:
    content = read_optional(path)
    return None if content is None else Measurements.parse(content)
