from django.urls import path

from apps.audit import api

urlpatterns = [
    path("log", api.LogView.as_view(), name="api-log"),
    path("jobs/<uuid:job_id>/bundle", api.BundleView.as_view(), name="api-bundle"),
]
