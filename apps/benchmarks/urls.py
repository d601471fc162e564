from django.urls import path

from apps.attempts.api.views import answer_paths, attempt_paths
from apps.benchmarks.api import campaigns
from apps.benchmarks.services.played import CAMPAIGNS

CAMPAIGN = "campaigns/<uuid:campaign_id>"

urlpatterns = [
    path("campaigns", campaigns.CampaignsView.as_view(), name="api-campaigns"),
    path(CAMPAIGN, campaigns.CampaignView.as_view(), name="api-campaign"),
    *answer_paths(CAMPAIGNS, CAMPAIGN),
    path(f"{CAMPAIGN}/export", campaigns.ExportView.as_view(), name="api-campaign-export"),
    *attempt_paths(CAMPAIGNS, f"{CAMPAIGN}/runs/<int:number>"),
]
