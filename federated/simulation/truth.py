"""What must hold in every run, checked by one who sees everything.

Every honest ledger charges an attempt once, for one cohort, before any share of it leaves. What a
site sends twice is the same bytes. Every attempt ends. What a release must be is the subclass's:
``job_truth``, ``campaign_truth``.
"""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Generic, TypeVar

from federated.crypto.threshold import KeyShare, combine, partial_decrypt
from federated.protocol.address import Attempt
from federated.protocol.attempt import State
from federated.simulation.coordinator import Coordinator, Played
from federated.wire.base import Signed, decode_bytes

C = TypeVar("C", bound=Coordinator[Any])


class Truth(ABC, Generic[C]):
    """Collects violations, in words."""

    def __init__(
        self,
        coordinator: C,
        homes: Mapping[str, Path],
        shares: Mapping[str, KeyShare],
        malicious: frozenset[str] = frozenset(),
    ) -> None:
        self.coordinator = coordinator
        self.violations: list[str] = []
        self.spoilt: set[tuple[str, Attempt]] = set()
        """Whom a lying coordinator made charge another cohort, for which attempt."""
        self.lied_to: set[tuple[str, Attempt]] = set()
        """Whom it showed another release."""
        self._homes, self._shares, self._malicious = homes, shares, malicious
        self._sent: dict[tuple[str, Attempt, str], str] = {}

    def honest(self, name: str) -> bool:
        return name not in self._malicious

    def tap(self, name: str, at: Attempt, kind: str, signed: Signed[Any]) -> None:
        """A message leaves a site, whether or not it arrives."""
        if kind == "refusal":
            return
        self.once(name, at, kind, signed.digest())
        if kind == "share":
            self._check_share(name, at, signed.body.cohort)

    def once(self, name: str, at: Attempt, kind: str, digest: str) -> None:
        """Note the digest of what a site sends for an attempt; it sends no other."""
        if self._sent.setdefault((name, at, kind), digest) != digest:
            title = self.coordinator.find(at).title
            self.violations.append(f"{name} sent two different {kind}s for {title}")

    def _check_share(self, name: str, at: Attempt, served: str) -> None:
        played = self.coordinator.find(at)
        wanted = played.noised if self.coordinator.kind.noising else played.cohort
        if wanted is None or served != wanted.digest():
            self.violations.append(f"{name} gave a share of another cohort of {played.title}")
            return
        cohort = played.cohort.digest()
        for member in filter(self.honest, played.cohort.members):
            if self._committed(member).get((at.round, at.number)) != cohort:
                self.violations.append(
                    f"a share of {played.title} left before {member} was charged"
                )

    @abstractmethod
    def released(self, played: Played) -> None:
        """Compare a release with the plain sum of what its members sent."""

    def opened(self, texts: list[str]) -> list[int]:
        """The plaintexts of one message's ciphertexts."""
        key = self.coordinator.agreement.key
        ciphertexts = [key.decode_ciphertext(decode_bytes(text)) for text in texts]
        return self.opened_numbers(ciphertexts)

    def opened_numbers(self, ciphertexts: list[int]) -> list[int]:
        agreement = self.coordinator.agreement
        quorum = list(self._shares.values())[: agreement.threshold]
        partials = {share.index: partial_decrypt(share, ciphertexts) for share in quorum}
        return combine(agreement.key, agreement.verification, partials)

    def end(self) -> None:
        """What must hold once the agreement ended and every site has settled."""
        coordinator = self.coordinator
        if coordinator.state not in ("finished", "failed"):
            noun = coordinator.agreement.NOUN
            self.violations.append(f"the {noun} ends {coordinator.state}: {coordinator.reason}")
        for played in coordinator.played:
            if played.open:
                self.violations.append(f"{played.title} is still {played.state}")
            if (played.release is None) == (played.state is State.RELEASED):
                self.violations.append(f"{played.title} is {played.state}, against its release")
        for name in filter(self.honest, self._homes):
            self._check_ledger(name)
            self._check_site(name)

    @abstractmethod
    def _check_site(self, name: str) -> None:
        """What an honest site must have said or kept at the end."""

    def _check_ledger(self, name: str) -> None:
        committed = self._committed(name)
        for played in self.coordinator.played:
            charged = committed.pop((played.at.round, played.at.number), None)
            cohort = played.cohort
            member = cohort is not None and name in cohort.members
            if played.state is State.RELEASED and member and charged is None:
                self.violations.append(f"{name} lost its charge of {played.title}")
            if charged is None:
                continue
            if cohort is None or not member:
                self.violations.append(f"{name} was charged for {played.title} without a cohort")
            elif charged != cohort.digest() and (name, played.at) not in self.spoilt:
                self.violations.append(f"{name} charged another cohort of {played.title}")
        if committed:
            self.violations.append(f"{name} was charged for no attempt: {sorted(committed)}")
        rho = self.coordinator.agreement.cost.rho
        for row in self._rows(name):
            if row["rho"] != rho or row["state"] == "reserved":
                self.violations.append(f"{name} keeps {row['state']} rho {row['rho']} at the end")

    def _committed(self, name: str) -> dict[tuple[int, int], str]:
        rows = [row for row in self._rows(name) if row["state"] == "committed"]
        charges = {(row["round"], row["attempt"]): str(row["cohort"]) for row in rows}
        if len(charges) != len(rows):
            self.violations.append(f"{name} was charged twice for one attempt")
        return charges

    def _rows(self, name: str) -> list[sqlite3.Row]:
        with closing(sqlite3.connect(self._homes[name] / "ledger.sqlite")) as db:
            db.row_factory = sqlite3.Row
            return db.execute("SELECT * FROM charge").fetchall()
