from django.urls import path

from apps.audit import api, api_logs

urlpatterns = [
    path("health", api.HealthView.as_view(), name="api-health"),
    path("log", api.LogView.as_view(), name="api-log"),
    path("witnesses", api_logs.WitnessesView.as_view(), name="api-witnesses"),
    path("logs/<str:log>/checkpoint", api_logs.CheckpointView.as_view(), name="api-checkpoint"),
    path(
        "logs/<str:log>/tile/<str:level>/<path:index>",
        api_logs.TileView.as_view(),
        name="api-tile",
    ),
    path("logs/<str:log>/cosign", api_logs.CosignView.as_view(), name="api-cosign"),
    path(
        "campaigns/<uuid:campaign_id>/bundle",
        api.CampaignBundleView.as_view(),
        name="api-campaign-bundle",
    ),
    path("jobs/<uuid:job_id>/bundle", api.BundleView.as_view(), name="api-bundle"),
    path("jobs/<uuid:job_id>/card", api.CardView.as_view(), name="api-card"),
]
