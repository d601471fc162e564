"""The API, the same at the root (a site, by certificate) and under ``/o/<slug>/`` (a member)."""

from __future__ import annotations

from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView

from apps.common.api import PublicAPIView


class SchemaView(PublicAPIView, SpectacularAPIView):
    """The OpenAPI description of this API."""


urlpatterns = [
    path("schema", SchemaView.as_view(), name="api-schema"),
    path("", include("apps.organizations.api_urls")),
    path("", include("apps.budgets.urls")),
    path("", include("apps.keys.urls")),
    path("", include("apps.attempts.urls")),
    path("", include("apps.training.urls")),
    path("", include("apps.benchmarks.urls")),
    path("", include("apps.audit.urls")),
]
