"""Refusals of campaigns and runs, beside those of rounds (apps.federation.errors).

Conflict
 . CampaignClosed          the campaign, or its run, is past this
"""

from __future__ import annotations

from federated.errors import Conflict


class CampaignClosed(Conflict):
    code = "campaign_closed"
    title = "The campaign is past this"
