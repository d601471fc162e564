"""The one way a site says no to a charge or a decryption."""

from __future__ import annotations

from typing import ClassVar

from federated.errors import Forbidden
from federated.wire.round import Reason


class Refused(Forbidden):
    """A check of the transcript failed; ``reason`` names it, the message says what was seen."""

    code: ClassVar[str] = "refused"
    title: ClassVar[str] = "A site refuses the request"

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason.value}: {detail}", reason=reason.value)
        self.reason = reason
        self.detail = detail
