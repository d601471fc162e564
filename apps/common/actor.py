"""Describes who acts, as a value that events store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["user", "site", "system"]


@dataclass(frozen=True, slots=True)
class Actor:
    """A snapshot of an actor at the time of the deed: it outlives the row it was taken from.

    ``id`` is a UUID as text, a certificate fingerprint for a site, or a component's name for the
    system; ``organization`` is a slug, empty for operators and the system.
    """

    kind: Kind
    id: str
    name: str
    organization: str = ""

    def snapshot(self) -> dict[str, str]:
        return {
            "kind": self.kind,
            "id": self.id,
            "name": self.name,
            "organization": self.organization,
        }

    @classmethod
    def system(cls, name: str) -> Actor:
        return cls(kind="system", id=name, name=name)


COORDINATOR = Actor.system("coordinator")
"""Who acts where the portal does what is due, and nobody asked."""


def request_actor(request: Any) -> Actor:
    """The actor of a request: its site if a certificate was accepted, else its user."""
    organization = getattr(request, "organization", None)
    slug = organization.slug if organization is not None else ""
    site = getattr(request, "site", None)
    if site is not None:
        return Actor("site", request.certificate.fingerprint, site.name, slug)
    user = request.user
    return Actor("user", str(user.pk), user.get_username(), slug)
