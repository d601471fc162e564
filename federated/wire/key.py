"""Key epochs: the public side of a dealt threshold key, and shares sealed to their sites."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from federated.wire.base import Bytes, Digest, Message, Name, Slug


class RosterSite(Message):
    """A site as the roster lists it: what the dealer seals to and what sites pin.

    Its digest is the site's fingerprint: it covers the encryption key too, because whoever changes
    that one reads the share that is sealed to it.
    """

    TAG: ClassVar[str] = "roster-site"

    organization: Slug
    public_key: Bytes
    encryption_key: Bytes


class Roster(Message):
    """All admitted sites; input of the key ceremony, fingerprints confirmed out of band."""

    TAG: ClassVar[str] = "roster"

    consortium: Name
    sites: tuple[RosterSite, ...]


class Trustee(Message):
    """A holder of one share: position 1..k, its site's keys, its verification key."""

    organization: Slug
    index: Annotated[int, Field(ge=1)]
    public_key: Bytes
    verification_key: Bytes


class KeyEpoch(Message):
    """One dealt key: Paillier modulus, verification values and trustees.

    Integers are big-endian. ``threshold`` trustees decrypt; up to ``max_colluding`` may collude.
    """

    TAG: ClassVar[str] = "key-epoch"

    consortium: Name
    number: Annotated[int, Field(ge=1)]
    modulus: Bytes
    threshold: Annotated[int, Field(ge=2)]
    max_colluding: Annotated[int, Field(ge=1)]
    verification_base: Bytes
    trustees: Annotated[tuple[Trustee, ...], Field(min_length=2, max_length=255)]

    @model_validator(mode="after")
    def _whole(self) -> KeyEpoch:
        count = len(self.trustees)
        if [trustee.index for trustee in self.trustees] != list(range(1, count + 1)):
            raise ValueError("trustees must be listed by index from 1")
        if len({trustee.organization for trustee in self.trustees}) != count:
            raise ValueError("trustees: an organization holds two shares")
        if not self.max_colluding < self.threshold <= count:
            raise ValueError("threshold must be above max_colluding and at most the trustees")
        if not 2 * self.threshold - count > self.max_colluding:
            raise ValueError("2 * threshold - trustees must exceed max_colluding (split quorums)")
        return self

    def trustee(self, organization: str) -> Trustee | None:
        """The trustee of that organization, if it holds a share."""
        return next((t for t in self.trustees if t.organization == organization), None)


class SealedShare(Message):
    """A share that only its trustee's site can open (HPKE, RFC 9180)."""

    TAG: ClassVar[str] = "sealed-share"

    epoch: Digest
    organization: Slug
    index: Annotated[int, Field(ge=1)]
    sealed: Bytes


class KeyConfirmation(Message):
    """A site's word that its share opens and matches the epoch's verification key."""

    TAG: ClassVar[str] = "key-confirmation"

    epoch: Digest
    organization: Slug


class KeyRetired(Message):
    """A site's statement that it destroyed its share; it cannot prove that no copy exists."""

    TAG: ClassVar[str] = "key-retired"

    epoch: Digest
    organization: Slug
