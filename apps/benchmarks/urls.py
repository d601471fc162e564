from django.urls import path

from apps.benchmarks.api import campaigns, runs

CAMPAIGN = "campaigns/<uuid:campaign_id>"
RUN = f"{CAMPAIGN}/runs/<int:number>"

urlpatterns = [
    path("campaigns", campaigns.CampaignsView.as_view(), name="api-campaigns"),
    path(CAMPAIGN, campaigns.CampaignView.as_view(), name="api-campaign"),
    path(f"{CAMPAIGN}/approval", campaigns.CampaignApprovalView.as_view()),
    path(f"{CAMPAIGN}/decline", campaigns.CampaignDeclineView.as_view()),
    path(f"{CAMPAIGN}/export", runs.ExportView.as_view(), name="api-campaign-export"),
    path(RUN, runs.RunView.as_view()),
    path(f"{RUN}/transcript", runs.RunTranscriptView.as_view()),
    path(f"{RUN}/release", runs.RunReleaseView.as_view()),
    path(f"{RUN}/submission", runs.SubmissionView.as_view()),
    path(f"{RUN}/receipt", runs.RunReceiptView.as_view()),
    path(f"{RUN}/noise", runs.NoiseView.as_view()),
    path(f"{RUN}/share", runs.RunShareView.as_view()),
    path(f"{RUN}/refusal", runs.RunRefusalView.as_view()),
    path(f"{RUN}/verdict", runs.RunVerdictView.as_view()),
]
