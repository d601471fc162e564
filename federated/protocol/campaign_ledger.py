"""The name under which a site's ledger keeps an approved campaign."""

from __future__ import annotations

import uuid

from federated.wire.campaign import CampaignSpec

_NAMESPACE = uuid.UUID("6f1a1c0e-9a0f-5d0b-8c57-0c8a9f0d6b11")


def ledger_id(spec: CampaignSpec) -> str:
    """A UUID of this very spec: a changed campaign is approved, reserved and charged anew.

    Entries of the ledger name a job, a round and an attempt; of a campaign they name this, the
    run's number and 1.
    """
    return str(uuid.uuid5(_NAMESPACE, spec.digest()))
