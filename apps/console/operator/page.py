"""The values that the operator's page shows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from apps.console.shared.events import AnchorRow
from apps.console.shared.sites import SiteRow


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganizationRow:
    name: str
    slug: str
    state: str
    sites: list[SiteRow]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRow:
    """A key epoch: ``trustees`` pairs each with where its share stands."""

    number: int
    digest: str
    state: str
    reason: str
    threshold: int
    bits: int
    at: datetime
    trustees: list[tuple[str, str]]
    #: Jobs and campaigns under it that have not ended.
    jobs: int

    @property
    def destroyed(self) -> int:
        return sum(share == "destroyed" for _, share in self.trustees)

    @property
    def opens(self) -> bool:
        """Whether enough trustees may still hold a share to decrypt under it."""
        return len(self.trustees) - self.destroyed >= self.threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorPage:
    organizations: list[OrganizationRow]
    keys: list[KeyRow]
    jobs: list[tuple[str, int]]
    log_size: int
    checkpoint_size: int | None
    anchoring: str
    """``off``, ``failing``, ``waiting`` or ``current``."""
    anchors: list[AnchorRow]
    """The newest first."""
    anchor_error: str

    @property
    def anchored(self) -> AnchorRow | None:
        """The newest that the chain holds."""
        return next((row for row in self.anchors if row.confirmed), None)

    @property
    def waiting(self) -> AnchorRow | None:
        return next((row for row in self.anchors if not row.confirmed), None)

    @property
    def epoch(self) -> KeyRow | None:
        """The key that new jobs use."""
        return next((row for row in self.keys if row.state in ("active", "pending")), None)

    @property
    def sites(self) -> list[SiteRow]:
        return [site for row in self.organizations for site in row.sites]

    @property
    def online(self) -> int:
        return sum(site.presence == "online" for site in self.sites)
