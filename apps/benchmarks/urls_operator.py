from django.urls import path

from apps.benchmarks.api import campaigns

urlpatterns = [
    path("operator/campaigns", campaigns.OperatorCampaignsView.as_view()),
    path("operator/campaigns/<uuid:campaign_id>", campaigns.OperatorCampaignView.as_view()),
]
