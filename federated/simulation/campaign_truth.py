"""What must hold of every run of a campaign under faults, checked by one who sees everything.

A release is the plain sum of its members' votes, each opened by itself and the one of the
measurement that its site kept, and of the trustees' noise. Every ledger charges a run once, for one
cohort, before any share of it leaves. What a site sends twice is the same bytes, noise above all.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from federated.crypto.threshold import KeyShare, combine, partial_decrypt
from federated.files import read_optional
from federated.protocol.attempt import State
from federated.protocol.kinds.benchmark import vote_points
from federated.protocol.noise import noise_ciphertexts
from federated.simulation.campaign_coordinator import CampaignCoordinator
from federated.simulation.coordinator import Played
from federated.site.campaign_folder import CampaignFolder, Measurements, RunFolder
from federated.wire.base import Signed, decode_bytes
from federated.wire.campaign import Submission


class CampaignTruth:
    """Collects violations, in words."""

    def __init__(self, homes: Mapping[str, Path], shares: Mapping[str, KeyShare]) -> None:
        self.violations: list[str] = []
        self.coordinator: CampaignCoordinator
        self._homes, self._shares = homes, shares
        self._sent: dict[tuple[str, int, str], str] = {}

    def tap(self, name: str, number: int, kind: str, signed: Signed[Any]) -> None:
        """A message leaves a site, whether or not it arrives."""
        if kind in ("refusal", "decline"):
            self.violations.append(f"{name} sends a {kind} for run {number}: {signed.body}")
            return
        digest = signed.digest()
        if kind == "submission" and any(
            key[:2] == (name, number) and key[2].startswith("replacement") for key in self._sent
        ):
            return  # it stands or a later one does: released() compares the one that is summed
        if self._sent.setdefault((name, number, kind), digest) != digest:
            self.violations.append(f"{name} sent two different {kind}s for run {number}")
        if kind == "verdict" and not signed.body.agrees:
            self.violations.append(f"{name} disagrees with run {number}: {signed.body.detail}")
        if kind == "share":
            self._check_share(name, number, signed.body.cohort)

    def _check_share(self, name: str, number: int, noised: str) -> None:
        played = self.coordinator.find(number)
        if played.cohort is None or played.noised is None or noised != played.noised.digest():
            self.violations.append(f"{name} gave a share of another noised cohort of run {number}")
            return
        for member in played.cohort.members:
            if self._committed(member).get(number) != played.cohort.digest():
                self.violations.append(f"a share of run {number} left before {member} was charged")

    def released(self, played: Played) -> None:
        """Compare a release with the plain sums, and each vote with its measurement."""
        assert played.release is not None
        agreement = self.coordinator.agreement
        n = agreement.key.n
        transcript = self.coordinator.transcript(played.number)
        layouts = agreement.layouts
        rows: list[list[tuple[int, ...]]] = [[] for _ in layouts]
        for signed in transcript.submissions:
            name = signed.body.organization
            points = self._points(name, played.number, signed)
            opened = self._open([vote.ciphertext for vote in signed.body.votes])
            for at, (layout, plain) in enumerate(zip(layouts, opened, strict=True)):
                rows[at].append(layout.unpack(plain, n))
                if points is None or layout.codewords[points[at]] % n != plain % n:
                    self.violations.append(f"run {played.number}: a vote of {name} is not its own")
        for noise in transcript.noise:
            texts = noise_ciphertexts(noise, agreement)
            for at, plain in enumerate(self._open_numbers(texts)):
                rows[at].append(layouts[at].unpack(plain, n))
        if len(transcript.noise) < agreement.threshold:
            self.violations.append(f"run {played.number}: too little noise")
        for metric, column in zip(played.release.metrics, rows, strict=True):
            if metric.slots != tuple(sum(slot) for slot in zip(*column, strict=True)):
                self.violations.append(f"run {played.number}: {metric.key} is not the plain sum")

    def _points(self, name: str, number: int, signed: Signed[Submission]) -> list[int] | None:
        """The grid points of what the site kept beside this very submission."""
        folder = CampaignFolder(self._homes[name] / "campaigns" / self.coordinator.spec.campaign_id)
        run = RunFolder(folder.path / "runs" / str(number), folder)
        for kept, values in (
            (run.submission(), run.measured()),
            (run.replacement(), _measurements(run.path / "replacement-measured.json")),
        ):
            if kept is not None and values is not None and kept.digest() == signed.digest():
                return list(vote_points(self.coordinator.spec, values.values))
        return None

    def _open(self, texts: list[str]) -> list[int]:
        key = self.coordinator.agreement.key
        return self._open_numbers([key.decode_ciphertext(decode_bytes(text)) for text in texts])

    def _open_numbers(self, ciphertexts: list[int]) -> list[int]:
        agreement = self.coordinator.agreement
        quorum = list(self._shares.values())[: agreement.threshold]
        partials = {share.index: partial_decrypt(share, ciphertexts) for share in quorum}
        return combine(agreement.key, agreement.verification, partials)

    def end(self) -> None:
        """What must hold once the campaign ended and every site has settled."""
        coordinator = self.coordinator
        for played in coordinator.played:
            if played.open:
                self.violations.append(f"run {played.number} is still {played.state}")
            if (played.release is None) == (played.state is State.RELEASED):
                self.violations.append(
                    f"run {played.number} is {played.state}, against its release"
                )
        rho = coordinator.agreement.cost.rho
        for name in self._homes:
            self._check_ledger(name)
            for row in self._rows(name):
                if row["rho"] != rho or row["state"] == "reserved":
                    told = f"{row['state']} rho {row['rho']} of run {row['round']}"
                    self.violations.append(f"{name} keeps {told} at the end")

    def _check_ledger(self, name: str) -> None:
        committed = self._committed(name)
        for played in self.coordinator.played:
            charged = committed.pop(played.number, None)
            member = played.cohort is not None and name in played.cohort.members
            if member and charged is None and played.state is State.RELEASED:
                self.violations.append(f"{name} lost its charge of run {played.number}")
            if charged is None:
                continue
            if played.cohort is None or not member or charged != played.cohort.digest():
                self.violations.append(f"{name} was charged for another cohort of {played.number}")
            if played.state is State.RELEASED and name not in played.sent["verdict"]:
                self.violations.append(f"{name} gave no verdict on run {played.number}")
        if committed:
            self.violations.append(f"{name} was charged for no run: {sorted(committed)}")

    def _committed(self, name: str) -> dict[int, str]:
        rows = [row for row in self._rows(name) if row["state"] == "committed"]
        charges = {int(row["round"]): str(row["cohort"]) for row in rows}
        if len(charges) != len(rows):
            self.violations.append(f"{name} was charged twice for one run")
        return charges

    def _rows(self, name: str) -> list[sqlite3.Row]:
        with closing(sqlite3.connect(self._homes[name] / "ledger.sqlite")) as db:
            db.row_factory = sqlite3.Row
            return db.execute("SELECT * FROM charge").fetchall()


def _measurements(path: Path) -> Measurements | None:
    content = read_optional(path)
    return None if content is None else Measurements.parse(content)
