"""Join tokens: ``fsc1.<slug>.<secret>.<fingerprint of the consortium's CA>``.

The token carries the CA's fingerprint, so that a site can check whom it joins before it sends the
secret: it fetches ``/api/ca``, compares, and from then on trusts that authority alone.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass

from federated.errors import NotAuthenticated

_TOKEN = re.compile(
    r"fsc1\.(?P<slug>[a-z][a-z0-9_]{1,40})\.(?P<secret>[A-Za-z0-9_-]{43})\.(?P<ca>[0-9a-f]{64})"
)


@dataclass(frozen=True)
class Token:
    slug: str
    secret: str
    ca_fingerprint: str

    @classmethod
    def new(cls, *, slug: str, ca_fingerprint: str) -> Token:
        return cls(slug, secrets.token_urlsafe(32), ca_fingerprint)

    @classmethod
    def parse(cls, text: str) -> Token:
        """Raises NotAuthenticated without repeating what was given."""
        found = _TOKEN.fullmatch(text.strip())
        if found is None:
            raise NotAuthenticated(
                "The join token is malformed: it must be fsc1.<organization>.<secret>.<CA>, whole."
            )
        return cls(found["slug"], found["secret"], found["ca"])

    @property
    def secret_hash(self) -> str:
        """256 random bits need no slow hash."""
        return hashlib.sha256(self.secret.encode()).hexdigest()

    def __str__(self) -> str:
        return f"fsc1.{self.slug}.{self.secret}.{self.ca_fingerprint}"
